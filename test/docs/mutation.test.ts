import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { explained, explainer, linesOf, type Mutant, textOf } from '../mutation/survivors.ts';
import { root } from './variables.ts';

const read = (file: string) => readFileSync(join(root, file), 'utf8');
const page = read('docs/internals/mutation.md');
const oneLine = (text: string) => text.replaceAll(/\s+/g, ' ');

test('every survivor that mutation.md explains is about code that is there', () => {
  const rows = explained(page);
  expect(rows.length).toBeGreaterThan(10);
  expect(rows.length).toBe([...page.matchAll(/^\| `[\w/.-]+\.ts`/gm)].length);
  const gone = rows.filter(
    ({ file, code }) =>
      !oneLine(read(file)).includes(code) || (/^[A-Z_]+$/.test(code) && linesOf(read(file), code).length === 0),
  );
  expect(gone).toEqual([]);
});

test('a row explains its own change, in its own place', () => {
  const source = "const NAMES = {\n  a: 'b',\n};\nconst x = a\n  < b;\n";
  const at = (line: number, column: number, endLine: number, endColumn: number, replacement: string): Mutant => ({
    status: 'Survived',
    replacement,
    location: { start: { line, column }, end: { line: endLine, column: endColumn } },
  });
  const [name, compared] = [at(2, 6, 2, 9, '""'), at(4, 11, 5, 6, 'a\n <= b')];
  expect([name, compared].map((mutant) => textOf(source, mutant))).toEqual(["'b'", 'a < b']);
  const isExplained = explainer(
    '| `a.ts` | `` NAMES `` | `` "" `` | why |\n| `a.ts` | `` a < b `` | `` a <= b `` | why |\n',
  );
  expect([name, compared].map((mutant) => isExplained('a.ts', source, mutant))).toEqual([true, true]);
  expect(isExplained('b.ts', source, name)).toBe(false);
  expect(isExplained('a.ts', source, { ...compared, replacement: 'a > b' })).toBe(false);
  expect(isExplained('a.ts', source, at(4, 11, 4, 12, '""'))).toBe(false);
});

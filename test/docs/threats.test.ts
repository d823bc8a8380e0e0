import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { root } from './variables.ts';

const page = readFileSync(join(root, 'docs/internals/threat-model.md'), 'utf8');
const rows = [...page.matchAll(/^\| (T\d+) +\|(.*)\|$/gm)].map((match) => ({
  id: match[1]!,
  files: [...match[2]!.matchAll(/`((?:[\w-]+\/)+[\w.-]+\.\w+)`/g)].map((file) => file[1]!),
}));

/** Ids at the beginning of a test's name, or of the name of one of its cases: `'T5, T24: …'`. */
const namedBy = (path: string): string[] =>
  [...readFileSync(join(root, path), 'utf8').matchAll(/['"`]((?:T\d+(?:, )?)+): /g)].flatMap((match) =>
    match[1]!.split(', '),
  );

test('docs/internals/threat-model.md has the rows T1 to T31, each once', () => {
  expect(rows.map(({ id }) => id)).toEqual(Array.from({ length: 31 }, (_, at) => `T${at + 1}`));
});

test.each(rows)('a test names the row $id, in a file that the row names', ({ id, files }) => {
  expect(files.filter((file) => file.endsWith('.test.ts')).flatMap(namedBy)).toContain(id);
});

test.each(rows)('the row $id names a file of the code and a file of the tests, and they are there', ({ files }) => {
  expect(files.filter((file) => file.startsWith('test/')).length).toBeGreaterThan(0);
  expect(files.filter((file) => !file.startsWith('test/')).length).toBeGreaterThan(0);
  for (const file of files) expect(() => readFileSync(join(root, file)), file).not.toThrow();
});

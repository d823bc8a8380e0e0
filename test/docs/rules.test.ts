import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { root } from './variables.ts';

/** The numbered rules of docs/reference/lifecycle.md: each names existing code, and a test by an existing title. */
const page = readFileSync(join(root, 'docs/reference/lifecycle.md'), 'utf8');
const section = /^## Rules$(.*?)^## /ms.exec(page)![1]!;
const rules = section
  .split(/^(?=\*\*L)/m)
  .slice(1)
  .map((text) => ({
    id: /^\*\*(L\d+)\. .+?\.\*\*/.exec(text)?.[1] ?? text,
    code: [...text.matchAll(/\[`((?!test\/)[^`]+\/[^`]+)`\]/g)].map((match) => match[1]!),
    tests: [...text.matchAll(/\[`(test\/[^`]+)`\]\([^)]+\): ((?:“[^”]+”(?:, )?)+)/g)].flatMap(([, file, titles]) =>
      [...titles!.matchAll(/“([^”]+)”/g)].map((match) => ({ file: file!, title: match[1]! })),
    ),
  }));

test('the rules are numbered from 1 on, and there are dozens', () => {
  expect(rules.map(({ id }) => id)).toEqual(rules.map((_, at) => `L${at + 1}`));
  expect(rules.length).toBeGreaterThan(40);
});

test.each(rules)('$id names its code and its test', ({ code, tests }) => {
  expect(code.length).toBeGreaterThan(0);
  expect(code.filter((path) => !existsSync(join(root, path)))).toEqual([]);
  expect(tests.length).toBeGreaterThan(0);
  for (const { file, title } of tests) {
    const titles = [...readFileSync(join(root, file), 'utf8').matchAll(/[(,]\s*(['"`])(.+?)\1,/g)].map(
      (match) => match[2],
    );
    expect(titles, file).toContain(title);
  }
});

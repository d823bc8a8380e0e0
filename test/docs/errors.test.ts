import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { FINDINGS } from '../../audit/report/findings.ts';
import { type ErrorCode, HTTP } from '../../contract/errors.ts';
import { ANSWERS, NOT_PLACED, NOT_TAKEN, PROBLEMS, typeOf } from '../../contract/problems.ts';
import { root } from './variables.ts';

/** docs/reference/errors.md lists exactly the existing codes. */
const read = (path: string): string => readFileSync(join(root, path), 'utf8');
const PAGE = read('docs/reference/errors.md');
const codesOf = (heading: string): string[] => {
  const section = new RegExp(`^## ${heading}$(.*?)(?=^## |$(?![^]))`, 'ms').exec(PAGE)![1]!;
  return [...section.matchAll(/^\| (?:\[|<a [^>]+><\/a>)?`(\w+)`/gm)].map((match) => match[1]!).toSorted();
};
const unionOf = (path: string, name: string): string[] => {
  const text = new RegExp(`export type ${name} =([^;]+);`).exec(read(path))![1]!;
  return [...text.matchAll(/'(\w+)'/g)].map((match) => match[1]!);
};
const raised = (): string[] =>
  readdirSync(join(root, 'database/migrations')).flatMap((name) =>
    [...read(`database/migrations/${name}`).matchAll(/errcode = '(P0\w+)'/g)].map((match) => match[1]!),
  );

test.each<[string, readonly string[]]>([
  ['Answers of the API', Object.keys(ANSWERS)],
  ['No order', Object.keys(NOT_PLACED)],
  ['A step not taken', Object.keys(NOT_TAKEN)],
  ['Review reasons', [...unionOf('domain/review.ts', 'ReviewReason'), ...unionOf('domain/judge.ts', 'JudgedReason')]],
  ['Alarms', unionOf('telemetry/alarms.ts', 'Alarm')],
  ['Findings of the audit', Object.keys(FINDINGS)],
  ['What the database refuses', raised()],
])('%s', (heading, codes) => {
  expect(codes.length).toBeGreaterThan(5);
  expect(codesOf(heading)).toEqual([...new Set(codes)].toSorted());
});

test('the fragment of every `type` is an anchor here, beside the words that the API says itself, and there is no other', () => {
  const rows = [...PAGE.matchAll(/^\| <a id="([\w-]+)"><\/a>`(\w+)` +\|(.*)\|$/gm)].map(([, id, code, cells]) => ({
    type: `/docs#${id}`,
    code,
    said: cells!.split('|').map((cell) => cell.trim().replaceAll(/\[(.*?)\]\(.*?\)/g, '$1')),
  }));
  const expected = Object.entries(PROBLEMS).map(([code, { meaning, remedy }]) => {
    const status = HTTP[code as ErrorCode]?.status;
    const said = [status === undefined ? [] : [String(status)], meaning, remedy ?? []].flat();
    return { type: typeOf(code), code, said };
  });
  expect(rows).toEqual(expected);
});

test('a finding has the words of the report', () => {
  const section = PAGE.split('## Findings of the audit')[1]!.split('\n## ')[0]!;
  const words = [...section.matchAll(/^\| `(\w+)` +\| (.*?) +\| (.*?) +\|$/gm)].map(([, code, means, todo]) => [
    code,
    { means, todo },
  ]);
  expect(Object.fromEntries(words)).toEqual(
    Object.fromEntries(Object.entries(FINDINGS).map(([code, { means, todo }]) => [code, { means, todo }])),
  );
});

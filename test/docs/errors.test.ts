import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { FINDINGS } from '../../audit/report/findings.ts';
import { HTTP, UNSIGNED } from '../../contract/errors.ts';
import { DECISION_FAULTS } from '../../domain/decision.ts';
import { REFUSALS } from '../../providers/mtpay/place.ts';
import { root } from './variables.ts';

/** docs/errors.md names every code there is, and none that is not there. */
const read = (path: string): string => readFileSync(join(root, path), 'utf8');
const PAGE = read('docs/errors.md');
const codesOf = (heading: string): string[] => {
  const section = new RegExp(`^## ${heading}$(.*?)(?=^## |$(?![^]))`, 'ms').exec(PAGE)![1]!;
  return [...section.matchAll(/^\| \[?`(\w+)`/gm)].map((match) => match[1]!).toSorted();
};
const typeOf = (path: string, name: string): string[] => {
  const text = new RegExp(`export type ${name} =([^;]+);`).exec(read(path))![1]!;
  return [...text.matchAll(/'(\w+)'/g)].map((match) => match[1]!);
};
const raised = (): string[] =>
  readdirSync(join(root, 'database/migrations')).flatMap((name) =>
    [...read(`database/migrations/${name}`).matchAll(/errcode = '(P0\w+)'/g)].map((match) => match[1]!),
  );

test.each<[string, readonly string[]]>([
  ['Answers of the API', Object.keys(HTTP)],
  ['No order', [...REFUSALS, 'NOT_SENT', 'TOO_LATE']],
  ['A step not taken', [...DECISION_FAULTS, ...typeOf('ledger/decide.ts', 'Refusal'), ...Object.keys(UNSIGNED)]],
  ['Review reasons', [...typeOf('domain/review.ts', 'ReviewReason'), ...typeOf('domain/judge.ts', 'JudgedReason')]],
  ['Alarms', typeOf('telemetry/log.ts', 'Alarm')],
  ['Findings of the audit', Object.keys(FINDINGS)],
  ['What the database refuses', raised()],
])('%s', (heading, codes) => {
  expect(codes.length).toBeGreaterThan(5);
  expect(codesOf(heading)).toEqual([...new Set(codes)].toSorted());
});

import { expect, test } from 'vitest';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from './variables.ts';

/** docs/internals/scaling.md is arithmetic on the committed benchmark: its tables are computed again. */
const page = readFileSync(join(root, 'docs/internals/scaling.md'), 'utf8');
const bench = JSON.parse(readFileSync(join(root, 'docs/reference/benchmarks.json'), 'utf8')) as {
  P14: Record<string, { ours: number }>;
  tables: { P14: { columns: string[]; rows: (string | number)[][] }[] };
};

/** The part of a core's time that is meant to be busy. */
const BUSY = 0.6;
const RATES = [100, 1_000, 10_000];
/** Rows and history of one deposit, in kB (docs/internals/growth.md#figures). */
const KEPT_KB = 8.8;

const round = (value: number): string =>
  value >= 10 ? Math.round(value).toLocaleString('en-US') : String(Number(value.toPrecision(2)));
const tableAfter = (mark: string): string[][] =>
  page
    .split(`<!-- ${mark} -->`)[1]!
    .trim()
    .split('\n\n')[0]!
    .split('\n')
    .slice(2)
    .map((line) =>
      line
        .split('|')
        .slice(1, -1)
        .map((cell) => cell.trim()),
    );

test('the cores of each part follow from its measured cost', () => {
  const { columns, rows } = bench.tables.P14[0]!;
  const ours = rows.find(([flow]) => flow === 'ours')!;
  const expected = columns.slice(1).map((part, i) => {
    const ms = Number(ours[i + 1]);
    return [part, String(ms), round((1_000 * BUSY) / ms), ...RATES.map((rate) => round((rate * ms) / 1_000 / BUSY))];
  });
  expect(tableAfter('cost')).toEqual(expected);
});

test('so do the bytes', () => {
  const logKb = bench.P14['WAL kB']!.ours;
  const bytes = (kb: number): string => {
    const [unit, factor] = kb >= 1e12 ? ['PB', 1e12] : kb >= 1e9 ? ['TB', 1e9] : ['GB', 1e6];
    return `${round(kb / factor)} ${unit}`;
  };
  const expected = RATES.map((rate) => [
    rate.toLocaleString('en-US'),
    round((rate * logKb) / 1_000),
    bytes(rate * KEPT_KB * 86_400),
    bytes(rate * KEPT_KB * 86_400 * 365),
  ]);
  expect(tableAfter('bytes')).toEqual(expected);
  expect(page).toContain(`${logKb} kB of PostgreSQL's log and ${KEPT_KB} kB of rows and history`);
});

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { GROUPS, type GrowthRun, markOf } from '../../harness/growth/figures.ts';
import { parseGrowthOptions } from '../../harness/growth/options.ts';
import { growthPage, prunedBy } from '../../harness/growth/report.ts';
import { root } from './variables.ts';

/** docs/reference/growth-measured.md is that of the committed run. */
const read = (path: string): string => readFileSync(join(root, 'docs', path), 'utf8');
const run = JSON.parse(read('reference/growth-measured.json')) as GrowthRun;
const pruned = prunedBy(read('internals/growth.md'));

test('the page is made of the JSON', () => {
  expect(read('reference/growth-measured.md')).toBe(growthPage(run, pruned));
});

test('the JSON has every read at each size, and what prunes each table is known', () => {
  const [least] = run.sizes;
  const names = Object.keys(least!.reads);
  expect(new Set(Object.values(least!.reads).map(({ group }) => group))).toEqual(new Set(GROUPS));
  for (const { reads, cost } of run.sizes) {
    expect(Object.keys(reads)).toEqual(names);
    for (const { p50Ms, p95Ms } of Object.values(reads)) expect([p50Ms > 0, p95Ms >= p50Ms]).toEqual([true, true]);
    expect(cost.logBytes).toBeGreaterThan(0);
  }
  const { tables } = run.sizes.at(-1)!;
  expect(tables.map(({ table }) => table).filter((table) => !pruned.has(table))).toEqual([]);
});

test('a ratio above the mark is named as missed, one at the mark is not', () => {
  const [least] = run.sizes;
  const [name, figure] = Object.entries(least!.reads)[0]!;
  const at = (deposits: number, ratio: number) =>
    growthPage(
      { ...run, sizes: [least!, { ...least!, deposits, reads: { [name]: { ...figure, ratio, min: 1, max: ratio } } }] },
      pruned,
    );
  expect([markOf(1_000_000), markOf(10_000_000)]).toEqual([1.5, 2]);
  expect(at(1_000_000, 1.5)).toContain('| 1,000,000 | 1.5 × | 1 | none | ');
  expect(at(1_000_000, 1.51)).toContain(`| 1,000,000 | 1.5 × | 0 | **1**: ${name} 1.51 × | `);
  expect(at(10_000_000, 1.9)).toContain('| 10,000,000 | 2 × | 1 | none | ');
});

test('the command takes sizes from a thousand on, each once, the smallest first', () => {
  expect(parseGrowthOptions(['--deposits', '100000,1000', '--lean'])).toMatchObject({
    sizes: [1_000, 100_000],
    leanFrom: 1_000_000,
  });
  for (const wrong of ['999', '1000,1000', '1e3.5', 'many', ''])
    expect(() => parseGrowthOptions(['--deposits', wrong])).toThrow('expected different whole numbers');
});

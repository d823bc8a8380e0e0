import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import type { BenchRun } from '../../harness/bench/figures/result.ts';
import { pageOf } from '../../harness/bench/report/page.ts';
import { REASONS } from '../../harness/bench/reasons.ts';
import { isReached } from '../../harness/bench/report/format.ts';
import { chartsOf } from '../../harness/bench/report/write.ts';
import { TARGETS } from '../../harness/bench/targets.ts';
import { root } from './variables.ts';

/** docs/reference/benchmarks.md and its charts are those of the committed run. */
const read = (path: string): string => readFileSync(join(root, 'docs', path), 'utf8');
const result = JSON.parse(read('reference/benchmarks.json')) as BenchRun;

test('the page and the charts are made of the JSON', () => {
  expect(read('reference/benchmarks.md')).toBe(pageOf(result));
  for (const [name, svg] of Object.entries(chartsOf(result))) expect(read(`pictures/bench-${name}`)).toBe(svg);
});

test('the JSON has the figures of every row, or says why there are none; a small run may leave some out', () => {
  for (const { id } of TARGETS) {
    const figures = result[id as 'P1'];
    if (figures === undefined) {
      // P16 compares with another version, if one is named.
      if (result.ground.size === 'full' && id !== 'P16') expect(result.failed[id], id).toEqual(expect.any(String));
      continue;
    }
    expect(Object.keys(figures).length, id).toBeGreaterThan(0);
    for (const figure of Object.values(figures)) {
      expect(Object.keys(figure), id).toEqual(['ours', 'baseline', 'ratio', 'min', 'max', 'rounds', 'unit']);
      expect([figure.ours, figure.min, figure.max, figure.rounds].every(Number.isFinite), id).toBe(true);
    }
  }
});

test('every row that misses a mark has its reason and the next step', () => {
  for (const target of TARGETS) {
    const figures = Object.entries(result[target.id as 'P1'] ?? {});
    if (figures.some(([point, figure]) => isReached(target, point, figure) === false))
      expect(REASONS[target.id], target.id).toBeDefined();
  }
  expect(Object.keys(REASONS).filter((id) => !TARGETS.some((target) => target.id === id))).toEqual([]);
});

import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { BenchRun } from '../figures/result.ts';
import { TARGETS } from '../targets.ts';
import { chartOf } from './chart.ts';
import { comparisonOf } from './compare.ts';
import { figuresOf, isCharted, reportOf } from './markdown.ts';

/** The charts of a run, by file name. */
export const chartsOf = (result: BenchRun): Readonly<Record<string, string>> =>
  Object.fromEntries(
    TARGETS.flatMap(({ id, title, marks }) => {
      const figures = figuresOf(result, id);
      return isCharted(id) && figures !== undefined ? [[`${id}.svg`, chartOf(`${id}: ${title}`, figures, marks)]] : [];
    }),
  );

/** Writes JSON, report, charts, and the comparison if there is an earlier run; resolves to the paths of the files. */
export async function writeBenchReport(result: BenchRun, old: BenchRun | null, out: string): Promise<string[]> {
  const files = {
    'result.json': `${JSON.stringify(result, null, 2)}\n`,
    'report.md': reportOf(result),
    ...(old === null ? {} : { 'comparison.md': comparisonOf(result, old) }),
    ...chartsOf(result),
  };
  await mkdir(out, { recursive: true });
  for (const [name, text] of Object.entries(files)) await writeFile(join(out, name), text);
  return Object.keys(files).map((name) => join(out, name));
}

import type { BenchRun } from '../figures/result.ts';
import type { Figure } from '../figures/statistics.ts';
import { TARGETS } from '../targets.ts';
import { markdownTable, shown } from './format.ts';
import { figuresOf, groundLine } from './markdown.ts';

/** Returns the value to compare between runs: the ratio, which a slower machine does not change, else the figure. */
const comparable = ({ ratio, ours }: Figure): number => ratio ?? ours;

/** A table of every point in both runs: then, now, and their ratio. */
export function comparisonOf(result: BenchRun, old: BenchRun): string {
  const rows = TARGETS.flatMap(({ id, better }) =>
    Object.entries(figuresOf(result, id) ?? {}).flatMap(([point, figure]) => {
      const before = figuresOf(old, id)?.[point];
      if (before === undefined) return [];
      const [then, now] = [comparable(before), comparable(figure)];
      const change = now / then;
      // A change within the spread of both runs' rounds may be noise.
      const isNoise = now >= before.min && now <= before.max && then >= figure.min && then <= figure.max;
      const verdict = isNoise ? 'within the rounds' : change > 1 === (better === 'more') ? 'better' : 'worse';
      return [[id, point, shown(then), shown(now), shown(Number(change.toPrecision(3))), verdict]];
    }),
  );
  const columns = ['row', 'point', 'then', 'now', 'now / then', ''];
  return `# Compared with an earlier run\n\nThen: ${groundLine(old.ground)}\n\nNow: ${groundLine(result.ground)}\n\n${markdownTable({ columns, rows })}\n`;
}

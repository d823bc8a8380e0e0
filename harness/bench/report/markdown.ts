import type { Figures, Ground, BenchRun } from '../figures/result.ts';
import { TARGETS, type Target } from '../targets.ts';
import { isReached, markdownTable, shown } from './format.ts';

export const figuresOf = (result: BenchRun, id: string): Figures | undefined => result[id as 'P1'];

/** One line about the machine, shown with the figures. */
export const groundLine = (ground: Ground): string =>
  `${ground.at.slice(0, 10)}, engine ${ground.version}: ${ground.cpu}, ${ground.cores} cores, ${ground.memoryGb} GB; ` +
  `Node.js ${ground.node}, PostgreSQL ${ground.postgres}, Temporal ${ground.temporal}; load ${ground.loadBefore} before and ` +
  `${ground.loadAfter} after; ${Math.round(ground.seconds / 60)} minutes${ground.size === 'full' ? '' : `, ${ground.size}`}`;

const CHARTED = ['P1', 'P2'];
export const isCharted = (id: string): boolean => CHARTED.includes(id);

const WORDS = { true: 'reached', false: '**missed**', null: '' } as const;

function section(result: BenchRun, target: Target): string {
  const { id, title, baseline, mark } = target;
  const figures = figuresOf(result, id);
  const head = `## ${id}: ${title}\n\nAgainst ${baseline}. Mark (goal): ${mark}.`;
  if (figures === undefined) {
    const why = result.failed[id];
    return `${head}\n\n${why === undefined ? 'Not measured in this run.' : `Failed: ${why.split('\n')[0]}`}`;
  }
  const rows = Object.entries(figures).map(([point, figure]) => [
    point,
    `${shown(figure.ours)} ${figure.unit}`,
    figure.baseline === null ? '–' : shown(figure.baseline),
    shown(figure.ratio),
    `${shown(figure.min)} – ${shown(figure.max)}`,
    figure.rounds,
    WORDS[`${isReached(target, point, figure)}`],
  ]);
  const columns = ['point', 'ours', 'baseline', 'ratio', 'min – max', 'rounds', 'mark'];
  const chart = isCharted(id) ? [`![${title}](${id}.svg)`] : [];
  const tables = (result.tables[id] ?? []).map((table) => `### ${table.title}\n\n${markdownTable(table)}`);
  return [head, markdownTable({ columns, rows }), ...chart, ...(result.notes[id] ?? []), ...tables].join('\n\n');
}

/** The report of a run, with every target that was measured or failed. */
export function reportOf(result: BenchRun): string {
  const wanted = TARGETS.filter(({ id }) => figuresOf(result, id) !== undefined || result.failed[id] !== undefined);
  return `${['# A run of the benchmark', groundLine(result.ground), ...wanted.map((target) => section(result, target))].join('\n\n')}\n`;
}

/** The sections of all targets, without the head. */
export const sectionsOf = (result: BenchRun): string => TARGETS.map((target) => section(result, target)).join('\n\n');

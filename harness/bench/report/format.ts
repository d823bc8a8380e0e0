import type { Table } from '../figures/result.ts';
import type { Figure } from '../figures/statistics.ts';
import type { Target } from '../targets.ts';

/** `1234` as `1,234`; smaller values unchanged; `–` for null. */
export const shown = (value: number | null): string =>
  value === null ? '–' : Math.abs(value) >= 1_000 ? Math.round(value).toLocaleString('en-US') : String(value);

/** Whether the figure reaches its mark; null if this point has no mark. */
export function isReached(target: Target, point: string, figure: Figure): boolean | null {
  const mark = target.marks[point];
  const value = target.of === 'ratio' ? figure.ratio : figure.ours;
  if (mark === undefined || value === null) return null;
  return target.better === 'more' ? value >= mark : value <= mark;
}

const cell = (value: string | number): string => String(value).replaceAll('|', '\\|').replaceAll('\n', ' ');

/** A Markdown table that this repository's formatter leaves unchanged. */
export function markdownTable({ columns, rows }: Pick<Table, 'columns' | 'rows'>): string {
  const line = (cells: readonly (string | number)[]) => `| ${cells.map(cell).join(' | ')} |`;
  return [line(columns), `| ${columns.map(() => '-').join(' | ')} |`, ...rows.map(line)].join('\n');
}

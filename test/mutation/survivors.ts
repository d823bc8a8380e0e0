/** A change, and its result, as Stryker reports it. Lines and columns begin at 1. */
export interface Mutant {
  readonly status: string;
  readonly replacement: string;
  readonly location: { readonly start: Place; readonly end: Place };
}
interface Place {
  readonly line: number;
  readonly column: number;
}

/** `RuntimeError`: a file of tests did not even load. */
export function scoreOf(mutants: readonly Mutant[]) {
  const count = (status: string) => mutants.filter((mutant) => mutant.status === status).length;
  const survivors = mutants.filter(({ status }) => status === 'Survived' || status === 'NoCoverage');
  const waitedFor = count('Timeout');
  const noticed = count('Killed') + count('RuntimeError') + waitedFor;
  return { noticed, waitedFor, survivors, all: noticed + survivors.length };
}

const oneLine = (text: string): string => text.replaceAll(/\s+/g, ' ').trim();

/** The changed code, on one line. */
export function textOf(source: string, { location: { start, end } }: Mutant): string {
  const lines = source.split('\n').slice(start.line - 1, end.line);
  lines[lines.length - 1] = lines.at(-1)!.slice(0, end.column - 1);
  lines[0] = lines[0]!.slice(start.column - 1);
  return oneLine(lines.join('\n'));
}

/** The text between the backticks of a table cell with code. */
const unquoted = (cell: string): string => cell.replaceAll(/^`+ ?| ?`+$/g, '').replaceAll('\\|', '|');

/** The rows of docs/internals/mutation.md: a file; the changed code, or the name of its constant; its replacement. */
export const explained = (page: string) =>
  [...page.matchAll(/^\| `([\w/.-]+\.ts)` +\| ((?:\\\||[^|])+?) +\| ((?:\\\||[^|])+?) +\|/gm)].map(
    ([, file, code, change]) => ({
      file: file!,
      code: unquoted(code!),
      change: unquoted(change!),
    }),
  );

/** The lines of a constant, from 1; empty when there is none of that name. */
export function linesOf(source: string, constant: string): readonly number[] {
  const lines = source.split('\n');
  const first = lines.findIndex((line) => new RegExp(`^(?:export )?const ${constant}\\b`).test(line));
  if (first === -1) return [];
  const last = lines.findIndex((line, at) => at >= first && line.endsWith(';') && !line.startsWith(' '));
  return Array.from({ length: last - first + 1 }, (_, at) => first + at + 1);
}

/** Whether the page has a row for a survivor. */
export function explainer(page: string) {
  const rows = explained(page);
  return (file: string, source: string, mutant: Mutant): boolean =>
    rows.some(
      (row) =>
        row.file === file &&
        row.change === oneLine(mutant.replacement).replace(/^``$/, '""') &&
        (row.code === textOf(source, mutant) ||
          (/^[A-Z_]+$/.test(row.code) && linesOf(source, row.code).includes(mutant.location.start.line))),
    );
}

import { fileURLToPath } from 'node:url';
import { readArguments, UsageError } from '../config/command-line.ts';
import type { DrawOrder } from './report/sample-draw.ts';
import type { Period } from './report/roll-forward.ts';

/** The parsed command line. The period is that of the schedule and of the trial balance. */
export interface AuditCommand extends Period {
  readonly since: string | null;
  /** Number of closed workflows to choose by `seed`; null: all. */
  readonly sample: number | null;
  readonly seed: number;
  readonly deposit: string | null;
  /** Number of archived histories to compare with Temporal's own; null: all. */
  readonly temporal: number | null;
  readonly processes: number | null;
  readonly out: string;
  readonly exceptions: string;
  readonly fresh: boolean;
  /** An earlier report, whose heads the chains have to pass through. */
  readonly after: string | null;
  /** The owner of the books, and who makes the report: names for its first page. */
  readonly entity: string | null;
  readonly preparer: string | null;
  /** The sample to draw from the credits. */
  readonly draw: DrawOrder | null;
}

/** Beside this file, also in a build. */
const EXCEPTIONS = fileURLToPath(new URL('./replay-exceptions.json', import.meta.url));

export const AUDIT_USAGE = `npm run audit -- [--since TIME] [--sample N [--seed S]] [--deposit ORDER_NUMBER]
                 [--from TIME] [--to TIME] [--entity NAME] [--preparer NAME]
                 [--list N [--seed S] [--by amount]]
                 [--temporal N|all] [--processes N] [--out FOLDER] [--exceptions FILE] [--fresh] [--after REPORT.json]
npm run audit -- verify REPORT.json

Exit code 0: nothing is unexplained. 1: something is, or could not be checked. 2: not understood.`;

/** Names are also taken from AUDIT_ENTITY and AUDIT_PREPARER. Throws {@link UsageError}. */
export function parseCommand(args: readonly string[], env: NodeJS.ProcessEnv = {}): AuditCommand {
  const { values, positionals } = read(args);
  if (positionals.length > 0) throw new UsageError(`there is no ${positionals[0]}`);
  const seed = values.seed === undefined ? 1 : whole('--seed', values.seed);
  const by = values.by ?? 'line';
  if (by !== 'line' && by !== 'amount') throw new UsageError('--by: expected line or amount');
  const [from, to] = [
    values.from === undefined ? null : time('--from', values.from),
    values.to === undefined ? null : endOf('--to', values.to),
  ];
  if (from !== null && to !== null && from >= to) throw new UsageError('--to: expected a time after --from');
  return {
    since: values.since === undefined ? null : time('--since', values.since),
    sample: values.sample === undefined ? null : whole('--sample', values.sample),
    seed,
    deposit: values.deposit ?? null,
    temporal: copies(values.temporal),
    processes: values.processes === undefined ? null : whole('--processes', values.processes),
    out: values.out ?? 'audit-reports',
    exceptions: values.exceptions ?? EXCEPTIONS,
    fresh: values.fresh ?? false,
    after: values.after ?? null,
    from,
    to,
    entity: name('AUDIT_ENTITY', values.entity ?? env['AUDIT_ENTITY']),
    preparer: name('AUDIT_PREPARER', values.preparer ?? env['AUDIT_PREPARER']),
    draw: values.list === undefined ? null : { count: listed(values.list), seed, by },
  };
}

const read = (args: readonly string[]) =>
  readArguments(args, {
    since: { type: 'string' },
    sample: { type: 'string' },
    seed: { type: 'string' },
    deposit: { type: 'string' },
    temporal: { type: 'string' },
    processes: { type: 'string' },
    out: { type: 'string' },
    exceptions: { type: 'string' },
    fresh: { type: 'boolean' },
    after: { type: 'string' },
    from: { type: 'string' },
    to: { type: 'string' },
    entity: { type: 'string' },
    preparer: { type: 'string' },
    list: { type: 'string' },
    by: { type: 'string' },
  });

function whole(name: string, text: string): number {
  if (!/^[1-9]\d{0,8}$/.test(text)) throw new UsageError(`${name}: expected a whole number above 0`);
  return Number(text);
}

/**
 * Temporal returns some hundred histories a second. So of a larger archive only this many are compared, in an
 * unpredictable selection.
 */
const COPIES = 10_000;

function copies(text: string | undefined): number | null {
  if (text === undefined) return COPIES;
  return text === 'all' ? null : text === '0' ? 0 : whole('--temporal', text);
}

/** The size of the sample is limited, because an auditor examines it on paper. */
function listed(text: string): number {
  const count = whole('--list', text);
  if (count > 1_000) throw new UsageError('--list: expected at most 1000');
  return count;
}

function name(what: string, text: string | undefined): string | null {
  if (text === undefined || text.trim() === '') return null;
  if (text.length > 200) throw new UsageError(`${what}: expected at most 200 characters`);
  return text.trim();
}

function time(what: string, text: string): string {
  const at = Date.parse(text);
  if (!/^\d{4}-\d{2}-\d{2}/.test(text) || Number.isNaN(at))
    throw new UsageError(`${what}: expected a time such as 2026-01-31 or 2026-01-31T09:30:00Z`);
  return new Date(at).toISOString();
}

/** The first moment after the period; for a date, midnight after it. */
function endOf(what: string, text: string): string {
  const at = time(what, text);
  return /^\d{4}-\d{2}-\d{2}$/.test(text) ? new Date(Date.parse(at) + 86_400_000).toISOString() : at;
}

/** Numbers of archive rows that are audited together, in order. */
export type AuditPart = readonly number[];

/** Parts of `size`, cut the same way each time, so that finished parts are recognized. */
export function cut(numbers: readonly number[], size: number): AuditPart[] {
  return Array.from({ length: Math.ceil(numbers.length / size) }, (_, i) => numbers.slice(i * size, (i + 1) * size));
}

/** `count` of these, in their order; the same for the same seed. */
export function choose<T>(from: readonly T[], count: number, seed: number): readonly T[] {
  if (count >= from.length) return from;
  const chosen = new Set<number>();
  let state = seed >>> 0;
  // Mulberry32: small, and the same on every machine.
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
  while (chosen.size < count) chosen.add(Math.floor(next() * from.length));
  return [...chosen].toSorted((a, b) => a - b).map((i) => from[i]!);
}

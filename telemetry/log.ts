import { pino } from 'pino';

/** What every process logs with: JSON lines on standard output. Ids and codes only; never bodies, names or keys. */
export type Log = pino.Logger;

export const createLog = (part: string, level: string): Log => pino({ level, base: { part } });

/** Conditions a person must look at. The names are what alerts are written against. */
export type Alarm =
  | 'placement_refused_by_configuration'
  | 'placement_unknown'
  | 'placement_clock_skew'
  | 'stamp_grid_refused'
  | 'foreign_redirect'
  | 'redirect_not_allowed'
  | 'database_logs_parameters'
  | 'catalogue_differs'
  | 'callback_good_signature_wrong_token'
  | 'callback_right_address_unknown_key'
  | 'callback_not_readable'
  | 'callback_ahead'
  | 'callback_not_stored'
  | 'clock_off'
  | 'callback_review'
  | 'callback_flood'
  | 'callback_unknown_order'
  | 'callback_reflected'
  | 'callback_not_sealed'
  | 'seal_key_not_registered'
  | 'payment_not_vouched'
  | 'workflow_gone'
  | 'relay_failed'
  | 'relay_row_failed'
  | 'payment_without_effect'
  | 'deposit_not_placed'
  | 'deposit_overdue'
  | 'deposit_without_case'
  | 'decision_without_effect'
  | 'suspense_without_case'
  | 'names_not_erased'
  | 'rows_not_pruned'
  | 'ledger_conflict'
  | 'ledger_unavailable'
  | 'decision_refused'
  | 'signal_without_payment'
  | 'step_not_written'
  | 'deposit_adopted'
  | 'deposit_row_missing'
  | 'case_reopened'
  | 'case_row_missing'
  | 'case_rebuilt'
  | 'history_lost'
  | 'history_at_risk'
  | 'keys_not_taken'
  | 'key_overlap_short';

/** A kind that was told stays quiet this long; what comes meanwhile is counted and told in one line. */
const QUIET_MS = 60_000;
/** So many subjects (deposits, cases, workflows) of one kind have a line of their own within a minute. */
const MAX_LINES = 20;
/** So many further ones are named in the line that counts; beyond them they are counted only. */
const MAX_NAMED = 200;

type Fields = Readonly<Record<string, unknown>>;

/** What one kind has said and kept to itself within the minute. */
interface Quiet {
  lines: number;
  /** Subjects that had a line, in this minute or while the kind did not come to rest. */
  told: Set<string>;
  counted: Map<string, number>;
  unnamed: number;
  last: Fields;
}

const quietKinds = new WeakMap<Log, Map<Alarm, Quiet>>();
/** Whose counts are not told yet: kept alive until they are. */
const waiting = new Set<Log>();
let tellsAtExit = false;

/**
 * Logs at error level with the field `alarm`, which alert rules count. The first one about a subject is a line at once;
 * more of the same within a minute become one line with `count`, `about` (how many of which) and the last details.
 */
export function raiseAlarm(log: Log, alarm: Alarm, fields: Fields = {}): void {
  const kinds = kindsOf(log);
  const quiet = kinds.get(alarm) ?? beginQuiet(log, alarm);
  const subject = subjectOf(fields);
  if (!quiet.told.has(subject) && quiet.lines < MAX_LINES) {
    quiet.told.add(subject);
    quiet.lines += 1;
    log.error({ alarm, ...fields }, `alarm: ${alarm}`);
    return;
  }
  quiet.last = fields;
  waiting.add(log);
  const known = quiet.counted.get(subject);
  if (known === undefined && quiet.counted.size === MAX_NAMED) quiet.unnamed += 1;
  else quiet.counted.set(subject, (known ?? 0) + 1);
}

/** Tells at once what was counted and not told; for the end of a process. Idempotent. */
export function tellCounted(log: Log): void {
  for (const [alarm, quiet] of kindsOf(log)) tell(log, alarm, quiet);
  waiting.delete(log);
}

/**
 * Which of the things that alarms are about this one is about, and what proves it: who can prove little hides nothing that
 * is proved better. Empty: the process itself.
 */
function subjectOf({ deposit, case: held, workflowId, key, row, claimed, proof }: Fields): string {
  const thing = [deposit, held, workflowId, key, row, claimed].find((one) => typeof one === 'string');
  return [thing, proof].filter((part) => typeof part === 'string').join(', ');
}

function kindsOf(log: Log): Map<Alarm, Quiet> {
  const kinds = quietKinds.get(log) ?? new Map<Alarm, Quiet>();
  quietKinds.set(log, kinds);
  return kinds;
}

function beginQuiet(log: Log, alarm: Alarm): Quiet {
  const quiet: Quiet = { lines: 0, told: new Set(), counted: new Map(), unnamed: 0, last: {} };
  const kinds = kindsOf(log);
  kinds.set(alarm, quiet);
  if (!tellsAtExit) process.once('exit', () => waiting.forEach(tellCounted));
  tellsAtExit = true;
  const minute = setInterval(() => {
    // Who was counted goes on being counted, so that a kind that does not rest has one line a minute.
    const restless = quiet.counted;
    if (tell(log, alarm, quiet)) {
      quiet.told = new Set(restless.keys());
      quiet.lines = 0;
      return;
    }
    clearInterval(minute);
    kinds.delete(alarm);
    if (kinds.size === 0) waiting.delete(log);
  }, QUIET_MS);
  minute.unref();
  return quiet;
}

/** False: there is nothing to tell. */
function tell(log: Log, alarm: Alarm, quiet: Quiet): boolean {
  const { counted, unnamed, last } = quiet;
  const count = [...counted.values()].reduce((sum, n) => sum + n, unnamed);
  if (count === 0) return false;
  const named = [...counted].filter(([subject]) => subject !== '');
  const about = named.length === 0 ? {} : { about: Object.fromEntries(named) };
  log.error(
    { alarm, ...last, count, ...about, ...(unnamed === 0 ? {} : { unnamed }) },
    `alarm: ${alarm}, ${count} more`,
  );
  quiet.counted = new Map();
  quiet.unnamed = 0;
  return true;
}

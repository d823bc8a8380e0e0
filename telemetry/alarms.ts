import { inNoRequest, type Log } from './log.ts';

/** Conditions that an operator must look at. Alert rules use these names. */
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
  | 'events_not_published'
  | 'deliveries_late'
  | 'endpoint_failing'
  | 'endpoint_disabled'
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

/** After the first line of a kind, repeated alarms are counted for this long and then reported in one line. */
const QUIET_MS = 60_000;
/** At most this many subjects (deposits, cases, workflows) of one kind get a line of their own within a minute. */
const MAX_LINES = 20;
/** At most this many further subjects are named in the counting line; any others are only counted. */
const MAX_NAMED = 200;

type Fields = Readonly<Record<string, unknown>>;

/** The lines and counts of one kind within the minute. */
interface Quiet {
  lines: number;
  /** Subjects that are only counted: they had a line in this minute, or were counted in the minute before. */
  told: Set<string>;
  counted: Map<string, number>;
  unnamed: number;
  last: Fields;
}

const quietKinds = new WeakMap<Log, Map<Alarm, Quiet>>();
/** Logs with counts that are not reported yet; the set keeps them alive until then. */
const waiting = new Set<Log>();
let tellsAtExit = false;

/**
 * Logs at error level with the field `alarm`, which alert rules count. The first alarm about a subject is logged at
 * once. Further ones within a minute become one line with `count`, `about` (the count by subject) and the last fields.
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

/** Reports all pending counts at once; for the end of a process. Idempotent. */
export function tellCounted(log: Log): void {
  for (const [alarm, quiet] of kindsOf(log)) tell(log, alarm, quiet);
  waiting.delete(log);
}

/**
 * Returns the subject of an alarm, together with its proof: so a weakly proved alarm does not suppress a better proved
 * one. Empty: the process itself.
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
  const everyMinute = () => {
    // Counted subjects stay counted, so that a kind that does not come to rest has one line a minute.
    const restless = quiet.counted;
    if (tell(log, alarm, quiet)) {
      quiet.told = new Set(restless.keys());
      quiet.lines = 0;
      return;
    }
    clearInterval(minute);
    kinds.delete(alarm);
    if (kinds.size === 0) waiting.delete(log);
  };
  // Counts are those of many requests.
  const minute = inNoRequest(() => setInterval(everyMinute, QUIET_MS));
  minute.unref();
  return quiet;
}

/** Reports the counts; returns false if there are none. */
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

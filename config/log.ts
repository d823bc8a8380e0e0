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
  | 'callback_good_signature_wrong_token'
  | 'callback_review'
  | 'callback_flood'
  | 'callback_unknown_order'
  | 'callback_reflected'
  | 'workflow_gone'
  | 'relay_failed'
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
  | 'history_lost'
  | 'history_at_risk'
  | 'keys_not_taken'
  | 'key_overlap_short';

/** Logs at error level with the field `alarm`, which alert rules count. */
export function raiseAlarm(log: Log, alarm: Alarm, fields: Readonly<Record<string, unknown>> = {}): void {
  log.error({ alarm, ...fields }, `alarm: ${alarm}`);
}

import type pg from 'pg';
import { raiseAlarm } from '../telemetry/alarms.ts';
import type { Log } from '../telemetry/log.ts';
import { findBound } from '../database/queries/callbacks.ts';
import { adoptDeposit, findSettlement, writeState as record, type Settlement } from '../database/queries/deposits.ts';
import type { Payment } from '../domain/order.ts';
import type { Db } from '../database/pool.ts';

/**
 * Signals are hints: only the payment that the database binds to a deposit counts (docs/reference/lifecycle.md#rules).
 * These are the results of activities that were asked about another payment.
 */

/** The named payment is not the deposit's; `binds` is. Null: no payment is bound. `settled`: the row is final. */
export interface UnboundAnswer {
  readonly kind: 'unbound';
  readonly binds: Payment | null;
  readonly settled: Settlement | null;
}

/**
 * The database's answer to a message that names another payment than the bound one; null: it names the bound one.
 * Raises the alarm once per run of a workflow.
 */
export async function unboundOf(
  db: Db,
  log: Log,
  of: { readonly externalOrderNumber: string; readonly inboxId: string; readonly reported?: boolean | undefined },
  isNamed: (bound: Payment) => boolean,
): Promise<UnboundAnswer | null> {
  const settled = await findSettlement(db, of.externalOrderNumber);
  const binds = await findBound(db, of.externalOrderNumber);
  if (settled === null && binds !== null && isNamed(binds)) return null;
  // A settled deposit may have been open when the signal came: then the signal was not forged.
  if (settled === null && of.reported !== true)
    raiseAlarm(log, 'signal_without_payment', { deposit: of.externalOrderNumber, inboxId: of.inboxId });
  return { kind: 'unbound', binds, settled };
}

/** Whether a text has the form of an inbox id; others name no row. */
export const isRowId = (id: string): boolean => /^[1-9]\d{0,17}$/.test(id);

/** Writes a state that moves no money, and returns the row's facts; see {@link record}. */
export async function recordState(
  pool: pg.Pool,
  log: Log,
  externalOrderNumber: string,
  state: 'AWAITING_PAYMENT' | 'EXPIRED',
): Promise<{ readonly expiresAt: string | null; readonly settled?: Settlement }> {
  const row = await record(pool, externalOrderNumber, state);
  const settled = await findSettlement(pool, externalOrderNumber);
  if (settled !== null) return { ...row, settled };
  if (state === 'AWAITING_PAYMENT' && row.expiresAt === null)
    raiseAlarm(log, 'signal_without_payment', { deposit: externalOrderNumber });
  return row;
}

/**
 * Returns how the row ended, or that it is open and which payment it binds. A row from a restored, older PostgreSQL
 * takes over the facts of its workflow.
 */
export async function settlement(
  pool: pg.Pool,
  log: Log,
  externalOrderNumber: string,
  known: { readonly state: string; readonly expiresAt: string | null },
): Promise<{ readonly kind: 'open'; readonly binds: Payment | null } | ({ readonly kind: 'settled' } & Settlement)> {
  const settled = await findSettlement(pool, externalOrderNumber);
  if (settled !== null) return { kind: 'settled', ...settled };
  if (await adoptDeposit(pool, externalOrderNumber, known.expiresAt))
    raiseAlarm(log, 'deposit_adopted', { deposit: externalOrderNumber });
  return { kind: 'open', binds: await findBound(pool, externalOrderNumber) };
}

import type pg from 'pg';
import { crashPoint } from '../telemetry/crash-points.ts';
import { findBound } from '../database/queries/callbacks.ts';
import { findSettlement, markClosed, type Settlement } from '../database/queries/deposits.ts';
import type { Payment } from '../domain/order.ts';

/**
 * Ends a deposit without money. If a callback is bound to it, nothing is written and that payment is returned, to be
 * handled as if its signal had come. If the row has ended otherwise, that end is returned. It works under the row's
 * lock, so a callback is either seen here or finds the deposit final. Idempotent. Throws when the database is down, and
 * when it is too early by the database's clock.
 */
export async function close(
  pool: pg.Pool,
  externalOrderNumber: string,
  state: 'PLACEMENT_REFUSED' | 'UNPAID',
  refusal: string | null,
): Promise<Payment | { readonly settled: Settlement } | null> {
  const done = await markClosed(pool, externalOrderNumber, state, refusal);
  if (done === null) throw new Error(`no deposit ${externalOrderNumber}`);
  crashPoint('close.afterCommit');
  // Neither ever changes, so both may be read after the lock is released.
  if (done === 'settled') return { settled: (await findSettlement(pool, externalOrderNumber))! };
  if (done === 'done') return null;
  const payment = await findBound(pool, externalOrderNumber);
  if (payment === null) throw new Error(`deposit ${externalOrderNumber} is bound to what cannot be read`);
  return payment;
}

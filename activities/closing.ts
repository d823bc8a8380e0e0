import type pg from 'pg';
import { crashPoint } from '../config/crash.ts';
import { findCallback, paymentOf } from '../database/callbacks.ts';
import { findSettlement, lockDeposit, markClosed, type Settlement } from '../database/deposits.ts';
import { inTransaction } from '../database/pool.ts';
import type { Payment } from '../domain/order.ts';

/**
 * Ends a deposit without money, unless a callback is bound to it: then nothing is written and that payment is returned,
 * to be handled as if its signal had come; or unless its row has ended otherwise: then that is returned. Under the
 * row's lock, so that a callback is either seen here or finds the deposit final. Idempotent. Throws when the database
 * is away.
 */
export async function close(
  pool: pg.Pool,
  externalOrderNumber: string,
  state: 'PLACEMENT_REFUSED' | 'UNPAID',
  refusal: string | null,
): Promise<Payment | { readonly settled: Settlement } | null> {
  const found = await inTransaction(pool, async (client) => {
    const deposit = await lockDeposit(client, externalOrderNumber);
    if (deposit === null) throw new Error(`no deposit ${externalOrderNumber}`);
    const settled = await findSettlement(client, externalOrderNumber);
    if (settled !== null) return { settled };
    if (deposit.boundCallback !== null) return findCallback(client, deposit.boundCallback);
    await markClosed(client, externalOrderNumber, state, refusal);
    return null;
  });
  crashPoint('close.afterCommit');
  return found === null || 'settled' in found ? found : paymentOf(found);
}

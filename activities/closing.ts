import type pg from 'pg';
import { crashPoint } from '../config/crash.ts';
import { findCallback, paymentOf } from '../database/callbacks.ts';
import { lockDeposit, markClosed } from '../database/deposits.ts';
import { inTransaction } from '../database/pool.ts';
import type { Payment } from '../domain/order.ts';

/**
 * Ends a deposit without money, unless a callback is bound to it: then nothing is written and that payment is answered,
 * to be handled as if its signal had come (rule 2). Under the row's lock, so that a callback is either seen here or
 * finds the deposit final. Repeating it is harmless. Throws when the database is away.
 */
export async function close(
  pool: pg.Pool,
  externalOrderNumber: string,
  state: 'PLACEMENT_REFUSED' | 'UNPAID',
  refusal: string | null,
): Promise<Payment | null> {
  const found = await inTransaction(pool, async (client) => {
    const deposit = await lockDeposit(client, externalOrderNumber);
    if (deposit === null) throw new Error(`no deposit ${externalOrderNumber}`);
    if (deposit.boundCallback !== null) return findCallback(client, deposit.boundCallback);
    await markClosed(client, externalOrderNumber, state, refusal);
    return null;
  });
  crashPoint('close.afterCommit');
  return found === null ? null : paymentOf(found);
}

import type pg from 'pg';
import { creditAll, type CreditItem } from '../../ledger/credit.ts';
import { contentHash } from '../../providers/content-hash.ts';
import { itemFor, newWallet } from '../ledger/payments.ts';
import { order, paid, settings, transactionCode } from '../support/builders.ts';
import type { TestDatabase } from '../support/database.ts';

/** Transaction codes enter the books in one order, so that batches with the same codes cannot deadlock. */

const CODES = 60;

/**
 * Runs two batches at once, whose deposits claim the same codes in opposite order. Returns how many batches were
 * deadlocked.
 */
export async function crossCodes(db: TestDatabase, rounds: number): Promise<number> {
  const worker = db.poolFor('app_worker');
  let deadlocks = 0;
  for (let round = 0; round < rounds; round += 1) {
    const codes = Array.from({ length: CODES }, transactionCode);
    const batches = await Promise.all([batchOf(db.owner, codes), batchOf(db.owner, codes.toReversed())]);
    const results = await Promise.allSettled(batches.map((items) => creditAll(worker, items)));
    for (const result of results) {
      if (result.status === 'fulfilled') continue;
      if ((result.reason as pg.DatabaseError).code !== '40P01') throw result.reason;
      deadlocks += 1;
    }
  }
  return deadlocks;
}

/** Deposits in the order of their numbers, each with the next of these codes. */
async function batchOf(owner: pg.Pool, codes: readonly string[]): Promise<CreditItem[]> {
  const prefix = newWallet();
  const asked = codes.map((_, i) => order({ externalOrderNumber: `${prefix}-${String(i).padStart(3, '0')}` }));
  const wanted = asked.map((one, i) => {
    const data = paid(one, { transactionCode: codes[i]! });
    return { number: one.externalOrderNumber, code: codes[i], hash: contentHash(data).toString('hex'), data };
  });
  const { rows } = await owner.query<{ id: string; number: string }>(
    `with wanted as (select * from jsonb_to_recordset($1) as w(number text, code text, hash text, data jsonb)),
          d as (insert into engine.deposit (external_order_number, wallet, buy_coin_mode, mtc_amount, currency_code, support_language,
                                            fingerprint, settings)
                select number, 'wallet-42', 'MtcAmount', 5000, 'CNY', 'en', '', $2 from wanted)
     insert into engine.callback (external_order_number, deposit, transaction_code, content_hash, data, raw, receipt, acked)
     select number, number, code, decode(hash, 'hex'), data, '', 'first', true from wanted returning id, external_order_number as number`,
    [JSON.stringify(wanted), settings()],
  );
  await owner.query(
    `update engine.deposit d set state = 'AWAITING_PAYMENT', bound_callback = c.id from engine.callback c where c.deposit = d.external_order_number and c.id = any($1)`,
    [rows.map(({ id }) => id)],
  );
  const ids = new Map(rows.map(({ id, number }) => [number, id]));
  return asked.map((one, i) => itemFor(one, ids.get(one.externalOrderNumber)!, wanted[i]!.data));
}

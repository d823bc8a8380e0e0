import type pg from 'pg';
import type { ParkingFacts } from '../database/cases.ts';
import { priceOf } from './credit.ts';

/**
 * Puts the money of a case into suspense: it is then on the books, in no wallet, and its code is used up. Null: the code
 * stands already. The facts are those of the inbox row, or stated. Runs in the caller's transaction.
 */
export async function park(client: pg.ClientBase, found: ParkingFacts): Promise<string | null> {
  const item = {
    key: `suspense:mtpay:${found.transactionCode}`,
    deposit: found.deposit,
    provider: 'mtpay',
    provider_code: found.transactionCode,
    amount: found.amount,
    fee: '0',
    fiat: found.currencyCode,
    fiat_amount: found.paymentPrice,
    unit_price: priceOf({ paymentPrice: found.paymentPrice!, amount: found.amount! }),
    workflow_id: found.workflowId,
  };
  const { rows } = await client.query<{ outcome: string; id: string }>('select outcome, id from ledger.park($1)', [
    JSON.stringify([item]),
  ]);
  // "duplicate" is another case's money with the same facts: this one has none of its own yet.
  return rows[0]!.outcome === 'posted' ? rows[0]!.id : null;
}

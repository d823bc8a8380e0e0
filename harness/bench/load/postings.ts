import type pg from 'pg';
import type { CallbackData, DepositSettings } from '../../../domain/order.ts';
import type { CreditItem } from '../../../ledger/credit.ts';
import { contentHash } from '../../../providers/content-hash.ts';

/** The settings that the API freezes by default. */
const SETTINGS: DepositSettings = {
  rateBands: { CNY: { from: '6.5', to: '8' }, HKD: { from: '7', to: '8.6' }, TWD: { from: '28', to: '36' } },
  feeBand: '0',
  latePolicy: 'credit',
  paymentWindowMs: 30 * 60_000,
  listeningWindowMs: 73 * 3_600_000,
  reviewLimit: '0',
};
const WALLETS = 1_000;

let made = 0;

/** Prepares deposits that await their payment, each with the callback that pays it: only the posting is missing. */
export async function preparePostings(owner: pg.Pool, count: number): Promise<CreditItem[]> {
  const items = Array.from({ length: count }, () => {
    const deposit = `posting-${(made += 1)}`;
    const data: CallbackData = {
      externalOrderNumber: deposit,
      transactionCode: `T-${deposit}`,
      currencyCode: 'CNY',
      transactionAmount: '5000',
      paymentPrice: '36000',
      transactionCreateTime: '2021-07-01T00:00:00',
      paymentFinishedTime: '2021-07-01T00:05:00',
    };
    return { deposit, wallet: `wallet-${made % WALLETS}`, data, hash: contentHash(data).toString('hex') };
  });
  const { rows } = await owner.query<{ id: string; deposit: string }>(
    `with wanted as (select * from jsonb_to_recordset($1) as w(deposit text, wallet text, hash text, data jsonb)),
          d as (insert into engine.deposit (external_order_number, wallet, buy_coin_mode, mtc_amount, currency_code, support_language,
                                            fingerprint, settings)
                select deposit, wallet, 'MtcAmount', 5000, 'CNY', 'en', '', $2 from wanted)
     insert into engine.callback (external_order_number, deposit, transaction_code, content_hash, data, raw, receipt, acked)
     select deposit, deposit, data ->> 'transactionCode', decode(hash, 'hex'), data, '', 'first', true from wanted
     returning id, deposit`,
    [JSON.stringify(items), SETTINGS],
  );
  const ids = new Map(rows.map((row) => [row.deposit, row.id]));
  await owner.query(
    `update engine.deposit d set state = 'AWAITING_PAYMENT', bound_callback = c.id from engine.callback c
      where c.deposit = d.external_order_number and c.id = any($1)`,
    [[...ids.values()]],
  );
  return items.map(({ deposit, wallet, data }) => ({
    inboxId: ids.get(deposit)!,
    deposit,
    wallet,
    transactionCode: data.transactionCode,
    amount: data.transactionAmount,
    currencyCode: 'CNY',
    paymentPrice: data.paymentPrice,
    late: false,
    workflowId: `deposit:${deposit}`,
  }));
}

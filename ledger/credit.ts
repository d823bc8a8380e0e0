import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import { formatUnits, known, parseFiat, parseMtc, unitPrice } from '../domain/money.ts';
import type { Currency } from '../domain/order.ts';
import { type Batcher, type BatcherOptions, createBatcher } from './batcher.ts';
import { CREDITED_ID } from './outgoing.ts';

/** One automatic credit. Every fact stands in the activity's input, so that a retry cannot differ. */
export interface CreditItem {
  readonly inboxId: string;
  readonly deposit: string;
  readonly wallet: string;
  readonly transactionCode: string;
  readonly amount: string;
  readonly currencyCode: Currency;
  readonly paymentPrice: string;
  readonly late: boolean;
  readonly workflowId: string;
  /** As the workflow was told; compared with the inbox, because it decides `late`. Absent in histories of before. */
  readonly receivedAt?: string;
  /** The workflow has reported a message without a payment already. */
  readonly reported?: boolean;
}

/**
 * `posted`: written now. `duplicate`: the same facts stood already; id and time name that posting. `conflict`: the key,
 * the code or the deposit stands with other facts. `unproven`: the item differs from its inbox row or deposit, or people
 * have the payment in hand; nothing was posted. `busy`: the deposit's row or the callback's is locked by somebody else;
 * nothing was posted, and nobody waited for it. `unsealed`: its inbox row bears no seal of the API's and never reached the
 * books.
 */
export interface CreditAnswer {
  readonly outcome: 'posted' | 'duplicate' | 'conflict' | 'unproven' | 'busy' | 'unsealed';
  readonly postingId: string | null;
  readonly postedAt: string | null;
}

/**
 * One statement and so one transaction: post, show it on the deposit, settle the inbox row, tell the outside. Locks the
 * deposits, then their callbacks, then the ledger, as every path does (docs/ledger.md#locks), and waits for no row: an
 * item that somebody else holds is left out, or everything in the batch would wait for it inside the ledger's locks.
 * What is posted must equal the inbox row and the deposit it is bound to, as they are under these locks; an item that
 * does not is kept out of the ledger call. So is one whose payment was given to people: a deposit leaves their hands by
 * a decision only. `duplicate` repeats the projection too, so a retry also mends what a lost statement left.
 */
const CREDIT = `
with item as (
  select n as ord, i.* from jsonb_array_elements($1::jsonb) with ordinality e(item, n),
    jsonb_to_record(item) as i(inbox_id bigint, deposit text, wallet text, provider_code text, amount numeric, fiat text, fiat_amount numeric,
                               unit_price numeric, workflow_id text, late boolean, received_at timestamptz)),
deposit as materialized (
  select d.external_order_number, d.state, d.bound_callback, d.wallet, d.currency_code from engine.deposit d
   where d.external_order_number = any (array(select deposit from item)) order by 1 for no key update skip locked),
callback as materialized (
  select c.id, c.receipt, c.outcome, c.data, c.received_at from engine.callback c
   where c.id = any (array(select bound_callback from deposit)) order by 1 for no key update skip locked),
proven as (
  select item.*, row_number() over (order by item.ord) as place
    from item
    join deposit d on d.external_order_number = item.deposit
    join callback c on c.id = d.bound_callback and c.id = item.inbox_id and c.receipt = 'first'
   where d.state not in ('IN_REVIEW', 'REJECTED') and coalesce(c.outcome, '') not like 'review:%'
     and d.wallet = item.wallet and d.currency_code = item.fiat
     and c.data->>'externalOrderNumber' = item.deposit and c.data->>'transactionCode' = item.provider_code
     and (c.data->>'transactionAmount')::numeric = item.amount and (c.data->>'paymentPrice')::numeric = item.fiat_amount
     and c.data->>'currencyCode' = item.fiat
     -- A time of ours is told in milliseconds and kept in microseconds.
     and (item.received_at is null or abs(extract(epoch from c.received_at - item.received_at)) < 0.002)),
call as (
  select jsonb_agg(jsonb_build_object('key', 'deposit:' || deposit || ':credit', 'deposit', deposit, 'provider', 'mtpay',
           'provider_code', provider_code, 'wallet', wallet, 'amount', amount::text, 'fee', '0', 'fiat', fiat,
           'fiat_amount', fiat_amount::text, 'unit_price', unit_price::text, 'workflow_id', workflow_id) order by place) as items
    from proven having count(*) > 0),
answer as materialized (select p.*, a.outcome, a.id, a.posted_at from call cross join lateral ledger.credit(call.items) a join proven p on p.place = a.ord),
stands as (select * from answer where outcome <> 'conflict'),
shown as (
  update engine.deposit d set state = 'CREDITED', posting_id = s.id, late = s.late, closed_at = s.posted_at
    from stands s where d.external_order_number = s.deposit and d.posting_id is null returning d.external_order_number),
settled as (
  update engine.callback c set outcome = 'posting:' || s.id from stands s where c.id = s.inbox_id and c.outcome is null),
told as (
  insert into engine.outgoing (id, kind, external_order_number, body)
  select ${CREDITED_ID('s')}, 'deposit.credited', deposit,
         jsonb_build_object('externalOrderNumber', deposit, 'wallet', wallet, 'amount', trim_scale(amount)::text, 'transactionCode', provider_code,
                            'postingId', id::text, 'late', late, 'creditedAt', posted_at)
    from stands s on conflict do nothing)
select item.ord, a.id, a.posted_at,
       case when a.outcome is not null then a.outcome
            when d.external_order_number is null and exists (select from engine.deposit e where e.external_order_number = item.deposit)
              or d.bound_callback is not null and c.id is null then 'busy'
            else 'unproven' end as outcome
  from item left join answer a on a.ord = item.ord
  left join deposit d on d.external_order_number = item.deposit
  left join callback c on c.id = d.bound_callback
 order by item.ord`;

/** Posts a batch; one answer per item, in order. Database errors pass through: see ledger.md for what each means. */
export async function creditAll(pool: pg.Pool, items: readonly CreditItem[]): Promise<CreditAnswer[]> {
  const rows = items.map((item) => ({
    inbox_id: item.inboxId,
    deposit: item.deposit,
    wallet: item.wallet,
    provider_code: item.transactionCode,
    amount: item.amount,
    fiat: item.currencyCode,
    fiat_amount: item.paymentPrice,
    unit_price: priceOf(item),
    workflow_id: item.workflowId,
    late: item.late,
    received_at: item.receivedAt ?? null,
  }));
  const result = await pool.query<{ outcome: CreditAnswer['outcome']; id: string | null; posted_at: Date | null }>(
    CREDIT,
    [JSON.stringify(rows)],
  );
  return result.rows.map((row) => ({
    outcome: row.outcome,
    postingId: row.id,
    postedAt: row.posted_at?.toISOString() ?? null,
  }));
}

/** The unit price as it is booked. Throws RangeError when the amounts make none. */
export const priceOf = (item: Pick<CreditItem, 'paymentPrice' | 'amount'>): string =>
  formatUnits(
    unitPrice(known(parseFiat(item.paymentPrice), 'paymentPrice'), known(parseMtc(item.amount), 'transactionAmount')),
  );

/** A held row is let go within moments (a repeat is being counted), or a person holds it: then the activity comes again. */
const BUSY_PAUSES_MS = [10, 20, 50, 100, 200, 400];

/** One batcher per process. */
export function createCreditor(pool: pg.Pool, options?: BatcherOptions): Batcher<CreditItem, CreditAnswer> {
  const batched = createBatcher((items: readonly CreditItem[]) => creditAll(pool, items), options);
  const credit = async (item: CreditItem) => {
    // Amounts that make no price are refused before they are queued: inside a batch they would take it down whole.
    priceOf(item);
    for (const pauseMs of BUSY_PAUSES_MS) {
      const answer = await batched(item);
      if (answer.outcome !== 'busy') return answer;
      await sleep(pauseMs);
    }
    return batched(item);
  };
  return Object.assign(credit, { drain: () => batched.drain() });
}

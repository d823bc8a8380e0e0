import { randomBytes } from 'node:crypto';
import type pg from 'pg';
import { expect } from 'vitest';
import { reserveInAny } from '../support/reservation.ts';
import type { CallbackData, Order } from '../../domain/order.ts';
import { type CreditOutcome, type CreditItem, creditAll } from '../../ledger/credit.ts';
import { contentHash } from '../../providers/content-hash.ts';
import { order, paid, settings, reservation } from '../support/builders.ts';
import { bindCallback, insertReceived } from '../support/messages/inbox.ts';

export const newWallet = (): string => `w-${randomBytes(9).toString('base64url')}`;

/** A deposit that awaits its payment. */
export async function reserved(db: pg.Pool | pg.ClientBase, change: Partial<Order> = {}): Promise<Order> {
  const asked = order({ wallet: newWallet(), ...change });
  await reserveInAny(db, reservation(asked));
  await db.query(`update engine.deposit set state = 'AWAITING_PAYMENT' where external_order_number = $1`, [
    asked.externalOrderNumber,
  ]);
  return asked;
}

/** An authentic callback in the inbox, by default the first of its deposit and bound to it. Returns its inbox id. */
export async function received(
  client: pg.ClientBase,
  data: CallbackData,
  as: { readonly receipt: 'first' | 'other_content'; readonly bound: boolean } = { receipt: 'first', bound: true },
): Promise<string> {
  const { id } = await insertReceived(client, data, {
    receipt: as.receipt,
    reviewReason: as.receipt === 'first' ? null : 'OTHER_CONTENT',
  });
  if (as.bound) await bindCallback(client, data.externalOrderNumber, id);
  return id;
}

export interface Payment {
  readonly order: Order;
  readonly data: CallbackData;
  readonly inboxId: string;
  readonly item: CreditItem;
}

/** The item for a deposit's own bound callback. */
export const itemFor = (asked: Order, inboxId: string, data: CallbackData, late = false): CreditItem => ({
  inboxId,
  deposit: asked.externalOrderNumber,
  wallet: asked.wallet,
  transactionCode: data.transactionCode,
  amount: data.transactionAmount,
  currencyCode: data.currencyCode,
  paymentPrice: data.paymentPrice,
  late,
  workflowId: `deposit:${asked.externalOrderNumber}`,
});

/** Deposits that await their payment, each with the callback that pays it: the judge has approved, nothing is posted. */
export async function payments(
  db: pg.Pool,
  count: number,
  change: { readonly order?: Partial<Order>; readonly data?: Partial<CallbackData> } = {},
): Promise<Payment[]> {
  const wanted = Array.from({ length: count }, () => {
    const mtcAmount = change.data?.transactionAmount ?? '5000';
    const asked = order({ wallet: newWallet(), mtcAmount, ...change.order });
    return { asked, data: paid(asked, change.data) };
  });
  const { rows } = await db.query<{ id: string; number: string }>(
    `with wanted as (select * from jsonb_to_recordset($1) as w(number text, wallet text, currency text, amount numeric, code text, hash text, data jsonb)),
          d as (insert into engine.deposit (external_order_number, wallet, buy_coin_mode, mtc_amount, currency_code, support_language,
                                            fingerprint, settings)
                select number, wallet, 'MtcAmount', amount, currency, 'en', '', $2 from wanted)
     insert into engine.callback (external_order_number, deposit, transaction_code, content_hash, data, raw, receipt, acked)
     select number, number, code, decode(hash, 'hex'), data, '', 'first', true from wanted
     returning id, external_order_number as number`,
    [
      JSON.stringify(
        wanted.map(({ asked, data }) => ({
          number: asked.externalOrderNumber,
          wallet: asked.wallet,
          currency: asked.currencyCode,
          amount: asked.mtcAmount,
          code: data.transactionCode,
          hash: contentHash(data).toString('hex'),
          data,
        })),
      ),
      settings(),
    ],
  );
  await db.query(
    `update engine.deposit d set state = 'AWAITING_PAYMENT', bound_callback = c.id from engine.callback c
      where c.deposit = d.external_order_number and c.id = any($1)`,
    [rows.map((row) => row.id)],
  );
  const ids = new Map(rows.map((row) => [row.number, row.id]));
  return wanted.map(({ asked, data }) => {
    const inboxId = ids.get(asked.externalOrderNumber)!;
    return { order: asked, data, inboxId, item: itemFor(asked, inboxId, data) };
  });
}

export async function payment(
  db: pg.Pool,
  change: { readonly order?: Partial<Order>; readonly data?: Partial<CallbackData> } = {},
): Promise<Payment> {
  const [one] = await payments(db, 1, change);
  return one!;
}

/** As a worker does in the end: retries items that were busy because their rows were locked. */
export async function creditUntilFree(db: pg.Pool, items: readonly CreditItem[]): Promise<CreditOutcome[]> {
  const answers = await creditAll(db, items);
  const busy = [...answers.keys()].filter((i) => answers[i]!.outcome === 'busy');
  if (busy.length === 0) return answers;
  const again = await creditUntilFree(
    db,
    busy.map((i) => items[i]!),
  );
  for (const [n, i] of busy.entries()) answers[i] = again[n]!;
  return answers;
}

/** The item as `ledger.credit` and `ledger.park` take it, for tests that go past the engine's own statement. */
export const facts = (item: CreditItem, change: Readonly<Record<string, string | null>> = {}) => ({
  key: `deposit:${item.deposit}:credit`,
  deposit: item.deposit,
  provider: 'mtpay',
  provider_code: item.transactionCode,
  wallet: item.wallet,
  amount: item.amount,
  fee: '0',
  fiat: item.currencyCode,
  fiat_amount: item.paymentPrice,
  unit_price: '7.2',
  workflow_id: item.workflowId,
  ...change,
});

export interface Posted {
  readonly outcome: 'posted' | 'duplicate' | 'conflict';
  readonly id: string | null;
}

export async function call(db: pg.Pool | pg.ClientBase, name: 'credit' | 'park', items: readonly object[]) {
  const { rows } = await db.query<Posted>(`select outcome, id from ledger.${name}($1::jsonb) order by ord`, [
    JSON.stringify(items),
  ]);
  return rows;
}

export async function postingsOf(db: pg.Pool, deposit: string) {
  const { rows } = await db.query<{ id: string; key: string; amount: string; provider_code: string | null }>(
    'select id, key, trim_scale(amount)::text as amount, provider_code from ledger.transaction where deposit = $1 order by id',
    [deposit],
  );
  return rows;
}

export async function balanceOf(db: pg.Pool | pg.ClientBase, account: string): Promise<string> {
  const { rows } = await db.query<{ amount: string }>(
    `select trim_scale(b.amount)::text as amount from ledger.balance b join ledger.account a on a.id = b.account_id where a.code = $1`,
    [account],
  );
  return rows[0]?.amount ?? '0';
}

/** The audit's findings, and whether every block of the chain is whole. */
export async function faultsOf(db: pg.Pool | pg.ClientBase): Promise<string[]> {
  const { rows } = await db.query<{ fault: string }>('select fault from ledger.audit() where found > 0 order by fault');
  return rows.map((row) => row.fault);
}
export async function brokenBlocks(db: pg.Pool | pg.ClientBase): Promise<string[]> {
  const { rows } = await db.query<{ n: string }>('select n from ledger.verify_chain() where not ok order by n');
  return rows.map((row) => row.n);
}

/** As auditor: no fault, and rows that could have one. */
export async function expectCleanBooks(auditor: pg.Pool): Promise<void> {
  expect(await faultsOf(auditor)).toEqual([]);
  expect(await brokenBlocks(auditor)).toEqual([]);
  const { rows } = await auditor.query<{ postings: number; sum: string }>(
    `select (select count(*)::int from ledger.transaction) as postings, (select sum(amount)::text from ledger.balance) as sum`,
  );
  expect(rows[0]!.postings).toBeGreaterThan(0);
  expect(Number(rows[0]!.sum)).toBe(0);
}

/** The deposit's row under the lock that every path takes (docs/reference/ledger.md#locks). */
export async function lockDeposit(client: pg.ClientBase, externalOrderNumber: string): Promise<void> {
  await client.query('select from engine.deposit where external_order_number = $1 for no key update', [
    externalOrderNumber,
  ]);
}

/** An order that was sent before any callback came. */
export const sentBefore = (owner: pg.Pool, externalOrderNumber: string) =>
  owner.query(
    `insert into engine.placement_attempt (external_order_number, n, started_at, deadline, outcome) values ($1, 1, 'epoch', now(), 'placed')`,
    [externalOrderNumber],
  );

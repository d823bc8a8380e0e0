import { expect, test } from 'vitest';
import {
  findAnsweredLate,
  findKeptOrders,
  findLongestWithoutEffect,
  findNotCarriedOut,
  findNotPlaced,
  findOpenCases,
  findToRaise,
  findWithoutCase,
  findWithoutEffect,
  findWithoutWallet,
  suspenseWithoutCase,
} from '../../database/queries/due-rows.ts';
import { listCases } from '../../database/queries/cases.ts';
import { listDeposits } from '../../database/queries/deposits.ts';
import { createPool } from '../../database/pool.ts';
import { settings } from '../support/builders.ts';
import { byHand, createTestDatabase } from '../support/database.ts';
import { analyzeByHandOnly, collectPlans, tellPlans } from './watch-plans.ts';

/**
 * The rows that a page reads do not grow with the rows that it does not return. Counted for few and for many open rows:
 * with statistics from a quiet moment before them, and with new ones.
 */
const db = await createTestDatabase();
/** Few fill a slice of the comparison with suspense, and many a count that ends at 1,000. */
const [FEW, MANY] = [700, 4_000];
const CLOSED = 500;
const LIMIT = 10;
/** A table as small as this is read as a whole, because its index is not cheaper. */
const SMALL = CLOSED + FEW;
const GROWTH = 1.5;
const HOUR_MS = 3_600_000;

const fill = (sql: string, from: number, to: number) => byHand(db.owner, sql, [from, to]);

/** Deposits, oldest first, with a message each unless `said` is null. */
async function deposits(name: string, state: string, said: string | null, from: number, to: number): Promise<void> {
  await byHand(
    db.owner,
    `insert into engine.deposit (external_order_number, wallet, buy_coin_mode, mtc_amount, currency_code, support_language, fingerprint, settings, state, created_at)
     select '${name}-' || i, 'w-${name}', 'MtcAmount', 5000, 'CNY', 'en', '', $3, '${state}', now() - interval '2 days' + i * interval '1 second' from generate_series($1::int, $2::int) i`,
    [from, to, settings()],
  );
  if (said === null) return;
  await messages(name, said, true, from, to);
  await fill(
    `update engine.deposit d set bound_callback = c.id from engine.callback c, generate_series($1::int, $2::int) i
      where c.deposit = d.external_order_number and d.external_order_number = '${name}-' || i`,
    from,
    to,
  );
}

/** Raised five minutes ago at an age of a day: not due for long. */
const messages = (name: string, outcome: string, acked: boolean, from: number, to: number) =>
  fill(
    `insert into engine.callback (external_order_number, deposit, transaction_code, content_hash, data, raw, receipt, acked, outcome, raised_at, received_at)
     select '${name}-' || i, case when ${acked} then '${name}-' || i end, 'AT${name}' || i, sha256(convert_to('${name}' || i, 'UTF8')),
            '{"transactionAmount": "5000"}', '', 'first', ${acked}, ${outcome}, case when ${acked} then now() - interval '5 minutes' end,
            now() - interval '1 hour' * case when ${acked} then 24 else 1 end + i * interval '1 millisecond' from generate_series($1::int, $2::int) i`,
    from,
    to,
  );

/** Every fiftieth has another reason. */
const cases = (name: string, closed: string, from: number, to: number) =>
  fill(
    `insert into engine.review_case (workflow_id, callback, wallet, reason, opened_at, closed_at, decision, decided_by)
     select 'deposit:' || c.external_order_number, c.id, 'w-${name}', case when i % 50 = 0 then 'STALE' else 'LATE' end, c.received_at, ${closed}
       from generate_series($1::int, $2::int) i join engine.callback c on c.external_order_number = '${name}-' || i`,
    from,
    to,
  );

async function pileUp(from: number, to: number): Promise<void> {
  await deposits('waiting', 'AWAITING_PAYMENT', 'null', from, to);
  await deposits('review', 'IN_REVIEW', `'review:deposit:review-' || i`, from, to);
  await cases('review', 'null, null, null', from, to);
  await fill(
    `insert into engine.decision (callback, step, decision, reason, operator, workflow_id)
     select v.callback, 'propose', 'credit', 'compared', 'alice', v.workflow_id
       from generate_series($1::int, $2::int) i join engine.review_case v on v.workflow_id = 'deposit:review-' || i`,
    from,
    to,
  );
  await fill(
    `update engine.review_case v set proposal = p.id from engine.decision p, generate_series($1::int, $2::int) i
      where p.workflow_id = v.workflow_id and v.workflow_id = 'deposit:review-' || i`,
    from,
    to,
  );
  await deposits('unknown', 'PLACEMENT_UNKNOWN', null, from, to);
  await deposits('placing', 'PLACING', null, from, to);
  await messages('kept', 'null', false, from, to);
}

test('the rows that a page reads do not grow with those that it does not return', async () => {
  await analyzeByHandOnly(db.owner);
  await deposits('credited', 'CREDITED', `'posting:' || i`, 1, CLOSED);
  await deposits('closed', 'CREDITED', `'review:deposit:closed-' || i`, 1, CLOSED);
  await deposits('unpaid', 'UNPAID', null, 1, CLOSED / 50);
  await cases('closed', `now(), 'reject', 'alice+bob'`, 1, CLOSED);
  // After all others: a list of its wallet would pass them.
  await deposits('mine', 'IN_REVIEW', `'review:deposit:mine-' || i`, MANY + 1, MANY + 1);
  await cases('mine', 'null, null, null', MANY + 1, MANY + 1);
  await db.owner.query('vacuum analyze');
  await tellPlans(db.owner, db.url, false);
  const seen = collectPlans();
  const api = createPool({ url: db.urlFor('app_api'), role: 'app_api', applicationName: 'watched', max: 1 });
  const all = { wallets: null, limit: LIMIT };
  const hours = (ago: number) => new Date(Date.now() - ago * HOUR_MS);
  const page = [null, LIMIT] as const;
  const mine = { wallets: ['w-mine', 'w-none'], limit: LIMIT };
  const reads: Record<string, () => Promise<unknown>> = {
    'open cases': () => listCases(api, { ...all, state: 'open' }),
    'open cases of a reason': () => listCases(api, { ...all, state: 'open', reason: 'STALE' }),
    'open cases of a reason that none has': () => listCases(api, { ...all, state: 'open', reason: 'SECOND_CODE' }),
    'closed cases': () => listCases(api, { ...all, state: 'closed' }),
    'the last closed cases': () =>
      listCases(api, { ...all, state: 'closed', after: { openedAt: new Date().toISOString(), workflowId: '' } }),
    'open cases of wallets': () => listCases(api, { ...mine, state: 'open' }),
    'open cases of wallets, of a reason': () => listCases(api, { ...mine, state: 'open', reason: 'LATE' }),
    'open cases of a wallet, of a reason that none has': () =>
      listCases(api, { wallets: ['w-review'], limit: LIMIT, state: 'open', reason: 'SECOND_CODE' }),
    'closed cases of wallets': () => listCases(api, { ...mine, state: 'closed' }),
    'open cases for the relay': () => findOpenCases(api, 60_000, ...page),
    'payments to raise': () => findToRaise(api, { freshMs: 0, againMs: 60_000, atMostMs: HOUR_MS }, ...page),
    'the oldest payment without effect': () => findLongestWithoutEffect(api, 0),
    'payments without effect': () => findWithoutEffect(api, 0),
    'orders that were not placed': () => findNotPlaced(api, 0),
    'stored messages of unknown orders': () => findKeptOrders(api, 6 * HOUR_MS, ...page),
    'deposits without a case': () => findWithoutCase(api, ...page),
    'cases without a wallet': () => findWithoutWallet(api, ...page),
    'late answers': () => findAnsweredLate(api, ...page),
    'deposits of a state': () => listDeposits(api, { state: ['CREDITED'], limit: LIMIT }),
    'deposits of wallets': () => listDeposits(api, { wallets: ['w-credited', 'w-closed'], limit: LIMIT }),
    'deposits of wallets, of a state': () => listDeposits(api, { ...mine, state: ['IN_REVIEW'] }),
    'deposits of a wallet, of a state that none has': () =>
      listDeposits(api, { wallet: 'w-waiting', state: ['IN_REVIEW'], limit: LIMIT }),
    'deposits of states': () => listDeposits(api, { state: ['CREDITED', 'UNPAID', 'REJECTED'], limit: LIMIT }),
    'deposits of a time': () => listDeposits(api, { createdFrom: hours(48), createdBefore: hours(47.9), limit: LIMIT }),
    'deposits of a time, of a state that none has': () =>
      listDeposits(api, { createdFrom: hours(48), state: ['REJECTED'], limit: LIMIT }),
    'deposits of a code': () => listDeposits(api, { transactionCode: 'ATwaiting7', limit: LIMIT }),
    'deposits of a prefix': () => listDeposits(api, { orderPrefix: 'waiting-', limit: LIMIT }),
    'deposits of a prefix, of wallets': () => listDeposits(api, { ...mine, orderPrefix: 'mine-' }),
    'deposits of a prefix, of wallets that have none': () => listDeposits(api, { ...mine, orderPrefix: 'waiting-' }),
  };
  const slices: Record<string, () => Promise<unknown>> = {
    'deposits of a prefix, of a state': () =>
      listDeposits(api, { orderPrefix: 'waiting-', state: ['UNPAID'], limit: LIMIT }),
    'decisions that were not carried out': () => findNotCarriedOut(api, 0),
    'money in suspense': () => suspenseWithoutCase(api),
  };
  /** Rows by name, of all tables together: of all its statements, or of the widest one. */
  async function count(): Promise<Record<string, number>> {
    const counts: Record<string, number> = {};
    const read = async (name: string, one: () => Promise<unknown>, sum: (totals: number[]) => number) => {
      const before = seen.length;
      await one();
      counts[name] = sum(seen.slice(before).map(({ total }) => total));
    };
    for (const [name, one] of Object.entries(reads)) await read(name, one, (of) => of.reduce((a, b) => a + b, 0));
    for (const [name, one] of Object.entries(slices)) await read(name, one, (of) => Math.max(...of));
    return counts;
  }
  try {
    await api.query('select');
    await pileUp(1, FEW);
    const few = await count();
    await pileUp(FEW + 1, MANY);
    const many = await count();
    await db.owner.query('vacuum analyze');
    const analyzed = await count();
    const grown = (now: Record<string, number>) =>
      Object.entries(now)
        .filter(([name, rows]) => rows > Math.max(GROWTH * (few[name] ?? 0), SMALL))
        .map(([name, rows]) => `${name}: ${few[name] ?? 0} rows, then ${rows}`);
    expect(grown(many)).toEqual([]);
    expect(grown(analyzed)).toEqual([]);
  } finally {
    await api.end();
  }
});

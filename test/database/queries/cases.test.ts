import { randomUUID } from 'node:crypto';
import { expect, test } from 'vitest';
import { listCases, openDepositCase } from '../../../database/queries/cases.ts';
import { listDeposits } from '../../../database/queries/deposits.ts';
import {
  findNotPlaced,
  findWithoutEffect,
  findWithoutWallet,
  nameWallet,
  suspenseWithoutCase,
} from '../../../database/queries/due-rows.ts';
import { payments } from '../../ledger/payments.ts';
import { settings } from '../../support/builders.ts';
import { byHand, createTestDatabase } from '../../support/database.ts';

const db = await createTestDatabase();
const api = db.poolFor('app_api');
const { owner } = db;

/** A case about a message that claims this order. */
async function caseOf(n: string, reason = 'LATE', wallet: string | null = null): Promise<string> {
  await byHand(
    owner,
    `insert into engine.callback (external_order_number, content_hash, raw, receipt, review_reason, acked)
     values ($1, sha256(convert_to($1, 'UTF8')), '', 'unreadable', 'UNREADABLE', true)`,
    [n],
  );
  const { rows } = await owner.query<{ id: string }>(
    `insert into engine.review_case (workflow_id, callback, reason, wallet)
     select 'review:' || $1, id, $2, $3 from engine.callback where external_order_number = $1 returning workflow_id as id`,
    [n, reason, wallet],
  );
  return rows[0]!.id;
}
const deposits = (wallet: string, state: string, count: number, prefix: string = randomUUID()) =>
  byHand(
    owner,
    `insert into engine.deposit (external_order_number, wallet, buy_coin_mode, mtc_amount, currency_code, support_language, fingerprint, settings, state, created_at)
     select $1 || i, $2, 'MtcAmount', 5000, 'CNY', 'en', '', $3, $4, '2026-01-01'::timestamptz + i * interval '1 ms' from generate_series(1, $5::int) i`,
    [prefix, wallet, settings(), state, count],
  );
const listed = async (wallets: readonly string[] | null, more: object = {}) =>
  (await listCases(api, { state: 'open', wallets, limit: 10, ...more })).items.map(({ workflowId }) => workflowId);

test('a case is listed for the wallet of its deposit, and for no other; page by page, and by its reason', async () => {
  const ids: string[] = [];
  for (const [n, wallet] of [
    ['a-', 'red'],
    ['b-', 'blue'],
    ['c-', 'red'],
  ] as const) {
    await deposits(wallet, 'IN_REVIEW', 1, n);
    ids.push(await caseOf(`${n}1`, n === 'c-' ? 'STALE' : 'LATE'));
  }
  const [first, blue, second] = ids as [string, string, string];
  expect(await listed(['red', 'red', 'none'])).toEqual([first, second]);
  expect(await listed(['red', 'blue'])).toEqual([first, blue, second]);
  expect(await listed(['red'], { reason: 'STALE' })).toEqual([second]);
  expect(await listed(['none'])).toEqual([]);
  const page = await listCases(api, { state: 'open', wallets: ['red'], limit: 1 });
  expect(page.end).toMatchObject({ workflowId: first });
  expect(await listed(['red'], { after: page.end })).toEqual([second]);
  await byHand(
    owner,
    `update engine.review_case set closed_at = now(), decision = 'reject', decided_by = 'alice' where workflow_id = $1`,
    [first],
  );
  expect(await listed(['red'])).toEqual([second]);
  expect(await listed(['red'], { state: 'closed' })).toEqual([first]);
});

test('a case from before its deposit, or from before cases had wallets, gets its wallet once', async () => {
  const id = await caseOf('early-1', 'UNKNOWN_ORDER');
  expect(await findWithoutWallet(api, null, 10)).toEqual({ rows: [], end: null });
  expect(await nameWallet(api, id)).toBe(false);
  await deposits('green', 'AWAITING_PAYMENT', 1, 'early-');
  expect(await listed(['green'])).toEqual([]);
  expect(await findWithoutWallet(api, null, 10)).toEqual({ rows: [id], end: null });
  expect([await nameWallet(api, id), await nameWallet(api, id)]).toEqual([true, false]);
  expect(await listed(['green'])).toEqual([id]);
  expect(await findWithoutWallet(api, null, 10)).toEqual({ rows: [], end: null });
  await expect(
    owner.query(`update engine.review_case set wallet = 'blue' where workflow_id = $1`, [id]),
  ).rejects.toMatchObject({ code: 'P0E51' });
});

test('no writer chooses the wallet of a case, and a wrong one shows the case to nobody else', async () => {
  await deposits('grey', 'IN_REVIEW', 1, 'wrong-');
  const id = await caseOf('wrong-1', 'LATE', 'blue');
  expect(await listed(['grey'])).toEqual([id]);
  await byHand(owner, `update engine.review_case set wallet = 'gray' where workflow_id = $1`, [id]);
  expect(await listed(['gray'])).toEqual([]);
  await deposits('gray', 'IN_REVIEW', 1, 'right-');
  const right = await caseOf('right-1');
  const page = await listCases(api, { state: 'open', wallets: ['gray'], limit: 1 });
  expect(page).toMatchObject({ items: [], end: { workflowId: id } });
  expect(await listed(['gray'], { after: page.end })).toEqual([right]);
});

test('counts what piles up to a thousand, and says that there is more', async () => {
  await deposits('many', 'PLACING', 1_000, 'many-');
  expect(await findNotPlaced(api, 60_000)).toMatchObject({ count: 1_000, hasMore: false, deposit: 'many-1' });
  await deposits('many', 'PLACING', 1, 'more-');
  expect(await findNotPlaced(api, 60_000)).toMatchObject({ count: 1_000, hasMore: true });
  await owner.query(`update engine.callback set outcome = 'posting:1' where outcome is null`);
  await byHand(
    owner,
    `insert into engine.callback (external_order_number, content_hash, raw, receipt, acked, received_at)
     select 'waits-' || i, sha256(convert_to(i::text, 'UTF8')), '', 'first', true, now() - i * interval '1 minute' from generate_series(2, 1001) i`,
  );
  expect(await findWithoutEffect(api, 60_000)).toMatchObject({ count: 1_000, hasMore: false, deposit: 'waits-1001' });
  expect(await findWithoutEffect(api, 3_630_000)).toMatchObject({ count: 941, hasMore: false });
});

test('deposits of wallets, of a state and of both are the newest of all that fit', async () => {
  await deposits('pink', 'CREDITED', 3, 'pink-a');
  await deposits('pink', 'UNPAID', 2, 'pink-b');
  await deposits('lime', 'CREDITED', 2, 'lime-a');
  const numbers = async (filter: object) =>
    (await listDeposits(api, { limit: 10, ...filter })).items.map((item) => item.externalOrderNumber);
  const pink = ['pink-a3', 'pink-b2', 'pink-a2', 'pink-b1', 'pink-a1'];
  expect(await numbers({ wallet: 'pink' })).toEqual(pink);
  expect(await numbers({ wallets: ['pink', 'pink'] })).toEqual(pink);
  expect(await numbers({ wallets: ['pink', 'lime'], state: ['CREDITED'] })).toEqual([
    'pink-a3',
    'pink-a2',
    'lime-a2',
    'pink-a1',
    'lime-a1',
  ]);
  expect(await numbers({ wallets: ['pink', 'lime'], wallet: 'lime' })).toEqual(['lime-a2', 'lime-a1']);
  expect(await numbers({ wallets: ['lime'], wallet: 'pink' })).toEqual([]);
  expect(await numbers({ wallets: [], state: ['CREDITED'] })).toEqual([]);
  const { end } = await listDeposits(api, { wallet: 'pink', limit: 2 });
  expect(await numbers({ wallet: 'pink', after: end })).toEqual(pink.slice(2));
});

test('money in suspense is compared with the cases of every slice', async () => {
  const [payment] = await payments(owner, 1);
  const { inboxId } = payment!;
  await openDepositCase(db.poolFor('app_worker'), { inboxId, reason: 'LATE', late: true, park: true });
  await byHand(
    owner,
    `with said as (
       insert into engine.callback (external_order_number, content_hash, raw, receipt, review_reason, acked)
       select 'slice-' || i, sha256(convert_to('slice' || i, 'UTF8')), '', 'unreadable', 'UNREADABLE', true from generate_series(1, 1100) i returning id)
     insert into engine.review_case (workflow_id, callback, reason, opened_at) select 'review:' || id, id, 'UNREADABLE', now() - interval '1 hour' from said`,
  );
  expect(await suspenseWithoutCase(api)).toBe('0');
  await byHand(
    owner,
    `update engine.review_case set closed_at = now(), decision = 'reject', decided_by = 'alice' where callback = $1`,
    [inboxId],
  );
  expect(await suspenseWithoutCase(api)).toBe('5000');
});

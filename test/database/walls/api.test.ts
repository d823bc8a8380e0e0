import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import {
  insertCallback,
  insertRestored,
  markRaised,
  openOwnCase,
  rerouteCallback,
} from '../../../database/queries/callbacks.ts';
import { contentHash } from '../../../providers/content-hash.ts';
import { inTransaction } from '../../../database/pool.ts';
import { RECEIPTS } from '../../../domain/review.ts';
import { reserved } from '../../ledger/payments.ts';
import { order, orderNumber, paid } from '../../support/builders.ts';
import { byHand, createTestDatabase } from '../../support/database.ts';
import { seal, sealed } from '../../support/seals.ts';

/** An attacker with the API's login and nothing else can do no more than a message can. */
const db = await createTestDatabase();
const login = db.poolFor('app_api');

const denied = { code: '42501' };
const noMessage = { code: 'P0E60' };
const second = { receipt: 'other_content', reviewReason: 'SECOND_CODE' } as const;
const first = { receipt: 'first', reviewReason: null } as const;
const unknown = { receipt: 'unknown_order', reviewReason: 'UNKNOWN_ORDER' } as const;

const payment = (n: string) => paid(order({ externalOrderNumber: n }));
/** As the API does for a received message. */
function receive(n: string, as: Parameters<typeof rerouteCallback>[2] = first, data = payment(n)) {
  const stamp = { keyId: 'key', timestampMs: randomBytes(5).readUIntBE(0, 5) };
  const content = { externalOrderNumber: n, contentHash: contentHash(data), data, raw: Buffer.from('{}'), ...as };
  return inTransaction(login, (client) => insertCallback(client, sealed(content, stamp), stamp));
}
const waiting = async () => (await reserved(db.owner)).externalOrderNumber;
const callbackRow = async (id: string) =>
  (await db.owner.query('select * from engine.callback where id = $1', [id])).rows[0];

it('a message of before its order is no first payment of it, whoever reserves the order and under whatever stamp it comes again', async () => {
  const n = orderNumber();
  const kept = await receive(n, unknown);
  await reserved(db.owner, order({ externalOrderNumber: n, wallet: 'wallet-evil' }));
  const reroute = (stamp: { keyId: string; timestampMs: number } | null) =>
    inTransaction(login, (client) => rerouteCallback(client, kept.id, first, stamp));
  await expect(reroute(null)).rejects.toMatchObject(noMessage);
  await db.owner.query(
    `insert into engine.placement_attempt (external_order_number, n, deadline, outcome) values ($1, 1, now(), 'placed')`,
    [n],
  );
  await expect(reroute(null)).rejects.toMatchObject(noMessage);
  await expect(reroute({ keyId: 'key', timestampMs: Date.now() })).rejects.toMatchObject(noMessage);
});

it.each(['"soon"', '-1', '1e30', '9223372036854775807', 'null'])(
  'a deposit whose listening window is no time is not reserved, so that it cannot stop pruning: %s',
  async (ms) => {
    const reserving = login.query(
      `insert into engine.deposit (external_order_number, wallet, buy_coin_mode, mtc_amount, currency_code, support_language, fingerprint, settings)
       values ($1, 'wallet-evil', 'MtcAmount', 1, 'CNY', 'en', '', $2)`,
      [orderNumber(), `{"paymentWindowMs": 1, "listeningWindowMs": ${ms}}`],
    );
    await expect(reserving).rejects.toMatchObject({ code: expect.stringMatching(/^(P0E56|23514)$/) });
    const pruned = db.poolFor('app_worker').query(`select * from engine.prune('8 days', 10)`);
    await expect(pruned).resolves.toMatchObject({ rowCount: 2 });
  },
);

describe('past the functions', () => {
  it.each([
    ['callback', 'external_order_number, content_hash, raw, receipt, acked', `$1, sha256('x'), '{}', 'first', true`],
    ['callback_stamp', 'key_id, timestamp_ms, external_order_number, content_hash', `'key', 1, $1, sha256('x')`],
    ['callback_attempt', 'callback, n, key_id, timestamp_ms', `length($1), 2, 'key', 1`],
    ['review_case', 'workflow_id, callback, reason', `'review:evil', length($1), 'LATE'`],
    [
      'review_case',
      'workflow_id, callback, reason, opened_by, doubted',
      `'review:evil', length($1), 'CREDIT_IN_DOUBT', 'alice', 1`,
    ],
    [
      'review_case',
      'workflow_id, callback, reason, closed_at, decision, decided_by',
      `'review:evil', length($1), 'LATE', now(), 'reject', 'alice+bob'`,
    ],
  ])('no row is put into %s (%s)', async (table, columns, values) => {
    const insert = login.query(`insert into engine.${table} (${columns}) select ${values}`, [await waiting()]);
    await expect(insert).rejects.toMatchObject(denied);
  });

  it.each([
    ['deposit', 'bound_callback = 1'],
    ['deposit', 'told_at = now()'],
    ['callback', `outcome = 'posting:1'`],
    ['callback', `outcome = 'review:deposit:evil'`],
    ['callback', 'received_at = now()'],
    ['callback', `last_at = now() + interval '1 day'`],
    ['callback', 'raised_at = null'],
    ['callback', 'acked = false'],
    ['callback', `receipt = 'first', review_reason = null`],
    ['callback', 'attempts = 0'],
    ['own_stamp', 'reflected_at = null'],
    ['review_case', `held_by = 'review:evil'`],
    ['review_case', `closed_at = now(), decision = 'reject', decided_by = 'alice+bob'`],
  ])('no row of %s is changed: %s', async (table, change) => {
    await expect(login.query(`update engine.${table} set ${change}`)).rejects.toMatchObject(denied);
  });
});

describe('a deposit', () => {
  it('owns the first payment, and no function binds it to a second', async () => {
    const n = await waiting();
    const { id } = await receive(n);
    await expect(receive(n, first, payment(n))).rejects.toMatchObject(noMessage);
    const { rows } = await db.owner.query(
      'select bound_callback as bound from engine.deposit where external_order_number = $1',
      [n],
    );
    expect(rows).toEqual([{ bound: id }]);
  });

  it.each(['PLACEMENT_REFUSED', 'CREDITED', 'REJECTED', 'UNPAID'])('that is %s owns none any more', async (state) => {
    const n = await waiting();
    await byHand(db.owner, 'update engine.deposit set state = $2 where external_order_number = $1', [n, state]);
    await expect(receive(n)).rejects.toMatchObject(noMessage);
    // Nor by an existing row.
    const kept = await receive(n, unknown);
    const reroute = inTransaction(login, (client) => rerouteCallback(client, kept.id, first, null));
    await expect(reroute).rejects.toMatchObject(noMessage);
  });

  it('that is not there owns none, and of what cannot be read neither does one that is', async () => {
    for (const receipt of RECEIPTS.filter((one) => one !== 'unknown_order')) {
      const as = receipt === 'first' ? first : ({ receipt, reviewReason: 'STALE' } as const);
      await expect(receive(orderNumber(), as)).rejects.toMatchObject(noMessage);
    }
    const unreadable = `select engine.receive($1, sha256('x'), null, '{}', 'first', null, 'k', 1, 1, '\\x00', 'k', 1)`;
    await expect(login.query(unreadable, [await waiting()])).rejects.toMatchObject(noMessage);
  });

  it('is told of only what people have settled, once', async () => {
    const n = await waiting();
    const told = async () =>
      (await db.owner.query('select told_at as at from engine.deposit where external_order_number = $1', [n])).rows[0]
        .at;
    await login.query('select engine.told($1)', [n]);
    expect(await told()).toBeNull();
    const { workflowId } = (await openOwnCase(login, (await receive(n, second)).id))!;
    await db.owner.query('update engine.deposit set settled_by = $2 where external_order_number = $1', [n, workflowId]);
    await login.query('select engine.told($1)', [n]);
    const at = await told();
    expect(at).toEqual(expect.any(Date));
    await login.query('select engine.told($1)', [n]);
    expect(await told()).toEqual(at);
  });
});

describe('a message', () => {
  it('has a stamp and a seal, is one of a thousand copies at most, and none is what a history says', async () => {
    const n = await waiting();
    const call = (stamp: string, copies: number, bytes: string, receipt = 'stale') =>
      login.query(
        `select engine.receive($1, sha256('x'), null, '{}', '${receipt}', 'STALE', ${stamp}, ${copies}, ${bytes}, 'key', 1)`,
        [n],
      );
    await expect(call('null, null', 1, `'\\x00'`)).rejects.toMatchObject(noMessage);
    await expect(call(`'key', 1`, 1, 'null')).rejects.toMatchObject(noMessage);
    await expect(call(`'key', 1`, 0, `'\\x00'`)).rejects.toMatchObject(noMessage);
    await expect(call(`'key', 1`, 1_001, `'\\x00'`)).rejects.toMatchObject(noMessage);
    await expect(call(`'key', 1`, 1, `'\\x00'`, 'restored')).rejects.toMatchObject(noMessage);
  });

  it('that has its routing keeps it', async () => {
    const n = await waiting();
    const row = await receive(n, second);
    const reroute = (copies: number) =>
      inTransaction(login, (client) => rerouteCallback(client, row.id, first, null, copies));
    expect(await reroute(0)).toEqual(row);
    expect(await reroute(2)).toEqual({ ...row, attempts: 3 });
    const { rows } = await db.owner.query(
      'select bound_callback as bound from engine.deposit where external_order_number = $1',
      [n],
    );
    expect(rows).toEqual([{ bound: null }]);
  });

  it('is counted forward only', async () => {
    const { id } = await receive(await waiting());
    const count = (copies: number) => login.query('select engine.count_attempt($1, null, null, $2)', [id, copies]);
    const before = await callbackRow(id);
    for (const copies of [0, -5, 1_001]) await count(copies);
    expect(await callbackRow(id)).toEqual(before);
    await count(2);
    expect(await callbackRow(id)).toEqual({ ...before, attempts: 3, last_at: expect.any(Date) });
  });

  it('has no outcome but its own case, which is there', async () => {
    const n = await waiting();
    const { id } = await receive(n);
    await markRaised(login, id, true);
    expect(await callbackRow(id)).toMatchObject({ outcome: null });
    const kept = await receive(orderNumber(), unknown);
    // It is not acknowledged.
    expect(await openOwnCase(login, kept.id)).toBeNull();
    await markRaised(login, kept.id, true);
    expect(await callbackRow(kept.id)).toMatchObject({ outcome: null, raised_at: null });
  });

  it('is said by a history only where a restore is noted, or for an open deposit without a payment', async () => {
    const restored = (n: string, reason: 'RESTORED' | 'CASE_RESTORED' | 'LATE') =>
      inTransaction(login, (client) => insertRestored(client, n, `says ${n}`, reason as 'RESTORED', seal));
    const n = await waiting();
    await expect(restored(n, 'CASE_RESTORED')).rejects.toMatchObject(noMessage);
    await expect(restored(n, 'LATE')).rejects.toMatchObject(noMessage);
    expect(await restored(orderNumber(), 'RESTORED')).toBeNull();
    await receive(n);
    expect(await restored(n, 'RESTORED')).toBeNull();
  });
});

describe('a case', () => {
  it('that the engine opens is open, opened by nobody, and says what its callback says', async () => {
    const { id } = await receive(await waiting(), second);
    const { workflowId } = (await openOwnCase(login, id))!;
    const { rows } = await db.owner.query('select * from engine.review_case where workflow_id = $1', [workflowId]);
    expect(rows[0]).toMatchObject({ callback: id, reason: 'SECOND_CODE', detail: '', opened_by: null, doubted: null });
    expect(rows[0]).toMatchObject({ closed_at: null, decision: null, decided_by: null, held_by: null, parked: null });
  });

  it('is handed over by whoever knows who holds it, while it is open', async () => {
    const { id } = await receive(await waiting(), second);
    const { workflowId } = (await openOwnCase(login, id))!;
    const handOver = async (was: string | null) =>
      (await login.query<{ by: string | null }>('select engine.hand_over($1, $2) as by', [workflowId, was])).rows[0]!
        .by;
    expect(await handOver(null)).toBe(`${workflowId}:again:1`);
    expect(await handOver(null)).toBeNull();
    // However the session reads a backslash, no name is assigned twice.
    const session = await login.connect();
    await session.query('begin; set local standard_conforming_strings = off');
    const handed = await session.query('select engine.hand_over($1, $2) as by', [workflowId, `${workflowId}:again:1`]);
    await session.query('commit');
    session.release();
    expect(handed.rows).toEqual([{ by: `${workflowId}:again:2` }]);
    await db.owner.query(
      `update engine.review_case set closed_at = now(), decision = 'reject', decided_by = 'alice+bob' where workflow_id = $1`,
      [workflowId],
    );
    expect(await handOver(`${workflowId}:again:2`)).toBeNull();
  });
});

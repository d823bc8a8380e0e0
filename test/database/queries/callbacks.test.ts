import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import {
  arriving,
  countAttempt,
  countKept,
  findByContent,
  findCallback,
  insertCallback,
  markRaised,
  type NewCallback,
  newestKept,
  openOwnCase,
  rerouteCallback,
  type Stamp,
} from '../../../database/queries/callbacks.ts';
import { findDeposit } from '../../../database/queries/deposits.ts';
import { openAttempt } from '../../../database/queries/placements.ts';
import { inTransaction } from '../../../database/pool.ts';
import { RECEIPTS } from '../../../domain/review.ts';
import { reserved, sentBefore } from '../../ledger/payments.ts';
import { orderNumber, paid } from '../../support/builders.ts';
import { byHand, createTestDatabase } from '../../support/database.ts';
import { insertCallback as insertByOwner, type InboxRow } from '../../support/messages/inbox.ts';
import { sealed } from '../../support/seals.ts';

const db = await createTestDatabase();
const api = db.poolFor('app_api');
const worker = db.poolFor('app_worker');

const hash = () => randomBytes(32);
let stamps = 1_600_000_000_000;
const newStamp = (): Stamp => ({ keyId: 'key', timestampMs: (stamps += 1) });
async function message(change: Partial<InboxRow> = {}): Promise<InboxRow> {
  const asked = await reserved(db.owner);
  return {
    externalOrderNumber: asked.externalOrderNumber,
    deposit: asked.externalOrderNumber,
    contentHash: hash(),
    data: paid(asked),
    raw: Buffer.from('{}'),
    receipt: 'first',
    reviewReason: null,
    acked: true,
    seal: null,
    ...change,
  };
}
/** A row of any kind, bound to nothing. */
const insert = (callback: InboxRow) => insertByOwner(db.owner, callback);
/** As the API does for a received message. */
const receive = (callback: Omit<NewCallback, 'seal'>, stamp = newStamp(), copies = 1) =>
  inTransaction(api, (client) => insertCallback(client, sealed(callback, stamp), stamp, copies));
const UNKNOWN = { deposit: null, receipt: 'unknown_order', reviewReason: 'UNKNOWN_ORDER', acked: false } as const;
const second = { receipt: 'other_content', reviewReason: 'SECOND_CODE' } as const;
const setBack = (id: string, column: 'received_at' | 'raised_at', seconds: number) =>
  byHand(
    db.owner,
    `update engine.callback set ${column} = clock_timestamp() - $2 * interval '1 second' where id = $1`,
    [id, seconds],
  );

describe('an inbox row', () => {
  it('is found as it was received, by its id and by its content, and has no effect yet', async () => {
    const callback = await message();
    const row = await receive(callback);
    expect(row).toEqual({
      id: expect.stringMatching(/^\d+$/),
      uid: expect.stringMatching(/^[0-9a-f-]{36}$/),
      externalOrderNumber: callback.externalOrderNumber,
      deposit: callback.deposit,
      data: callback.data,
      receipt: 'first',
      reviewReason: null,
      receivedAt: expect.any(Date),
      attempts: 1,
      acked: true,
      raisedAt: null,
      outcome: null,
    });
    expect(await findCallback(api, row.id)).toEqual(row);
    expect(await findByContent(api, callback.externalOrderNumber, callback.contentHash)).toEqual(row);
    expect(await findByContent(api, callback.externalOrderNumber, hash())).toBeNull();
    expect(await findByContent(api, orderNumber(), callback.contentHash)).toBeNull();
    expect(await findCallback(api, '9000000000')).toBeNull();
  });

  it('is the only one of its content: fifty at once leave one', async () => {
    const callback = await message();
    const results = await Promise.allSettled(Array.from({ length: 50 }, () => receive({ ...callback, ...second })));
    expect(results.filter((result) => result.status === 'fulfilled')).toHaveLength(1);
    for (const result of results)
      if (result.status === 'rejected') expect(result.reason).toMatchObject({ code: '23505' });
  });

  it('keeps what was read to the last decimal, as text', async () => {
    const callback = await message();
    const data = { ...callback.data!, transactionAmount: '999999999999999.99999999', paymentPrice: '0.01' };
    expect((await receive({ ...callback, data })).data).toEqual(data);
  });

  it('has a reason for people exactly when it is not the first', async () => {
    for (const receipt of RECEIPTS) {
      const callback = await message({ receipt });
      const [without, withReason] = [
        { ...callback, reviewReason: null },
        { ...callback, reviewReason: 'STALE' as const },
      ];
      const [right, wrong] = receipt === 'first' ? [without, withReason] : [withReason, without];
      await expect(insert(wrong)).rejects.toMatchObject({ code: '23514' });
      expect((await insert(right)).receipt).toBe(receipt);
    }
  });

  it.each([
    ['a receipt nobody knows', { receipt: 'second' as 'first' }],
    ['a hash of another length', { contentHash: randomBytes(31) }],
    ['more bytes than the endpoint takes', { raw: Buffer.alloc(16_385) }],
  ])('with %s is refused by the database itself', async (_, change) => {
    await expect(insert(await message(change))).rejects.toMatchObject({ code: '23514' });
  });

  it('is of a deposit that is there, or of none', async () => {
    await expect(insert(await message({ deposit: orderNumber() }))).rejects.toMatchObject({ code: '23503' });
    const unknown = await message(UNKNOWN);
    const kept = { deposit: null, acked: false };
    expect(await receive({ ...unknown, externalOrderNumber: orderNumber() })).toMatchObject(kept);
    // Its order exists meanwhile: it waits for its routing as others do.
    expect(await receive(unknown)).toMatchObject(kept);
  });

  it('counts its repeats and keeps when the first came', async () => {
    const row = await insert(await message());
    await inTransaction(api, (client) => countAttempt(client, row.id));
    await inTransaction(api, (client) => countAttempt(client, row.id));
    expect(await findCallback(api, row.id)).toEqual({ ...row, attempts: 3 });
  });

  it('is bound to its deposit in the same breath when it is the first, and no other is', async () => {
    const first = await message();
    const row = await receive(first);
    expect(await findDeposit(api, first.externalOrderNumber)).toMatchObject({ boundCallback: row.id });
    const other = await receive({ ...first, contentHash: hash(), ...second });
    expect(other).toMatchObject({ deposit: first.deposit, acked: true });
    expect(await findDeposit(api, first.externalOrderNumber)).toMatchObject({ boundCallback: row.id });
  });

  it('of an order we did not know is routed once it is known, and keeps when it came', async () => {
    const externalOrderNumber = orderNumber();
    const unknown = { ...(await message(UNKNOWN)), externalOrderNumber };
    const [row, again] = [await receive(unknown), newStamp()];
    await reserved(db.owner, { externalOrderNumber });
    await sentBefore(db.owner, externalOrderNumber);
    const to = { receipt: 'first', reviewReason: null } as const;
    const routed = await inTransaction(api, (client) => rerouteCallback(client, row.id, to, again, 2));
    expect(routed).toEqual({ ...row, ...to, deposit: externalOrderNumber, acked: true, attempts: 3 });
    expect(await findCallback(api, row.id)).toEqual(routed);
    expect(await findDeposit(api, externalOrderNumber)).toMatchObject({ boundCallback: row.id });
    expect(await standsFor(again, externalOrderNumber)).toEqual(unknown.contentHash);
  });

  it('of an order that stays unknown is acknowledged when the first claim is six hours old', async () => {
    const externalOrderNumber = orderNumber();
    const unknown = { ...(await message(UNKNOWN)), externalOrderNumber };
    const first = await receive(unknown);
    await setBack(first.id, 'received_at', 6 * 3_600 - 60);
    expect(await receive({ ...unknown, contentHash: hash() })).toMatchObject({ acked: false });
    const reroute = () => inTransaction(api, (client) => rerouteCallback(client, first.id, UNKNOWN, null));
    expect(await reroute()).toMatchObject({ acked: false });
    await setBack(first.id, 'received_at', 6 * 3_600 + 1);
    expect(await receive({ ...unknown, contentHash: hash() })).toMatchObject({ acked: true });
    expect(await reroute()).toMatchObject({ ...first, receivedAt: expect.any(Date), acked: true });
  });
});

describe('messages that could not be read', () => {
  it('are counted for each order, and the newest is found', async () => {
    const base = await message({ data: null, receipt: 'unreadable', reviewReason: 'UNREADABLE' });
    expect(await countKept(api, base.externalOrderNumber, 'unreadable')).toBe(0);
    expect(await newestKept(api, base.externalOrderNumber, 'unreadable')).toBeNull();
    await insert(base);
    const newest = await insert({ ...base, contentHash: hash() });
    await insert(await message({ externalOrderNumber: base.externalOrderNumber, contentHash: hash() }));
    expect(await countKept(api, base.externalOrderNumber, 'unreadable')).toBe(2);
    expect(await newestKept(api, base.externalOrderNumber, 'unreadable')).toMatchObject({ id: newest.id, data: null });
  });
});

const standsFor = async (stamp: Stamp, externalOrderNumber: string) =>
  (await inTransaction(api, (client) => arriving(client, externalOrderNumber, hash(), stamp))).standsFor;

describe('a stamp', () => {
  const kept = async (change: Partial<InboxRow>, stamp: Stamp) => {
    const callback = await message({ contentHash: hash(), ...second, ...change });
    await receive(callback, stamp);
    return callback;
  };

  it('stands for the first content of an order that was kept with it, for ever', async () => {
    const stamp = { keyId: 'key', timestampMs: 1_700_000_000_000 };
    const first = await kept({}, stamp);
    const { externalOrderNumber } = first;
    await kept({ externalOrderNumber }, stamp);
    expect(await standsFor(stamp, externalOrderNumber)).toEqual(first.contentHash);
  });

  it('of another millisecond, key or order stands for its own or for nothing', async () => {
    const stamp = { keyId: 'key', timestampMs: 999_999_999_999_999 };
    const [one, other] = [await kept({}, stamp), await kept({}, stamp)];
    expect(await standsFor(stamp, one.externalOrderNumber)).toEqual(one.contentHash);
    expect(await standsFor(stamp, other.externalOrderNumber)).toEqual(other.contentHash);
    for (const change of [{ timestampMs: stamp.timestampMs - 1 }, { keyId: 'other' }])
      expect(await standsFor({ ...stamp, ...change }, one.externalOrderNumber)).toBeNull();
    expect(await standsFor(stamp, orderNumber())).toBeNull();
  });

  it('of an order we do not know stands for what it came with', async () => {
    const stamp = { keyId: 'key', timestampMs: 1_700_000_000_002 };
    const number = orderNumber();
    const { externalOrderNumber, contentHash } = await kept({ ...UNKNOWN, externalOrderNumber: number }, stamp);
    await reserved(db.owner, { externalOrderNumber });
    expect(await standsFor(stamp, externalOrderNumber)).toEqual(contentHash);
  });

  it('is noted with each of fifty copies, and one by one up to the fiftieth attempt', async () => {
    const stamp = { keyId: 'key', timestampMs: 1_700_000_000_003 };
    const row = await receive(await message(), newStamp(), 3);
    await countAttempt(api, row.id, stamp, 30);
    await countAttempt(api, row.id, stamp, 30);
    expect(await findCallback(api, row.id)).toEqual({ ...row, attempts: 63 });
    const noted = 'select count(*)::int as n, max(n)::int as last from engine.callback_attempt where callback = $1';
    expect((await db.owner.query(noted, [row.id])).rows).toEqual([{ n: 50, last: 50 }]);
  });
});

describe('a stamp that we signed ourselves', () => {
  let last = Date.now();
  async function signed() {
    const { externalOrderNumber } = await reserved(db.owner);
    last += 1;
    await byHand(db.owner, `update engine.deposit set state = 'PLACING' where external_order_number = $1`, [
      externalOrderNumber,
    ]);
    await openAttempt(worker, { externalOrderNumber, n: 1, deadlineMs: 1_000, keyId: 'key', timestampMs: last });
    return last;
  }
  const ordered = orderNumber();
  const reflect = (timestampMs: number, keyId = 'key', of = ordered) =>
    inTransaction(api, (client) => arriving(client, of, hash(), { keyId, timestampMs })).then(
      ({ reflected }) => reflected,
    );

  it('is known when it comes back, and known again after that', async () => {
    const stamp = await signed();
    expect(await reflect(stamp)).toBe('first time');
    expect(await reflect(stamp)).toBe('again');
    expect(await reflect(stamp)).toBe('again');
  });

  it('comes back for the first time for each order, up to a hundred', async () => {
    const stamp = await signed();
    const orders = Array.from({ length: 101 }, () => orderNumber());
    for (const [i, of] of orders.entries())
      expect(await reflect(stamp, 'key', of)).toBe(i < 100 ? 'first time' : 'again');
    for (const of of orders) expect(await reflect(stamp, 'key', of)).toBe('again');
  });

  it('is told from every other millisecond and key', async () => {
    const stamp = await signed();
    expect(await reflect(stamp + 1_000_000)).toBeNull();
    expect(await reflect(stamp, 'other')).toBeNull();
    expect(await reflect(stamp)).toBe('first time');
  });

  it('comes back for the first time once, fifty at once', async () => {
    const stamp = await signed();
    const answers = await Promise.all(Array.from({ length: 50 }, () => reflect(stamp)));
    expect(answers.filter((answer) => answer === 'first time')).toHaveLength(1);
    expect(answers.filter((answer) => answer === 'again')).toHaveLength(49);
  });

  it('has not come back when the transaction that saw it did not commit', async () => {
    const stamp = await signed();
    const seen = inTransaction(api, async (client) => {
      const arrival = await arriving(client, orderNumber(), hash(), { keyId: 'key', timestampMs: stamp });
      expect(arrival.reflected).toBe('first time');
      throw new Error('on purpose');
    });
    await expect(seen).rejects.toThrow('on purpose');
    expect(await reflect(stamp)).toBe('first time');
  });
});

describe('callbacks that were raised', () => {
  it('have one outcome, which names their own case; without one they have none', async () => {
    const { id } = await insert(await message());
    await markRaised(api, id, true);
    expect(await findCallback(api, id)).toMatchObject({ outcome: null, raisedAt: expect.any(Date) });
    await db.owner.query(`update engine.callback set outcome = 'posting:1' where id = $1`, [id]);
    expect(await openOwnCase(api, id)).toBeNull();
    await markRaised(api, id, true);
    expect(await findCallback(api, id)).toMatchObject({ outcome: 'posting:1' });
  });

  it('get one case, whose reason is theirs, and one that has another open about it gets none', async () => {
    const { id, uid } = await insert(await message(second));
    const own = { workflowId: `review:${id}-${uid!.slice(0, 8)}`, reason: 'SECOND_CODE', said: '' };
    expect([await openOwnCase(api, id), await openOwnCase(api, id)]).toEqual([own, own]);
    const gone = await insert(await message());
    expect(await openOwnCase(api, gone.id)).toMatchObject({ reason: 'WORKFLOW_GONE' });
    const held = await insert(await message(second));
    await db.owner.query(
      `insert into engine.review_case (workflow_id, callback, reason) values ('review:held', $1, 'LATE')`,
      [held.id],
    );
    expect(await openOwnCase(api, held.id)).toBeNull();
    expect(await openOwnCase(api, (await insert(await message({ ...second, acked: false }))).id)).toBeNull();
  });
});

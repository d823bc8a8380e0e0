import { describe, expect, it } from 'vitest';
import { findCallback, markRaised, openOwnCase } from '../../../database/queries/callbacks.ts';
import { reserve } from '../../../database/queries/deposits.ts';
import {
  findLongestWithoutEffect,
  findOpenDeposits,
  findToRaise,
  findWithoutEffect,
} from '../../../database/queries/due-rows.ts';
import type { DepositState } from '../../../domain/deposit.ts';
import { newWallet, reserved } from '../../ledger/payments.ts';
import { order, paid, reservation as reservationOf } from '../../support/builders.ts';
import { byHand, createTestDatabase } from '../../support/database.ts';
import { type InboxRow, insertReceived } from '../../support/messages/inbox.ts';

const db = await createTestDatabase();
const api = db.poolFor('app_api');

/** A row of any kind, bound to nothing. */
const callback = async (change: Partial<Omit<InboxRow, 'seal'>> = {}) =>
  insertReceived(db.owner, paid(await reserved(db.owner)), change);
const setBack = (id: string, column: 'received_at' | 'raised_at', seconds: number) =>
  byHand(
    db.owner,
    `update engine.callback set ${column} = clock_timestamp() - $2 * interval '1 second' where id = $1`,
    [id, seconds],
  );
const reservation = () => reservationOf(order({ wallet: newWallet() }));
const inState = (number: string, state: DepositState) =>
  byHand(db.owner, 'update engine.deposit set state = $2 where external_order_number = $1', [number, state]);
const aged = (number: string, seconds: number) =>
  db.owner.query(
    `update engine.deposit set created_at = clock_timestamp() - $2 * interval '1 second' where external_order_number = $1`,
    [number, seconds],
  );

describe('rows that a workflow has to be signaled about', () => {
  const TIMES = { freshMs: 10_000, againMs: 60_000, atMostMs: 3_600_000 };
  const pageOf = (after: readonly string[] | null, limit: number) => findToRaise(api, TIMES, after, limit);
  const toRaise = async (limit = 1_000) => (await pageOf(null, limit)).rows.map((row) => row.id);

  it('are acknowledged ones without effect that were not raised soon, or not lately', async () => {
    const rows = [];
    const cases: [string, Partial<InboxRow>, number, number | null, string | null, boolean][] = [
      ['fresh', {}, 5, null, null, false],
      ['never raised', {}, 11, null, null, true],
      ['raised lately', {}, 70, 50, null, false],
      ['raised when it was young, and still without effect', {}, 90, 61, null, true],
      ['raised at once, long ago', {}, 5, 61, null, true],
      ['raised at an age that it has not doubled', {}, 300, 149, null, false],
      ['raised at an age that it has doubled', {}, 300, 151, null, true],
      ['raised at an age of days, within the hour', {}, 400_000, 3_500, null, false],
      ['raised at an age of days, before that', {}, 400_000, 3_700, null, true],
      ['never raised, and of before the clock was put back', {}, -259_200, null, null, true],
      ['raised before the clock was put back', {}, -259_200, -259_200, null, true],
      ['of before that, and raised since', {}, -259_200, 50, null, false],
      ['posted', {}, 300, null, 'posting:1', false],
      ['in review', {}, 90, 61, 'review:deposit:1', false],
      ['not acknowledged', { acked: false }, 300, null, null, false],
    ];
    for (const [name, change, received, raised, outcome, expected] of cases) {
      const { id } = await callback(change);
      await setBack(id, 'received_at', received);
      if (raised !== null) await setBack(id, 'raised_at', raised);
      await db.owner.query('update engine.callback set outcome = $2 where id = $1', [id, outcome]);
      rows.push({ name, id, expected });
    }
    const found = await toRaise();
    for (const { name, id, expected } of rows) expect(found.includes(id), name).toBe(expected);
  });

  it('come oldest first, no more than asked for, and are left alone once raised or decided', async () => {
    const ids = [];
    for (const seconds of [1_000_000, 3_000_000, 2_000_000]) {
      const { id } = await callback();
      await setBack(id, 'received_at', seconds);
      ids.push(id);
    }
    const [newest, oldest, middle] = ids as [string, string, string];
    expect((await toRaise()).slice(0, 3)).toEqual([oldest, middle, newest]);
    expect(await toRaise(1)).toEqual([oldest]);
    await markRaised(api, oldest);
    expect(await toRaise()).not.toContain(oldest);
    await openOwnCase(api, middle);
    await markRaised(api, middle, true);
    expect(await toRaise()).not.toContain(middle);
    expect(await toRaise()).toContain(newest);
    const { uid, outcome } = (await findCallback(api, middle))!;
    expect(outcome).toBe(`review:review:${middle}-${uid!.slice(0, 8)}`);
  });

  it('are read page by page to the last, however alike their times', async () => {
    const ids = [];
    for (let i = 0; i < 7; i += 1) ids.push((await callback()).id);
    await byHand(
      db.owner,
      `update engine.callback set received_at = '2021-01-01T00:00:00.123456Z' where id = any($1)`,
      [ids.slice(1, 6)],
    );
    const all = await toRaise();
    expect(all).toEqual(expect.arrayContaining(ids.slice(1, 6)));
    for (const limit of [1, 2, 3]) {
      const seen: string[] = [];
      let after: readonly string[] | null = null;
      do {
        const page = await pageOf(after, limit);
        seen.push(...page.rows.map((row) => row.id));
        after = page.end;
      } while (after !== null);
      // Rows of other tests become due meanwhile.
      expect(seen.filter((id) => all.includes(id))).toEqual(all);
    }
  });

  it('are found behind those that wait, page by page: a page may be empty and not be the last', async () => {
    const ids = [];
    for (let i = 0; i < 26; i += 1) ids.push((await callback()).id);
    await byHand(
      db.owner,
      `update engine.callback set received_at = '2020-01-01T00:00:00.000001Z'::timestamptz + id * interval '1 microsecond' where id = any($1)`,
      [ids],
    );
    const due = ids.pop()!;
    for (const id of ids) await markRaised(api, id);
    const first = await pageOf(null, 1);
    expect(first).toMatchObject({ rows: [], end: [expect.any(String), ids[9]] });
    const second = await pageOf(first.end, 1);
    expect(second.rows).toEqual([]);
    expect((await pageOf(second.end, 1)).rows.map((row) => row.id)).toEqual([due]);
    expect((await toRaise())[0]).toBe(due);
    await db.owner.query(`update engine.callback set outcome = 'posting:1' where id = any($1)`, [[...ids, due]]);
  });

  it('are told of as one, with the age of the oldest, when nothing came of them for long', async () => {
    await db.owner.query(`update engine.callback set outcome = 'posting:1' where outcome is null`);
    expect(await findWithoutEffect(api, 0)).toBeNull();
    expect(await findLongestWithoutEffect(api, 0)).toBeNull();
    const [young, old, unknown] = [await callback(), await callback(), await callback({ acked: false })];
    for (const [{ id }, seconds] of [
      [young, 60],
      [old, 300],
      [unknown, 900],
    ] as const)
      await setBack(id, 'received_at', seconds);
    const told = await findWithoutEffect(api, 120_000);
    expect(told).toMatchObject({ count: 1, deposit: old.externalOrderNumber, inboxId: old.id });
    expect(told!.ageMs).toBeGreaterThanOrEqual(300_000);
    expect(await findLongestWithoutEffect(api, 120_000)).toBeGreaterThanOrEqual(told!.ageMs);
    expect(await findWithoutEffect(api, 30_000)).toMatchObject({ count: 2, inboxId: old.id });
    expect(await findWithoutEffect(api, 400_000)).toBeNull();
    expect(await findLongestWithoutEffect(api, 400_000)).toBeNull();
    await setBack(young.id, 'received_at', -259_200);
    expect(await findLongestWithoutEffect(api, 400_000)).toBeLessThan(0);
    expect(await findWithoutEffect(api, 400_000)).toMatchObject({ count: 1, inboxId: young.id });
  });
});

describe('reservations whose workflow was perhaps never started', () => {
  it('are those still placing and old enough, oldest first, and no more than asked for', async () => {
    await db.owner.query('update engine.deposit set created_at = clock_timestamp()');
    // The last one dates from before the server's clock was put back.
    const ages = [10, 40, 31, 90, 20, -259_200];
    const made = ages.map(() => reservation());
    for (const [i, one] of made.entries()) {
      await reserve(api, one);
      await aged(one.externalOrderNumber, ages[i]!);
    }
    await inState(made[3]!.externalOrderNumber, 'AWAITING_PAYMENT');
    const found = async (limit: number) =>
      (await findOpenDeposits(api, ['PLACING'], 30_000, null, limit)).rows.map((one) =>
        made.findIndex((m) => m.externalOrderNumber === one.externalOrderNumber),
      );
    expect(await found(10)).toEqual([1, 2, 5]);
    expect(await found(1)).toEqual([1]);
    await inState(made[1]!.externalOrderNumber, 'PLACEMENT_UNKNOWN');
    expect(await found(10)).toEqual([2, 5]);
  });

  it('are read page by page to the last, in whichever of the states, however alike their times', async () => {
    const made = Array.from({ length: 7 }, () => reservation());
    for (const one of made) await reserve(api, one);
    const numbers = made.map((one) => one.externalOrderNumber).toSorted();
    for (const n of numbers.slice(0, 3)) await inState(n, 'EXPIRED');
    await db.owner.query(
      `update engine.deposit set created_at = '2021-03-01T12:00:00.123456Z' where external_order_number = any($1)`,
      [numbers],
    );
    for (const limit of [1, 2, 7]) {
      const seen: string[] = [];
      let after: readonly string[] | null = null;
      do {
        const page = await findOpenDeposits(api, ['PLACING', 'EXPIRED'], 30_000, after, limit);
        seen.push(...page.rows.map((one) => one.externalOrderNumber));
        after = page.end;
      } while (after !== null && seen.length < 7);
      expect(seen.slice(0, 7)).toEqual(numbers);
    }
  });
});

import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import type pg from 'pg';
import { describe, expect, it } from 'vitest';
import {
  type CallbackRow,
  findCallback,
  type FirstMessage,
  receiveFirsts,
  type Stamp,
} from '../../../database/queries/callbacks.ts';
import { findDeposit } from '../../../database/queries/deposits.ts';
import { inTransaction } from '../../../database/pool.ts';
import { DEPOSIT_STATES, type DepositState, isFinal } from '../../../domain/deposit.ts';
import { BEFORE_ORDER_SLACK_MS } from '../../../domain/stamp-limits.ts';
import { type Message, route, routeFirst, type Routing } from '../../../intake/route-callback.ts';
import { reserved, sentBefore } from '../../ledger/payments.ts';
import { order, orderNumber, paid, settings } from '../../support/builders.ts';
import { byHand, createTestDatabase } from '../../support/database.ts';
import { insertCallback } from '../../support/messages/inbox.ts';
import { seal, sealed } from '../../support/seals.ts';

/** One look that judges and writes the usual messages: it accepts exactly what `route` accepts as `first`. */

const db = await createTestDatabase();
const api = db.poolFor('app_api');
const HOUR = 3_600_000;
const LISTENING_MS = settings().listeningWindowMs;

let last = 1_600_000_000_000;
const newStamp = (): Stamp => ({ keyId: 'key', timestampMs: (last += 1) });

async function paidOrder(isSent = true) {
  const asked = await reserved(db.owner);
  if (isSent) await sentBefore(db.owner, asked.externalOrderNumber);
  return { asked, content: randomBytes(32), stamp: newStamp() };
}
type Paid = Awaited<ReturnType<typeof paidOrder>>;

function messageOf({ asked, content, stamp }: Paid, copies = 1): FirstMessage {
  const row = {
    externalOrderNumber: asked.externalOrderNumber,
    contentHash: content,
    data: paid(asked),
    raw: Buffer.from('{}'),
    receipt: 'first' as const,
    reviewReason: null,
  };
  return { ...sealed(row, stamp), stamp, ageMs: 0, sentByMs: stamp.timestampMs, copies };
}

const look = async (of: Paid, copies = 1) => (await receiveFirsts(api, [messageOf(of, copies)]))[0]!;
const again = (of: Paid): Paid => ({ ...of, stamp: newStamp() });
const otherOf = (of: Paid): Paid => ({ ...again(of), content: randomBytes(32) });
const own = (of: Paid) =>
  byHand(db.owner, 'insert into engine.own_stamp (key_id, timestamp_ms) values ($1, $2)', [
    of.stamp.keyId,
    of.stamp.timestampMs,
  ]);
const lockDeposit = (client: pg.ClientBase, of: Paid) =>
  client.query('select from engine.deposit where external_order_number = $1 for update', [
    of.asked.externalOrderNumber,
  ]);

async function attempts(id: string) {
  const { rows } = await db.owner.query(
    'select n, key_id as "keyId", timestamp_ms::float8 as "timestampMs" from engine.callback_attempt where callback = $1 order by n',
    [id],
  );
  return rows;
}

describe('one look', () => {
  it('writes a first payment with its attempts, its stamp and its seal, and binds it', async () => {
    const of = await paidOrder();
    const found = await look(of, 2);
    expect(found).toMatchObject({ kind: 'first', row: { receipt: 'first', acked: true, attempts: 2, raisedAt: null } });
    const { row } = found as { readonly row: { readonly id: string } };
    expect(await findCallback(api, row.id)).toEqual(row);
    expect((await findDeposit(api, of.asked.externalOrderNumber))!.boundCallback).toBe(row.id);
    expect(await attempts(row.id)).toEqual([1, 2].map((n) => ({ n, ...of.stamp })));
    const { rows } = await db.owner.query(
      `select c.seal is not null and c.seal_key is not null and c.sealed_ms is not null as sealed, s.content_hash as stands
         from engine.callback c join engine.callback_stamp s using (external_order_number) where c.id = $1`,
      [row.id],
    );
    expect(rows).toEqual([{ sealed: true, stands: of.content }]);
  });

  it('counts what comes again, and waits for nobody who holds the deposit', async () => {
    const of = await paidOrder();
    const { row } = (await look(of)) as { readonly row: { readonly id: string } };
    const later = again(of);
    const seen = await inTransaction(db.owner, async (client) => {
      await lockDeposit(client, of);
      return look(later, 2);
    });
    expect(seen).toEqual({ kind: 'repeat', row });
    expect((await findCallback(api, row.id))!.attempts).toBe(3);
    expect(await attempts(row.id)).toEqual(
      [of.stamp, later.stamp, later.stamp].map((stamp, i) => ({ n: i + 1, ...stamp })),
    );
  });

  it('counts what comes again without a lock of the deposit, for which its credit would wait', async () => {
    const [of, first] = [await paidOrder(), await paidOrder()];
    await look(of);
    const isFree = async ({ asked }: Paid) => {
      const { rows } = await db.owner.query(
        'select from engine.deposit where external_order_number = $1 for no key update skip locked',
        [asked.externalOrderNumber],
      );
      return rows.length === 1;
    };
    await inTransaction(api, async (client) => {
      expect(await receiveFirsts(client, [messageOf(again(of)), messageOf(first)])).toMatchObject([
        { kind: 'repeat' },
        { kind: 'first' },
      ]);
      expect([await isFree(of), await isFree(first)]).toEqual([true, false]);
    });
  });

  it('leaves one of fifty that come at once, counts others, and has the rest looked at alone', async () => {
    const of = await paidOrder();
    const looks = await Promise.all(Array.from({ length: 50 }, () => look(again(of))));
    const count = (kind: string) => looks.filter((one) => one?.kind === kind).length;
    expect(count('first')).toBe(1);
    expect(count('first') + count('repeat') + looks.filter((one) => one === null).length).toBe(50);
    const { rows } = await db.owner.query<{ attempts: number }>(
      'select attempts from engine.callback where external_order_number = $1',
      [of.asked.externalOrderNumber],
    );
    expect(rows).toEqual([{ attempts: 1 + count('repeat') }]);
  });

  it('leaves what cannot be read to a longer look', async () => {
    expect(await receiveFirsts(api, [{ ...messageOf(await paidOrder()), data: null }])).toEqual([null]);
  });

  it('leaves a stamp of ours, which other orders share, to a longer look, and notes nothing', async () => {
    const of = await paidOrder();
    await own(of);
    expect(await look(of)).toBeNull();
    const { rows } = await db.owner.query(
      'select reflected_at from engine.own_stamp where key_id = $1 and timestamp_ms = $2',
      [of.stamp.keyId, of.stamp.timestampMs],
    );
    expect(rows).toEqual([{ reflected_at: null }]);
  });
});

/** Facts that leave a payment to a longer look, each alone; and their likes about another message, which do not. */
describe('one look', () => {
  const hand = (sql: string, ...values: unknown[]) => byHand(db.owner, sql, values);
  const stand = (n: string, { keyId, timestampMs }: Stamp, content = randomBytes(32)) =>
    hand('insert into engine.callback_stamp values ($1, $2, $3, $4)', keyId, timestampMs, n, content);
  const keep = (n: string, contentHash: Buffer, stamp: Stamp) =>
    insertCallback(
      db.owner,
      {
        externalOrderNumber: n,
        deposit: null,
        contentHash,
        data: null,
        raw: Buffer.from('{}'),
        seal: null,
        receipt: 'unknown_order',
        reviewReason: 'UNKNOWN_ORDER',
        acked: false,
      },
      stamp,
    );
  const otherKey = ({ stamp }: Paid): Stamp => ({ ...stamp, keyId: 'other' });
  const otherTime = ({ stamp }: Paid): Stamp => ({ ...stamp, timestampMs: stamp.timestampMs - 1 });
  type Change = (of: Paid, n: string) => Promise<unknown>;

  const OBJECTIONS: Readonly<Record<string, Change>> = {
    ...Object.fromEntries(
      DEPOSIT_STATES.filter(isFinal).map((state): [string, Change] => [
        `a deposit that is ${state}`,
        (_, n) => hand('update engine.deposit set state = $2 where external_order_number = $1', n, state),
      ]),
    ),
    'the same content, kept': ({ content }, n) => keep(n, content, newStamp()),
    'a stamp of ours': own,
    'a stamp that stands for another content': ({ stamp }, n) => stand(n, stamp),
    'a stamp that another content came with': ({ stamp }, n) => keep(n, randomBytes(32), stamp),
    'an order that was sent after its stamp': ({ stamp }, n) =>
      hand(
        `update engine.placement_attempt set started_at = to_timestamp($2::float8 / 1000) where external_order_number = $1`,
        n,
        stamp.timestampMs + BEFORE_ORDER_SLACK_MS + 1,
      ),
    'an order that was adopted and not sent': (_, n) =>
      hand(`update engine.placement_attempt set answer = '{"cause": "ADOPTED"}' where external_order_number = $1`, n),
    'an order that was never sent': (_, n) =>
      hand('delete from engine.placement_attempt where external_order_number = $1', n),
  };
  it.each(Object.entries(OBJECTIONS))('leaves %s to a longer look', async (_, change) => {
    const of = await paidOrder();
    await change(of, of.asked.externalOrderNumber);
    expect(await look(of)).toBeNull();
  });

  const OF_OTHERS: Readonly<Record<string, Change>> = {
    'the same content of another order': async (of) => look({ ...(await paidOrder()), content: of.content }),
    'the same content of another order, kept': (of) => keep(orderNumber(), of.content, newStamp()),
    'another content of the order, kept': (_, n) => keep(n, randomBytes(32), newStamp()),
    'a stamp of ours with another key': (of) => own({ ...of, stamp: otherKey(of) }),
    'a stamp of ours of another time': (of) => own({ ...of, stamp: otherTime(of) }),
    'what a stamp with another key stands for': (of, n) => stand(n, otherKey(of)),
    'what a stamp of another time stands for': (of, n) => stand(n, otherTime(of)),
    'what the stamp stands for in another order': (of) => stand(orderNumber(), of.stamp),
    'what came with another key': (of, n) => keep(n, randomBytes(32), otherKey(of)),
    'what came at another time': (of, n) => keep(n, randomBytes(32), otherTime(of)),
    'what came with the stamp for another order': (of) => keep(orderNumber(), randomBytes(32), of.stamp),
    'an attempt after its stamp': ({ stamp }, n) =>
      hand(
        `insert into engine.placement_attempt (external_order_number, n, started_at, deadline) values ($1, 2, to_timestamp($2::float8 / 1000) + interval '1 day', now())`,
        n,
        stamp.timestampMs,
      ),
  };
  it.each(Object.entries(OF_OTHERS))('takes a payment beside %s', async (_, change) => {
    const of = await paidOrder();
    await change(of, of.asked.externalOrderNumber);
    expect(await look(of)).toMatchObject({ kind: 'first' });
  });
});

describe('messages that share a look', () => {
  it('are judged each for itself, in order, and none waits for what somebody else has locked', async () => {
    const [first, repeated, countedElsewhere, heldElsewhere, reflected, twoContents, twice, bound] = await Promise.all(
      Array.from({ length: 8 }, () => paidOrder()),
    );
    const unknown: Paid = { asked: order(), content: randomBytes(32), stamp: newStamp() };
    await own(reflected!);
    const before = await Promise.all([repeated!, countedElsewhere!, bound!].map((of) => look(of)));
    const [repeatedRow, countedRow] = before.map((one) => (one as { readonly row: CallbackRow }).row);
    const looks = await inTransaction(db.owner, async (client) => {
      await lockDeposit(client, heldElsewhere!);
      await client.query('select from engine.callback where id = $1 for update', [countedRow!.id]);
      return receiveFirsts(
        api,
        [
          unknown,
          first!,
          again(repeated!),
          again(countedElsewhere!),
          heldElsewhere!,
          reflected!,
          twoContents!,
          otherOf(twoContents!),
          twice!,
          again(twice!),
          otherOf(bound!),
        ].map((of) => messageOf(of)),
      );
    });
    const kinds = [null, 'first', 'repeat', null, null, null, 'first', null, 'first', null, null];
    expect(looks.map((one) => one?.kind ?? null)).toEqual(kinds);
    const rowAt = (i: number) => (looks[i] as { readonly row: CallbackRow }).row;
    expect(rowAt(2)).toEqual(repeatedRow);
    const bindings = [
      [1, first!],
      [6, twoContents!],
      [8, twice!],
    ] as const;
    for (const [i, of] of bindings) {
      expect(await findCallback(api, rowAt(i).id)).toEqual(rowAt(i));
      expect((await findDeposit(api, of.asked.externalOrderNumber))!.boundCallback).toBe(rowAt(i).id);
      expect(await attempts(rowAt(i).id)).toEqual([{ n: 1, ...of.stamp }]);
    }
    // Nothing was changed of those without an answer, and the longer look takes them.
    expect((await findDeposit(api, heldElsewhere!.asked.externalOrderNumber))!.boundCallback).toBeNull();
    expect((await findCallback(api, countedRow!.id))!.attempts).toBe(1);
    expect(await look(heldElsewhere!)).toMatchObject({ kind: 'first' });
  });

  it('fail together when PostgreSQL refuses one of them, and nothing is written', async () => {
    const [good, bad] = [await paidOrder(), await paidOrder()];
    await expect(receiveFirsts(api, [messageOf(good), messageOf(bad, 0)])).rejects.toMatchObject({ code: 'P0E60' });
    expect((await findDeposit(api, good.asked.externalOrderNumber))!.boundCallback).toBeNull();
    expect(await look(good)).toMatchObject({ kind: 'first' });
  });

  it('do not wait for those of another look, whatever their order', async () => {
    const orders = await Promise.all(Array.from({ length: 8 }, () => paidOrder()));
    const looks = await Promise.all(
      [orders, orders.toReversed()].flatMap((some) =>
        [1, 2, 3, 4].map(() =>
          receiveFirsts(
            api,
            some.map((of) => messageOf(again(of))),
          ),
        ),
      ),
    );
    const firsts = looks.flat().filter((one) => one?.kind === 'first');
    expect(firsts).toHaveLength(orders.length);
  });
});

describe('one look and a longer one', () => {
  /** Mostly no obstacle, so that each obstacle occurs alone. */
  const mostly = <T>(usual: readonly T[], ...others: readonly T[]) =>
    fc.oneof({ weight: 6, arbitrary: fc.constantFrom(...usual) }, { weight: 1, arbitrary: fc.constantFrom(...others) });
  const situation = fc.record({
    isKnown: mostly([true], false),
    state: mostly<DepositState>(['AWAITING_PAYMENT', 'PLACING', 'EXPIRED'], ...DEPOSIT_STATES),
    /** Before its stamp; null: never. */
    sentMs: mostly<number | null>([HOUR, -4 * 60_000, -BEFORE_ORDER_SLACK_MS], null, -HOUR, -BEFORE_ORDER_SLACK_MS - 1),
    /** Our clock's fraction of a millisecond in the stamp. */
    fractionMs: mostly([0], 0.25, -0.25),
    isBound: mostly([false], true),
    isAdopted: mostly([false], true),
    isSentAgain: mostly([false], true),
    stands: mostly(['nothing', 'this'], 'another', 'another that was kept'),
    own: mostly(['no'], 'once', 'again'),
    kept: mostly(['no' as const], 'unknown_order' as const, 'other_content' as const),
    aheadMs: mostly([0, 0.25, -HOUR, -LISTENING_MS], -80 * HOUR, -LISTENING_MS - 0.001),
    copies: mostly([1, 2], 60, 1_000),
  });

  it('take the same message for the payment, whatever stands against it', async () => {
    let taken = 0;
    await fc.assert(
      fc.asyncProperty(situation, async (at) => {
        const { asked, content, stamp } = await paidOrder(false);
        const n = at.isKnown ? asked.externalOrderNumber : orderNumber();
        const inbox = {
          externalOrderNumber: n,
          deposit: at.isKnown ? n : null,
          data: paid(asked),
          raw: Buffer.from('{}'),
          seal: null,
        };
        const hand = (sql: string, values: readonly unknown[]) => byHand(db.owner, sql, values);
        if (at.isKnown) {
          await hand('update engine.deposit set state = $2 where external_order_number = $1', [n, at.state]);
          if (at.sentMs !== null)
            await hand(
              `insert into engine.placement_attempt (external_order_number, n, started_at, deadline, answer)
               select $1, n, to_timestamp($2::float8 / 1000) + (n - 1) * interval '2 hours', now(), $3
                 from generate_series(1, $4) n`,
              [
                n,
                stamp.timestampMs - at.sentMs,
                at.isAdopted ? { kind: 'unknown', cause: 'ADOPTED' } : null,
                at.isSentAgain ? 2 : 1,
              ],
            );
          if (at.stands === 'another that was kept')
            await insertCallback(
              db.owner,
              {
                ...inbox,
                deposit: null,
                contentHash: randomBytes(32),
                receipt: 'unknown_order',
                reviewReason: 'UNKNOWN_ORDER',
                acked: false,
              },
              stamp,
            );
          else if (at.stands !== 'nothing')
            await hand('insert into engine.callback_stamp values ($1, $2, $3, $4)', [
              stamp.keyId,
              stamp.timestampMs,
              n,
              at.stands === 'this' ? content : randomBytes(32),
            ]);
          if (at.isBound) {
            const { id } = await insertCallback(db.owner, {
              ...inbox,
              contentHash: randomBytes(32),
              receipt: 'first',
              reviewReason: null,
              acked: true,
            });
            await hand('update engine.deposit set bound_callback = $2 where external_order_number = $1', [n, id]);
          }
        }
        if (at.own !== 'no')
          await hand(
            'insert into engine.own_stamp (key_id, timestamp_ms, reflected_at, reflected_for) values ($1, $2, $3, $4)',
            [stamp.keyId, stamp.timestampMs, at.own === 'again' ? new Date() : null, at.own === 'again' ? [n] : []],
          );
        if (at.kept !== 'no')
          await insertCallback(
            db.owner,
            {
              ...inbox,
              deposit: at.kept === 'unknown_order' ? null : inbox.deposit,
              contentHash: content,
              receipt: at.kept,
              reviewReason: at.kept === 'unknown_order' ? 'UNKNOWN_ORDER' : 'SECOND_CODE',
              acked: at.kept !== 'unknown_order',
            },
            newStamp(),
          );
        const message: Message = {
          externalOrderNumber: n,
          timestampMs: stamp.timestampMs,
          keyId: stamp.keyId,
          kept: () => Buffer.from('{}'),
          reading: { readable: true, data: paid(asked), contentHash: content },
          aheadMs: at.aheadMs,
          stampedMs: stamp.timestampMs + at.fractionMs,
          copies: at.copies,
          receivedMs: Date.now(),
        };
        const undone = new Error('undone');
        let long: Routing | undefined;
        // Undone before the short look: that would not wait for its locks.
        await inTransaction(api, async (client) => {
          long = await route(client, message, seal);
          throw undone;
        }).catch((error: unknown) => {
          if (error !== undone) throw error;
        });
        // Beside another message, which is taken whatever becomes of this one.
        const neighbor = await paidOrder();
        const short = await routeFirst(
          async (one) => {
            const [beside, found] = await receiveFirsts(api, [messageOf(neighbor), one]);
            expect(beside).toMatchObject({ kind: 'first' });
            return found!;
          },
          message,
          seal,
        );
        const isFirst = long!.signal?.receipt === 'first' && at.kept === 'no';
        if (isFirst) {
          taken += 1;
          const { id, uid, receivedAt } = short!.signal!;
          expect(short).toEqual({ ...long, signal: { ...long!.signal, id, uid, receivedAt } });
        } else if (at.kept === 'other_content') expect(short).toMatchObject({ answer: 'ack', alarm: null });
        else expect(short).toBeNull();
      }),
      { numRuns: 150, endOnFailure: true },
    );
    expect(taken).toBeGreaterThan(10);
  });
});

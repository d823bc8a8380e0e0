import { describe, expect, test } from 'vitest';
import { depositWorkflowId } from '../../../domain/ids.ts';
import { keyId } from '../../../providers/key-names.ts';
import { expectRefusal, postings, stored, workflowStatus } from '../../api/evidence.ts';
import { expectAck, reserved } from '../../api/parts.ts';
import { order, paid } from '../../support/builders.ts';
import { providerKey } from '../../support/messages/callbacks.ts';
import { byHand } from '../../support/database.ts';
import { until } from '../../support/until.ts';
import { startReceiving } from './receiving.ts';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;

const { engine, api, say, placed, expectCredited, expectReview, expectNoTraces } = await startReceiving();

describe('the time of the stamp', () => {
  test.each([
    ['just now', 0],
    ['a little ahead', 110_000],
    ['a little before the order was sent', -4 * MINUTE],
  ])('%s is credited', async (_, offset) => {
    const deposit = await placed();
    const data = paid(deposit);
    expectAck(await say(data, Date.now() + offset));
    await expectCredited(deposit, data.transactionCode);
  });

  test.each([
    ['three minutes ahead', 3 * MINUTE, 'ahead', 'STAMP_AHEAD'],
    ['fourteen minutes ahead', 14 * MINUTE, 'ahead', 'STAMP_AHEAD'],
    ['before the order was sent', -6 * MINUTE, 'stale', 'STAMP_BEFORE_ORDER'],
    ['a day old', -24 * HOUR, 'stale', 'STAMP_BEFORE_ORDER'],
    ['older than the listening window', -74 * HOUR, 'stale', 'STALE'],
    ['of 2021', 1_625_546_438_154 - Date.now(), 'stale', 'STALE'],
  ])(
    '%s is acknowledged and reviewed; the deposit waits on, and a fresh one is credited',
    async (_, offset, receipt, reason) => {
      const deposit = await placed();
      expectAck(await say(paid(deposit), Date.now() + offset));
      await expectReview(deposit, receipt, reason);
      expect(await engine.deposit(deposit.externalOrderNumber)).toMatchObject({
        state: 'AWAITING_PAYMENT',
        review: null,
      });
      const genuine = paid(deposit);
      expectAck(await say(genuine));
      await expectCredited(deposit, genuine.transactionCode);
    },
  );

  test('of a retry late in the listening window is credited, and beyond the window it is reviewed', async () => {
    const [late, tooLate] = [await placed(), await placed()];
    await byHand(
      engine.db.owner,
      `update engine.placement_attempt set started_at = started_at - interval '100 hours' where external_order_number = any($1)`,
      [[late.externalOrderNumber, tooLate.externalOrderNumber]],
    );
    const data = paid(late);
    expectAck(await say(data, Date.now() - 73 * HOUR + MINUTE));
    await expectCredited(late, data.transactionCode);
    expectAck(await say(paid(tooLate), Date.now() - 73 * HOUR - MINUTE));
    await expectReview(tooLate, 'stale', 'STALE');
    expect(await postings(engine, tooLate.externalOrderNumber)).toEqual([]);
  });

  test('T24: of a deposit whose order was never sent is reviewed, and starts nothing', async () => {
    const deposit = order();
    await reserved(engine, deposit);
    expectAck(await say(paid(deposit)));
    await expectReview(deposit, 'stale', 'STAMP_BEFORE_ORDER');
    expect(await workflowStatus(engine, depositWorkflowId(deposit.externalOrderNumber))).toBeNull();
    expect(await engine.deposit(deposit.externalOrderNumber)).toMatchObject({ state: 'PLACING' });
  });
});

describe('a stamp of our own that comes back as a callback', () => {
  /** A deposit and the stamp of its placement. Orders of one second share a stamp: this one has not come back yet. */
  const placedUnderStamp = () =>
    until('a stamp that has not come back', async () => {
      const deposit = await placed();
      const { rows } = await engine.db.owner.query<{ at: string; fresh: boolean }>(
        `select timestamp_ms as at, reflected_at is null as fresh from engine.own_stamp where key_id = $1
          order by timestamp_ms desc limit 1`,
        [keyId(providerKey(engine))],
      );
      return rows[0]!.fresh && { deposit, at: Number(rows[0]!.at) };
    });

  test('T2: is refused once with nothing kept, reviewed when it comes again, and the genuine callback is credited', async () => {
    const { deposit, at } = await placedUnderStamp();
    const forged = paid(deposit);
    const before = await stored(engine);
    const refused = await say(forged, at);
    expectRefusal(refused, 503, 'unavailable');
    expect(refused.headers.get('retry-after')).toMatch(/^[1-9]\d*$/);
    expect(await stored(engine)).toEqual({ ...before, reflections: String(Number(before['reflections']) + 1) });
    expect(api.alarms(deposit.externalOrderNumber)).toEqual(['callback_reflected']);

    expectAck(await say(forged, at));
    await expectReview(deposit, 'reflected', 'REFLECTED');
    expect(await engine.deposit(deposit.externalOrderNumber)).toMatchObject({ state: 'AWAITING_PAYMENT' });
    const genuine = paid(deposit);
    expectAck(await say(genuine));
    await expectCredited(deposit, genuine.transactionCode);
  });

  test('by chance is honest: the retry under another stamp is credited', async () => {
    const { deposit, at } = await placedUnderStamp();
    const data = paid(deposit);
    expectRefusal(await say(data, at), 503, 'unavailable');
    expectAck(await say(data));
    await expectCredited(deposit, data.transactionCode);
  });

  test('by chance, with others that were signed in one millisecond: each is refused once, and none is for people', async () => {
    const { deposit, at } = await placedUnderStamp();
    const signed = [deposit, await placed(), await placed()].map((of) => ({ of, data: paid(of) }));
    for (const { data } of signed) expectRefusal(await say(data, at), 503, 'unavailable');
    for (const { of, data } of signed) {
      expectAck(await say(data));
      await expectCredited(of, data.transactionCode);
    }
  });
});

/** Last, because it checks the traces of all other tests. */
describe('what is left behind', () => {
  test('T3: no table, history or log holds a signature, a token, a key or the payer’s name', expectNoTraces);

  test('the books are whole', () => engine.auditLedger());
});

import pg from 'pg';
import { describe, expect, it, onTestFinished } from 'vitest';
import {
  findDeposit,
  markClosed,
  writeState,
  SETTLED_CHANNEL,
  viewDeposit,
} from '../../../database/queries/deposits.ts';
import {
  closeAttempts,
  lastAttempt,
  notSent,
  openAttempt,
  settleAttempt,
  type StoredAnswer,
} from '../../../database/queries/placements.ts';
import { findAnsweredLate } from '../../../database/queries/due-rows.ts';
import { reserved } from '../../ledger/payments.ts';
import { byHand, createTestDatabase } from '../../support/database.ts';

const db = await createTestDatabase();
const api = db.poolFor('app_api');
const worker = db.poolFor('app_worker');

/** A deposit whose order is being placed. */
async function placing(): Promise<string> {
  const { externalOrderNumber } = await reserved(db.owner);
  await byHand(db.owner, `update engine.deposit set state = 'PLACING' where external_order_number = $1`, [
    externalOrderNumber,
  ]);
  return externalOrderNumber;
}
let stamps = Date.now();
const open = (externalOrderNumber: string, n = 1, deadlineMs = 25_000) => {
  stamps += 1;
  return openAttempt(worker, { externalOrderNumber, n, deadlineMs, keyId: 'key', timestampMs: stamps });
};
const settle = (number: string, answer: StoredAnswer, n = 1) => settleAttempt(worker, number, n, answer);
const shown = async (number: string) => {
  const { state, redirectUrl, advertisementCode, placedAt, expiresAt, listeningUntil } = (await findDeposit(
    api,
    number,
  ))!;
  return { state, redirectUrl, advertisementCode, placed: placedAt !== null, windows: [expiresAt, listeningUntil] };
};
const ownStamps = async () => (await db.owner.query('select timestamp_ms from engine.own_stamp order by 1')).rows;

const PLACED: StoredAnswer = {
  kind: 'placed',
  redirectUrl: 'https://checkout.example/1',
  advertisementCode: 'AD-1',
  providerTimeMs: 1,
};
const UNKNOWN: StoredAnswer = { kind: 'unknown', cause: 'no answer by the deadline' };
const REFUSED: StoredAnswer = { kind: 'refused', statusCode: 'PARAMETER_ERROR', message: 'too small' };
const NOT_SENT: StoredAnswer = { kind: 'not_sent', cause: 'ECONNREFUSED' };
const NOTHING_SHOWN = { redirectUrl: null, advertisementCode: null, placed: false, windows: [null, null] };

describe('an attempt', () => {
  it('is claimed by one of fifty at once, with the one stamp it will be signed with', async () => {
    const number = await placing();
    const before = (await ownStamps()).length;
    const claims = await Promise.all(Array.from({ length: 50 }, () => open(number)));
    expect(claims.filter((claimed) => claimed)).toHaveLength(1);
    expect(await ownStamps()).toHaveLength(before + 1);
    expect(await lastAttempt(worker, number)).toMatchObject({ n: 1, outcome: null, answer: null });
  });

  it('is open until its deadline, by the clock of the database', async () => {
    const number = await placing();
    await open(number, 1, 25_000);
    const { remainingMs } = (await lastAttempt(worker, number))!;
    expect(remainingMs).toBeGreaterThan(0);
    expect(remainingMs).toBeLessThanOrEqual(25_000);
    const late = await placing();
    await open(late, 1, -1_000);
    expect((await lastAttempt(worker, late))!.remainingMs).toBeLessThanOrEqual(-1_000);
  });

  it('may share its stamp with another order', async () => {
    const [one, two] = [await placing(), await placing()];
    const stamp = { n: 1, deadlineMs: 1_000, keyId: 'key', timestampMs: Date.now() };
    expect(await openAttempt(worker, { ...stamp, externalOrderNumber: one })).toBe(true);
    expect(await openAttempt(worker, { ...stamp, externalOrderNumber: two })).toBe(true);
  });

  it('is the newest; an order that was never tried has none', async () => {
    const number = await placing();
    expect(await lastAttempt(worker, number)).toBeNull();
    await open(number, 1);
    await settle(number, NOT_SENT, 1);
    await open(number, 2);
    expect(await lastAttempt(worker, number)).toMatchObject({ n: 2, outcome: null });
  });

  it('that is closed unsent cannot be opened by a late run, nor an open one be closed', async () => {
    const number = await placing();
    const before = (await ownStamps()).length;
    expect(await closeAttempts(worker, number, 1, 'TOO_LATE')).toBe(true);
    expect(await closeAttempts(worker, number, 1, 'NOT_SENT')).toBe(false);
    expect(await open(number)).toBe(false);
    expect(await ownStamps()).toHaveLength(before);
    expect(await lastAttempt(worker, number)).toMatchObject({
      n: 1,
      outcome: 'closed',
      answer: { kind: 'closed', cause: 'TOO_LATE' },
    });
    const other = await placing();
    await open(other);
    expect(await closeAttempts(worker, other, 1, 'NOT_SENT')).toBe(false);
    expect(await lastAttempt(worker, other)).toMatchObject({ outcome: null });
  });

  it('or the closing of it wins, never both, when they race', async () => {
    for (let i = 0; i < 10; i += 1) {
      const number = await placing();
      const [opened, closed] = await Promise.all([open(number), closeAttempts(worker, number, 1, 'NOT_SENT')]);
      expect([opened, closed].filter((won) => won)).toHaveLength(1);
    }
  });

  it('is of a deposit that is there', async () => {
    expect(await open('no-such-deposit')).toBe(false);
  });
});

describe('what became of an attempt', () => {
  it('placed: the link is shown and the windows run from the answer', async () => {
    const number = await placing();
    await open(number);
    expect(await settle(number, PLACED)).toEqual(PLACED);
    const deposit = (await findDeposit(api, number))!;
    expect(deposit).toMatchObject({
      state: 'AWAITING_PAYMENT',
      redirectUrl: 'https://checkout.example/1',
      advertisementCode: 'AD-1',
    });
    const minutes = (until: Date | null) => (until!.getTime() - deposit.placedAt!.getTime()) / 60_000;
    expect(minutes(deposit.expiresAt)).toBe(30);
    expect(minutes(deposit.listeningUntil)).toBe(30 + 73 * 60);
  });

  it('unknown: no link, and the windows run from the sending', async () => {
    const number = await placing();
    await open(number);
    expect(await settle(number, UNKNOWN)).toEqual(UNKNOWN);
    const { rows } = await db.owner.query<{ started_at: Date }>(
      'select started_at from engine.placement_attempt where external_order_number = $1',
      [number],
    );
    const sentMs = rows[0]!.started_at.getTime();
    expect(await shown(number)).toEqual({
      ...NOTHING_SHOWN,
      state: 'PLACEMENT_UNKNOWN',
      windows: [new Date(sentMs + 30 * 60_000), new Date(sentMs + 30 * 60_000 + 73 * 3_600_000)],
    });
  });

  it.each([REFUSED, NOT_SENT])('$kind: kept, and the deposit is left to be closed', async (answer) => {
    const number = await placing();
    await open(number);
    expect(await settle(number, answer)).toEqual(answer);
    expect(await lastAttempt(worker, number)).toMatchObject({ outcome: answer.kind, answer });
    expect(await shown(number)).toEqual({ ...NOTHING_SHOWN, state: 'PLACING' });
  });

  it.each([PLACED, UNKNOWN])('$kind is told to whoever waits for the deposit', async (answer) => {
    const number = await placing();
    await open(number);
    const listener = new pg.Client(db.urlFor('app_api'));
    await listener.connect();
    onTestFinished(() => listener.end());
    const told = new Promise((resolve) => void listener.once('notification', resolve));
    await listener.query(`listen ${SETTLED_CHANNEL}`);
    await settle(number, answer);
    expect(await told).toMatchObject({ payload: number });
  });

  it.each([
    [PLACED, UNKNOWN],
    [PLACED, REFUSED],
    [REFUSED, PLACED],
    [REFUSED, UNKNOWN],
    [NOT_SENT, PLACED],
    [NOT_SENT, UNKNOWN],
  ] as const)('is decided by the first answer: $kind, then $kind', async (first, second) => {
    const number = await placing();
    await open(number);
    await settle(number, first);
    const before = [await shown(number), await lastAttempt(worker, number).then((attempt) => attempt!.answer)];
    expect(await settle(number, second)).toEqual(first);
    expect([await shown(number), await lastAttempt(worker, number).then((attempt) => attempt!.answer)]).toEqual(before);
  });

  it('is one answer to all of fifty runs that settle it at once', async () => {
    const number = await placing();
    await open(number);
    const answers = await Promise.all(
      Array.from({ length: 50 }, (_, i) => settle(number, [PLACED, REFUSED, NOT_SENT][i % 3]!)),
    );
    expect(new Set(answers.map((answer) => answer.kind)).size).toBe(1);
    expect((await lastAttempt(worker, number))!.outcome).toBe(answers[0]!.kind);
  });

  it('does not bring back a deposit that has moved on', async () => {
    const number = await placing();
    await open(number);
    await byHand(
      db.owner,
      `update engine.deposit set state = 'PLACEMENT_REFUSED', closed_at = now() where external_order_number = $1`,
      [number],
    );
    await settle(number, PLACED);
    expect(await shown(number)).toMatchObject({ state: 'PLACEMENT_REFUSED', redirectUrl: null });
  });
});

describe('an answer after the attempt was given up as unknown', () => {
  it('is kept and shows its link; the deposit stays unknown until its workflow says otherwise', async () => {
    const number = await placing();
    await open(number);
    await settle(number, UNKNOWN);
    const [before] = (await shown(number)).windows;
    expect(await settle(number, PLACED)).toMatchObject({ kind: 'unknown' });
    expect(await lastAttempt(worker, number)).toMatchObject({ outcome: 'unknown', answer: PLACED });
    const now = await shown(number);
    expect(now).toMatchObject({
      state: 'PLACEMENT_UNKNOWN',
      redirectUrl: 'https://checkout.example/1',
      advertisementCode: 'AD-1',
      placed: true,
    });
    expect(now.windows[0]!.getTime()).toBeGreaterThanOrEqual(before!.getTime());
  });

  it('is unknown to every run, so that all of them tell the workflow the same', async () => {
    const number = await placing();
    await open(number);
    await settle(number, UNKNOWN);
    await settle(number, PLACED);
    expect(await settle(number, UNKNOWN)).toMatchObject({ kind: 'unknown' });
    expect(await lastAttempt(worker, number)).toMatchObject({ answer: PLACED });
  });

  it('is kept once: the first late one stays', async () => {
    const number = await placing();
    await open(number);
    await settle(number, UNKNOWN);
    await settle(number, PLACED);
    await settle(number, { ...PLACED, redirectUrl: 'https://checkout.example/2' });
    expect(await shown(number)).toMatchObject({ redirectUrl: 'https://checkout.example/1' });
  });

  it('that refuses is kept and shows nothing: a callback is still waited for', async () => {
    const number = await placing();
    await open(number);
    await settle(number, UNKNOWN);
    await settle(number, REFUSED);
    expect(await lastAttempt(worker, number)).toMatchObject({ outcome: 'unknown', answer: REFUSED });
    expect(await shown(number)).toMatchObject({ state: 'PLACEMENT_UNKNOWN', redirectUrl: null });
    expect((await findAnsweredLate(api, null, 100)).rows).not.toContainEqual(
      expect.objectContaining({ externalOrderNumber: number }),
    );
  });

  it('is told to the workflow as long as it has not moved on', async () => {
    const number = await placing();
    await open(number);
    await settle(number, UNKNOWN);
    const told = async () =>
      (await findAnsweredLate(api, null, 100)).rows.filter((one) => one.externalOrderNumber === number);
    expect(await told()).toEqual([]);
    await settle(number, PLACED);
    const [expiresAt] = (await shown(number)).windows;
    expect(await told()).toEqual([{ externalOrderNumber: number, expiresAt }]);
    await writeState(worker, number, 'AWAITING_PAYMENT');
    expect(await told()).toEqual([]);
  });
});

describe('refusals of stamps', () => {
  const refusal = (cause: string, change: { gridRefused?: true } = {}): StoredAnswer => ({
    kind: 'not_sent',
    cause,
    ...change,
  });
  const after = async (...answers: readonly StoredAnswer[]) => {
    const number = await placing();
    for (const [i, answer] of answers.entries()) {
      await open(number, i + 1);
      await settle(number, answer, i + 1);
    }
    return notSent(worker, number);
  };
  const deadLine = { cause: 'ECONNREFUSED', gridRefused: false };

  it.each([
    ['nothing', [], []],
    ['a dead line', [NOT_SENT], [deadLine]],
    [
      'a refused signature, and a dead line since',
      [refusal('SIGNATURE_ERROR', { gridRefused: true }), NOT_SENT],
      [{ cause: 'SIGNATURE_ERROR', gridRefused: true }, deadLine],
    ],
  ] as const)('are told of all attempts of an order: %s', async (_, answers, expected) => {
    expect(await after(...answers)).toEqual(expected);
  });

  it('do not count when they came after the attempt was given up as unknown', async () => {
    const number = await placing();
    await open(number);
    await settle(number, UNKNOWN);
    await settle(number, refusal('SIGNATURE_ERROR', { gridRefused: true }));
    expect(await notSent(worker, number)).toEqual([]);
  });
});

describe('the words of a refusal', () => {
  it('are shown to callers once the deposit is closed as refused', async () => {
    const number = await placing();
    await open(number);
    await settle(number, REFUSED);
    expect(await viewDeposit(api, number)).toMatchObject({ refusalMessage: null });
    await markClosed(worker, number, 'PLACEMENT_REFUSED', 'PARAMETER_ERROR');
    expect(await viewDeposit(api, number)).toMatchObject({ refusalMessage: 'too small', refusal: 'PARAMETER_ERROR' });
  });
});

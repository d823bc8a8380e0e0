import { describe, expect, test } from 'vitest';
import {
  attempts,
  depositRow,
  expectRefusal,
  fault,
  inbox,
  postings,
  seenByProvider,
  stored,
  workflowStatus,
} from '../../api/evidence.ts';
import { loggedApi, loggedWorker, withApi } from '../../api/parts.ts';
import { paid, order } from '../../support/builders.ts';
import { callbackAddress, callbackBody } from '../../support/messages/callbacks.ts';
import { startEngine } from '../../support/engine.ts';
import { until } from '../../support/until.ts';
import { depositWorkflowId, reviewWorkflowId } from '../../../domain/ids.ts';

const engine = await startEngine({ worker: false });
const api = await loggedApi(engine);
const worker = await loggedWorker(engine, { MTPAY_DEADLINE: '3s' });
const post = (body: unknown) => engine.call('POST', '/v1/deposits', body);

type Faults = readonly (readonly [kind: string, params?: Readonly<Record<string, unknown>>])[];

/** Creates a deposit whose placement meets these faults, at every attempt. */
async function createWith(faults: Faults, change: Record<string, unknown> = {}) {
  const body = engine.body(change);
  const externalOrderNumber = String(body['externalOrderNumber']);
  for (const [kind, params] of faults) await fault(engine, externalOrderNumber, kind, params ?? {}, null);
  return { body, externalOrderNumber, answer: await post(body) };
}

/** Refused for good: a repeat gets the same response and the provider gets no further request. */
async function expectRefused(made: Awaited<ReturnType<typeof createWith>>, code: string, placements: number) {
  const { body, externalOrderNumber, answer } = made;
  expectRefusal(answer, 422, code);
  const row = await depositRow(engine, externalOrderNumber);
  expectRefusal(await post(body), 422, code);
  expect(await depositRow(engine, externalOrderNumber)).toBe(row);
  expect(await engine.deposit(externalOrderNumber)).toMatchObject({
    state: 'PLACEMENT_REFUSED',
    redirectUrl: null,
    expiresAt: null,
    review: null,
  });
  expect((await seenByProvider(engine, externalOrderNumber)).placements).toBe(placements);
  await until(
    'the workflow to close',
    async () => (await workflowStatus(engine, depositWorkflowId(externalOrderNumber))) === 'COMPLETED',
  );
}

describe('an answer that says no', () => {
  test.each([
    ['ACCESS_KEY_ERROR', true],
    ['ACCOUNT_STATUS_ERROR', true],
    ['PARAMETER_ERROR', false],
    ['NO_ADVERTISEMENT', false],
  ])('%s refuses the deposit with that code, after one call and for good', async (statusCode, alarmed) => {
    const made = await createWith([['status', { statusCode, message: 'in the words of the provider' }]]);
    await expectRefused(made, statusCode, 1);
    expect(made.answer.body.detail).toContain('in the words of the provider');
    expect(await attempts(engine, made.externalOrderNumber)).toMatchObject([{ n: 1, outcome: 'refused' }]);
    const alarms = alarmed ? ['placement_refused_by_configuration'] : [];
    // A workflow task that is lost on a slow machine is retried, and raises its alarm again.
    const told = () => [...new Set(worker.alarms(made.externalOrderNumber))];
    await expect.poll(told, { timeout: 10_000 }).toEqual(alarms);
  });

  test('SIGNATURE_ERROR refuses the deposit with that code once a free millisecond was refused as well, and for good', async () => {
    const made = await createWith([
      ['status', { statusCode: 'SIGNATURE_ERROR', message: 'in the words of the provider' }],
    ]);
    await expectRefused(made, 'SIGNATURE_ERROR', 2);
    expect(made.answer.body.detail).toContain('in the words of the provider');
    expect(await attempts(engine, made.externalOrderNumber)).toMatchObject([
      { n: 1, outcome: 'not_sent', answer: { cause: 'SIGNATURE_ERROR' } },
      { n: 2, outcome: 'refused', answer: { statusCode: 'SIGNATURE_ERROR' } },
    ]);
    const alarms = ['placement_refused_by_configuration'];
    await expect.poll(() => worker.alarms(made.externalOrderNumber), { timeout: 10_000 }).toEqual(alarms);
  });

  test('a frozen account and a currency without an offer are refusals of the provider itself, and make no order', async () => {
    const frozen = await createWith([['frozen']]);
    await expectRefused(frozen, 'ACCOUNT_STATUS_ERROR', 1);
    await engine.control('PUT', '/settings', { prices: { TWD: 'none' } });
    const unmatched = await createWith([], { currencyCode: 'TWD' });
    await engine.control('PUT', '/settings', { prices: null });
    await expectRefused(unmatched, 'NO_ADVERTISEMENT', 1);
    for (const { externalOrderNumber } of [frozen, unmatched]) {
      expect(await seenByProvider(engine, externalOrderNumber)).toEqual({ placements: 1, orders: 0 });
    }
  });

  test('that repeats the payer’s name is told and kept without it', async () => {
    const payerRealName = 'Ouyang Xiaoxiao';
    const message = `payerRealName "${payerRealName}" (${payerRealName}) does not match`;
    const made = await createWith([['status', { statusCode: 'PARAMETER_ERROR', message }]], { payerRealName });
    await expectRefused(made, 'PARAMETER_ERROR', 1);
    expect(made.answer.body.detail).toContain('does not match');
    const history = await engine.client.workflow.getHandle(depositWorkflowId(made.externalOrderNumber)).fetchHistory();
    const told = [
      made.answer.text,
      JSON.stringify(await engine.deposit(made.externalOrderNumber)),
      JSON.stringify(await attempts(engine, made.externalOrderNumber)),
      JSON.stringify(history, (_, value) => (value instanceof Uint8Array ? Buffer.from(value).toString() : value)),
      worker.lines.join(),
      api.lines.join(),
    ].join('\n');
    expect(told).toContain(made.externalOrderNumber);
    expect(told).not.toContain('Ouyang');
    expect(told).not.toContain('Xiaoxiao');
  });
});

describe('an answer that says neither yes nor no', () => {
  const NO_ORDER = 0;
  const ORDER = 1;
  test.each<[string, number, ...Faults]>([
    ['SYSTEM_ERROR', NO_ORDER, ['status', { statusCode: 'SYSTEM_ERROR' }]],
    ['SYSTEM_ERROR after the order was made', ORDER, ['status', { statusCode: 'SYSTEM_ERROR', made: true }]],
    ['SUCCESS without data', ORDER, ['status', { statusCode: 'SUCCESS', made: true }]],
    ['HTTP 500', NO_ORDER, ['http500']],
    ['HTTP 502 after the order was made', ORDER, ['http500', { httpStatus: 502, made: true }]],
    ['HTTP 429 without an envelope', NO_ORDER, ['http500', { httpStatus: 429 }]],
    ['HTTP 400 without an envelope', NO_ORDER, ['http500', { httpStatus: 400 }]],
    ['a page of HTML', NO_ORDER, ['html']],
    ['a page of HTML after the order was made', ORDER, ['html', { made: true }]],
    ['an empty body', NO_ORDER, ['empty']],
    ['half an answer', ORDER, ['truncated']],
    ['an answer that breaks off', ORDER, ['truncated', { abrupt: true }]],
    ['a connection cut after the order was made', ORDER, ['cut']],
    ['a connection cut before anything happened', NO_ORDER, ['cutBefore']],
    ['an answer without end', ORDER, ['hugeBody']],
    ['members of other types', ORDER, ['wrongTypes']],
    ['silence until the deadline', ORDER, ['hang']],
  ])(
    '%s leaves the placement unknown, is never tried again, and the order, if any, is credited when paid',
    async (_, orders, ...faults) => {
      const { body, externalOrderNumber, answer } = await createWith(faults, { wallet: 'wallet-unknown' });
      expect(answer.status).toBe(202);
      expect(answer.body).toMatchObject({ state: 'PLACEMENT_UNKNOWN', redirectUrl: null, advertisementCode: null });
      const repeated = await post(body);
      expect({ status: repeated.status, body: repeated.body }).toEqual({ status: 202, body: answer.body });
      await expect.poll(() => worker.alarms(externalOrderNumber), { timeout: 10_000 }).toEqual(['placement_unknown']);
      expect(await workflowStatus(engine, depositWorkflowId(externalOrderNumber))).toBe('RUNNING');
      if (orders === ORDER) {
        await engine.pay(externalOrderNumber);
        expect(await engine.untilState(externalOrderNumber, 'CREDITED')).toMatchObject({ creditedAmount: '5000' });
      }
      expect(await seenByProvider(engine, externalOrderNumber)).toEqual({ placements: 1, orders });
      expect(await attempts(engine, externalOrderNumber)).toMatchObject([{ n: 1, outcome: 'unknown' }]);
    },
  );

  test('a checkout link to a foreign host is never shown, raises its own alarm, and the order is credited when paid', async () => {
    const { body, externalOrderNumber, answer } = await createWith([['foreignRedirect']]);
    expect(answer.status).toBe(202);
    await engine.pay(externalOrderNumber);
    await engine.untilState(externalOrderNumber, 'CREDITED');
    const shown = await Promise.all([post(body), engine.call('GET', `/v1/deposits/${externalOrderNumber}`)]);
    for (const { text, body: deposit } of [answer, ...shown]) {
      expect(text).not.toContain('example.net');
      expect(deposit).toMatchObject({ externalOrderNumber, redirectUrl: null });
    }
    await expect.poll(() => worker.alarms(externalOrderNumber), { timeout: 10_000 }).toEqual(['foreign_redirect']);
    expect(await seenByProvider(engine, externalOrderNumber)).toEqual({ placements: 1, orders: 1 });
  });
});

describe('an answer that says yes', () => {
  test('slowly, but in time, is a placed order', async () => {
    const { externalOrderNumber, answer } = await createWith([['slow', { ms: 1_200 }]]);
    expect(answer).toMatchObject({ status: 201, body: { state: 'AWAITING_PAYMENT' } });
    expect(await seenByProvider(engine, externalOrderNumber)).toEqual({ placements: 1, orders: 1 });
    await expect.poll(() => worker.alarms(externalOrderNumber), { timeout: 10_000 }).toEqual([]);
  });

  test.each<[string, ...Faults]>([
    ['before the answer', ['early']],
    ['long before the answer', ['early'], ['slow', { ms: 1_000 }]],
    ['and then the answer is lost', ['early'], ['cut']],
  ])('a callback that comes %s is not lost: the deposit is credited once', async (_, ...faults) => {
    const { externalOrderNumber } = await createWith(faults);
    expect(await engine.untilState(externalOrderNumber, 'CREDITED')).toMatchObject({ creditedAmount: '5000' });
    const { events } = await engine.control('GET', '/log?limit=10000');
    const kinds = events
      .filter((event: { externalOrderNumber: string }) => event.externalOrderNumber === externalOrderNumber)
      .map((event: { kind: string }) => event.kind);
    const answeredAt = kinds.findIndex((kind: string) => ['placement.answered', 'placement.lost'].includes(kind));
    expect(kinds.indexOf('callback.answered')).toBeGreaterThan(0);
    expect(kinds.indexOf('callback.answered')).toBeLessThan(answeredAt);
    expect(await inbox(engine, externalOrderNumber)).toMatchObject([{ receipt: 'first', attempts: 1, acked: true }]);
    expect(await postings(engine, externalOrderNumber)).toEqual(['5000']);
    expect(await seenByProvider(engine, externalOrderNumber)).toEqual({ placements: 1, orders: 1 });
  });
});

describe('money for a refused order', () => {
  const refusal = ['status', { statusCode: 'PARAMETER_ERROR', made: true }] as const;

  test('that came before the refusal is for people: nothing is posted and the deposit says why', async () => {
    const { externalOrderNumber, answer } = await createWith([['early'], refusal]);
    expect(answer).toMatchObject({ status: 201, body: { redirectUrl: null } });
    const deposit = await engine.untilState(externalOrderNumber, 'IN_REVIEW');
    expect(deposit.review).toEqual({ reason: 'PAID_THOUGH_REFUSED' });
    expect(await inbox(engine, externalOrderNumber)).toMatchObject([
      { receipt: 'first', acked: true, outcome: `review:deposit:${externalOrderNumber}` },
    ]);
    expect(await postings(engine, externalOrderNumber)).toEqual([]);
  });

  test('that comes afterwards is acknowledged and gets a review of its own; the refused deposit stays as it is', async () => {
    const made = await createWith([refusal]);
    await expectRefused(made, 'PARAMETER_ERROR', 1);
    const { externalOrderNumber } = made;
    const row = await depositRow(engine, externalOrderNumber);
    await engine.pay(externalOrderNumber);
    const [kept] = await until('the callback to be with people', async () => {
      const rows = await inbox(engine, externalOrderNumber);
      return rows[0]?.outcome !== undefined && rows[0].outcome !== null && rows;
    });
    expect(kept).toMatchObject({
      receipt: 'final',
      reason: 'DEPOSIT_FINAL',
      acked: true,
      outcome: `review:${reviewWorkflowId(kept!)}`,
    });
    expect(await workflowStatus(engine, reviewWorkflowId(kept!))).toBe('RUNNING');
    expect(api.alarms(externalOrderNumber)).toEqual(['callback_review']);
    expect(await depositRow(engine, externalOrderNumber)).toBe(row);
    expect(await postings(engine, externalOrderNumber)).toEqual([]);
  });
});

describe('a provider whose clock is elsewhere', () => {
  const MINUTE = 60_000;

  test('TIMESTAMP_ERROR every time is refused as NOT_SENT after two attempts', async () => {
    const made = await createWith([['status', { statusCode: 'TIMESTAMP_ERROR' }]]);
    await expectRefused(made, 'NOT_SENT', 2);
    expect(await attempts(engine, made.externalOrderNumber)).toMatchObject([
      { n: 1, outcome: 'not_sent' },
      { n: 2, outcome: 'not_sent' },
      { n: 3, outcome: 'closed' },
    ]);
    expect(await seenByProvider(engine, made.externalOrderNumber)).toEqual({ placements: 2, orders: 0 });
    await expect
      .poll(() => worker.alarms(made.externalOrderNumber), { timeout: 10_000 })
      .toEqual(['placement_clock_skew', 'placement_clock_skew']);
  });

  test.each([
    ['ahead', 6 * MINUTE],
    ['behind', -6 * MINUTE],
  ])(
    'six minutes %s: the skew is learned, the second attempt places the one order, and its payment is credited',
    async (_, ms) => {
      const { externalOrderNumber, answer } = await createWith([['clockSkew', { ms }]]);
      expect(answer).toMatchObject({ status: 201, body: { state: 'AWAITING_PAYMENT' } });
      expect(await attempts(engine, externalOrderNumber)).toMatchObject([
        { n: 1, outcome: 'not_sent' },
        { n: 2, outcome: 'placed' },
      ]);
      expect(await seenByProvider(engine, externalOrderNumber)).toEqual({ placements: 2, orders: 1 });
      await expect
        .poll(() => worker.alarms(externalOrderNumber), { timeout: 10_000 })
        .toEqual(['placement_clock_skew']);
      const { rows } = await engine.db.owner.query<{ skew_ms: string }>('select skew_ms from engine.provider_clock');
      expect(Math.abs(Number(rows[0]!.skew_ms) - ms)).toBeLessThan(30_000);
      // An API that has just started has read the skew; a running one reads it every few seconds.
      await withApi(engine, {}, async () => {
        const message = callbackBody(engine, paid(order({ externalOrderNumber })), Date.now() + ms);
        expect(await engine.callback(callbackAddress(engine, externalOrderNumber), message)).toMatchObject({
          status: 200,
        });
        await engine.untilState(externalOrderNumber, 'CREDITED');
      });
      expect(await inbox(engine, externalOrderNumber)).toMatchObject([{ receipt: 'first', reason: null }]);
    },
  );

  test('further off than ten minutes is not believed: refused as NOT_SENT, and what was learned stays', async () => {
    const learned = await engine.db.owner.query('select * from engine.provider_clock');
    const before = await stored(engine);
    const made = await createWith([['clockSkew', { ms: 25 * MINUTE }]]);
    await expectRefused(made, 'NOT_SENT', 2);
    expect((await engine.db.owner.query('select * from engine.provider_clock')).rows).toEqual(learned.rows);
    expect(await stored(engine)).toMatchObject({ callbacks: before['callbacks'], postings: before['postings'] });
  });
});

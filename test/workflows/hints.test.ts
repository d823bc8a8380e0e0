import type { WorkflowHandle } from '@temporalio/client';
import proto from '@temporalio/proto';
import { expect, test } from 'vitest';
import { closeAsUnknown } from '../../database/queries/placements.ts';
import type { Payment } from '../../domain/order.ts';
import { callbackAccepted, confirm, lookAgain, orderAnswered, propose, withdraw } from '../../workflows/messages.ts';
import { paid, transactionCode } from '../support/builders.ts';
import { recordHistory } from '../support/workflows/histories.ts';
import { peopleOf } from '../support/workflows/people.ts';
import { away, situations } from '../support/workflows/situations.ts';
import { until } from '../support/until.ts';
import { PLACED } from '../support/workflows/provider.ts';
import { type Reserved, startWorkflowWorld } from '../support/workflows/workflow-world.ts';

/**
 * Signals and updates are hints: one sent to Temporal by hand changes nothing that the database does not confirm, and
 * the real payment settles. And a deposit that operators settled ends, wherever its workflow waits.
 */
const world = await startWorkflowWorld('real');
const { keep, openCase, proposes, confirms } = peopleOf(world);
const { untilState, asked, held, endHeld, short, unplaced, about } = situations(world);

/** No row has this id. */
const NOBODY = '900000000000000000';
const LONG = 'A'.repeat(20_000);
const forged = (reserved: Reserved, change: Partial<Payment> = {}): Payment => {
  const { transactionAmount, currencyCode, paymentPrice } = paid(reserved.order);
  return {
    inboxId: NOBODY,
    transactionCode: transactionCode(),
    transactionAmount,
    currencyCode,
    paymentPrice,
    receivedAt: new Date().toISOString(),
    ...change,
  };
};

async function pays(reserved: Reserved, handle: WorkflowHandle) {
  await world.signal(handle, await world.receive(paid(reserved.order)));
  expect(await handle.result()).toMatchObject({ state: 'CREDITED' });
  expect(await world.postings(reserved.order.externalOrderNumber)).toBe(1);
}

test.each([
  ['a row that does not exist', {}],
  ['no row id at all', { inboxId: 'x' }],
  ['an id beyond all numbers', { inboxId: '9'.repeat(60) }],
  ['a time that is no time', { receivedAt: 'x' }],
  ['a code that no text of the database can hold', { transactionCode: 'a\u0000b' }],
  ['an id of 20 kB', { inboxId: LONG }],
  ['a code of 20 kB', { transactionCode: LONG }],
  ['a code of 20 kB and too little', { transactionCode: LONG, transactionAmount: '1' }],
  ['a currency of 20 kB', { currencyCode: LONG as 'CNY' }],
] as const)('a payment of %s is forgotten, and the real one is credited', async (what, change) => {
  const reserved = await world.reserve();
  const handle = await world.start(reserved);
  await untilState(reserved, 'AWAITING_PAYMENT');
  await handle.signal(callbackAccepted, forged(reserved, change));
  // Some are judged good and some doubtful.
  await asked(handle, 'credit', 'recordReview');
  await pays(reserved, handle);
  // A server with limits of its own refuses a long summary with the whole workflow task, again and again.
  const { events } = await handle.fetchHistory();
  const summaries = events!.map(({ userMetadata }) => userMetadata?.summary?.data?.length ?? 0);
  expect(Math.max(...summaries)).toBeLessThanOrEqual(400);
  if (what === 'a row that does not exist') await recordHistory('credited-after-forged-payment', handle);
});

test('a doubtful payment of a row that does not exist freezes nothing: the real one is credited', async () => {
  const reserved = await world.reserve();
  const handle = await world.start(reserved);
  await untilState(reserved, 'AWAITING_PAYMENT');
  await handle.signal(callbackAccepted, forged(reserved, { transactionAmount: '1' }));
  await asked(handle, 'recordReview');
  expect(await world.state(reserved.order.externalOrderNumber)).toMatchObject({ state: 'AWAITING_PAYMENT' });
  await pays(reserved, handle);
  await recordHistory('credited-after-forged-doubt', handle);
});

test('the real payment is told while a forged one is being asked about: it is not lost', async () => {
  const reserved = await world.reserve();
  const { externalOrderNumber } = reserved.order;
  let answer = () => {};
  const answered = new Promise<void>((resolve) => (answer = resolve));
  let ask = () => {};
  const asking = new Promise<void>((resolve) => (ask = resolve));
  let runs = 0;
  world.instead('recordReview', externalOrderNumber, async (real) => {
    // A local activity blocks the workflow's task: a durable one asks, and signals arrive meanwhile.
    if (runs++ === 0) throw away();
    const said = await real();
    ask();
    await answered;
    return said;
  });
  const handle = await world.start(reserved);
  await untilState(reserved, 'AWAITING_PAYMENT');
  await handle.signal(callbackAccepted, forged(reserved, { transactionAmount: '1' }));
  await asking;
  await world.signal(handle, await world.receive(paid(reserved.order)));
  answer();
  expect(await handle.result()).toMatchObject({ state: 'CREDITED' });
  await recordHistory('credited-told-while-asking', handle);
});

test('of a payment that is told otherwise than it stands in the inbox, what stands there is judged', async () => {
  const reserved = await world.reserve();
  const handle = await world.start(reserved);
  const payment = await world.receive(paid(reserved.order, { transactionAmount: '4999' }));
  await handle.signal(callbackAccepted, { ...payment, transactionAmount: '5000' });
  await untilState(reserved, 'IN_REVIEW');
  expect(await world.state(reserved.order.externalOrderNumber)).toMatchObject({ review_reason: 'AMOUNT_MISMATCH' });
  await recordHistory('in-review-told-otherwise', handle);
  await handle.terminate('the test is over');
});

test('late money is told as received in time: the time that stands in the inbox is the one that is judged', async () => {
  const reserved = await world.reserve({}, { paymentWindowMs: 200, latePolicy: 'review' });
  const handle = await world.start(reserved);
  await untilState(reserved, 'EXPIRED');
  const payment = await world.receive(paid(reserved.order));
  await handle.signal(callbackAccepted, { ...payment, receivedAt: '2020-01-01T00:00:00.000Z' });
  await untilState(reserved, 'IN_REVIEW');
  expect(await world.state(reserved.order.externalOrderNumber)).toMatchObject({ late: true, review_reason: 'LATE' });
  await handle.terminate('the test is over');
});

test('a forged payment while the order is being placed, and one while nobody knows of it', async () => {
  const { reserved, handle } = await unplaced();
  await handle.signal(callbackAccepted, forged(reserved));
  await asked(handle, 'credit');
  await pays(reserved, handle);
  await recordHistory('credited-after-forged-unknown', handle);
});

test('a forged payment before the order is known to be unknown: its code cannot be searched for', async () => {
  const reserved = await world.reserve();
  const n = reserved.order.externalOrderNumber;
  let settle = () => {};
  const told = new Promise<void>((resolve) => (settle = resolve));
  world.instead('placeOrder', n, () => Promise.reject(away()));
  world.instead('settlePlacement', n, async (real) => {
    await told;
    await closeAsUnknown(world.db.owner, n);
    return real();
  });
  const handle = await world.start(reserved);
  await until('the placement to be settled', async () =>
    ((await handle.fetchHistory()).events ?? []).some((event) => event.activityTaskScheduledEventAttributes),
  );
  await handle.signal(callbackAccepted, forged(reserved));
  await until('the workflow to have heard of it', async () => {
    const events = (await handle.fetchHistory()).events ?? [];
    const heard = events.findIndex((event) => event.workflowExecutionSignaledEventAttributes);
    return heard > 0 && events.slice(heard).some((event) => event.workflowTaskCompletedEventAttributes);
  });
  settle();
  await asked(handle, 'credit');
  const searchable = ((await handle.fetchHistory()).events ?? []).flatMap((event) =>
    Object.keys(event.upsertWorkflowSearchAttributesEventAttributes?.searchAttributes?.indexedFields ?? {}),
  );
  expect(searchable).toContain('DepositState');
  expect(searchable).not.toContain('TransactionCode');
  await pays(reserved, handle);
  await recordHistory('credited-after-forged-while-placing', handle);
});

test('a forged payment after the payment window: the listening window goes on, and not longer', async () => {
  const reserved = await world.reserve({}, { paymentWindowMs: 200, listeningWindowMs: 5_000 });
  const handle = await world.start(reserved);
  await untilState(reserved, 'EXPIRED');
  await handle.signal(callbackAccepted, forged(reserved));
  await asked(handle, 'credit');
  expect(await handle.result()).toMatchObject({ state: 'UNPAID', postingId: null });
  const started = ((await handle.fetchHistory()).events ?? []).flatMap(
    (event) => event.timerStartedEventAttributes?.startToFireTimeout ?? [],
  );
  const lastMs = Number(started.at(-1)!.seconds ?? 0) * 1000 + (started.at(-1)!.nanos ?? 0) / 1e6;
  expect(lastMs).toBeLessThan(5_000);
  await recordHistory('unpaid-after-forged-payment', handle);
});

test('an answer of the provider that the row does not have is ignored, whatever time it names', async () => {
  const { reserved, handle } = await unplaced();
  await handle.signal(orderAnswered, { expiresAt: 'x' });
  await asked(handle, 'recordState');
  expect(await world.state(reserved.order.externalOrderNumber)).toMatchObject({ state: 'PLACEMENT_UNKNOWN' });
  await pays(reserved, handle);
  await recordHistory('credited-after-forged-answer', handle);
});

test('… and late money stays late: the window is the one that was known before', async () => {
  const reserved = await world.reserve({}, { paymentWindowMs: 200, listeningWindowMs: 60_000, latePolicy: 'review' });
  world.answers(reserved.order.externalOrderNumber, async () => ({ kind: 'unknown', cause: 'ECONNRESET' }));
  const handle = await world.start(reserved);
  await untilState(reserved, 'PLACEMENT_UNKNOWN');
  await handle.signal(orderAnswered, { expiresAt: '2999-01-01T00:00:00.000Z' });
  await asked(handle, 'recordState');
  await until('the window to be over', async () => {
    const { rows } = await world.db.owner.query<{ over: boolean }>(
      'select expires_at < clock_timestamp() as over from engine.deposit where external_order_number = $1',
      [reserved.order.externalOrderNumber],
    );
    return rows[0]!.over;
  });
  await world.signal(handle, await world.receive(paid(reserved.order)));
  await untilState(reserved, 'IN_REVIEW');
  expect(await world.state(reserved.order.externalOrderNumber)).toMatchObject({ late: true, review_reason: 'LATE' });
  await recordHistory('in-review-after-forged-answer', handle);
  await handle.terminate('the test is over');
});

test('a hint to look again at an open row changes nothing', async () => {
  const reserved = await world.reserve();
  const handle = await world.start(reserved);
  await untilState(reserved, 'AWAITING_PAYMENT');
  await handle.signal(lookAgain);
  await asked(handle, 'settlement');
  await pays(reserved, handle);
  await recordHistory('credited-after-false-hint', handle);
});

const HINTS = 200;
const { EventType } = proto.temporal.api.enums.v1;
/** The activities that a workflow requested and their results, without the hints and the tasks that delivered them. */
const askedFor = async (handle: WorkflowHandle) =>
  ((await handle.fetchHistory()).events ?? []).filter(
    ({ eventType }) => !/WORKFLOW_TASK|SIGNALED/.test(EventType[Number(eventType)] ?? ''),
  ).length;

test(`${HINTS} hints while the database is slow: it is asked twice more, and the real payment settles`, async () => {
  const reserved = await world.reserve();
  const slow = held('settlement', reserved.order.externalOrderNumber);
  const handle = await world.start(reserved);
  await untilState(reserved, 'AWAITING_PAYMENT');
  const before = await askedFor(handle);
  await handle.signal(lookAgain);
  await slow.asked;
  const hint = (i: number) =>
    i % 2 === 0 ? handle.signal(lookAgain) : handle.signal(callbackAccepted, forged(reserved));
  await Promise.all(Array.from({ length: HINTS }, (_, i) => hint(i)));
  slow.release();
  await asked(handle, 'credit');
  await pays(reserved, handle);
  // The slow look, the first of the forged payments, one look for all the rest, and the credit.
  expect((await askedFor(handle)) - before).toBeLessThan(20);
});

test(`${HINTS} hints to a case while the database is slow: it is asked once more, and people decide`, async () => {
  const of = await short();
  const slow = held('caseOutcome', of.reserved.order.externalOrderNumber);
  const before = await askedFor(of.handle);
  await of.handle.signal(lookAgain);
  await slow.asked;
  await Promise.all(Array.from({ length: HINTS }, () => of.handle.signal(lookAgain)));
  slow.release();
  await confirms('bob', of, await proposes('alice', of, 'credit'));
  expect(await of.handle.result()).toMatchObject({ state: 'CREDITED' });
  expect((await askedFor(of.handle)) - before).toBeLessThan(25);
});

test('a proposal, a withdrawal and a confirmation that nobody wrote down wedge no case', async () => {
  const of = await short();
  const body = { decision: 'credit', reason: 'by hand', keep: false, toDeposit: null } as const;
  const fault = (error: Error) => error.cause;
  const nobody = { decisionId: NOBODY, operator: 'alice' };
  expect(await of.handle.executeUpdate(propose, { args: [{ ...nobody, ...body }] }).catch(fault)).toMatchObject({
    type: 'not_written',
  });
  const proposal = await proposes('alice', of, 'credit');
  const step = { ...nobody, operator: 'bob', proposalId: proposal };
  expect(
    await of.handle.executeUpdate(withdraw, { args: [{ ...step, reason: 'by hand' }] }).catch(fault),
  ).toMatchObject({ type: 'not_written' });
  expect(await of.handle.executeUpdate(confirm, { args: [step] })).toMatchObject({ refusal: 'not_written' });
  await confirms('bob', of, proposal);
  expect(await of.handle.result()).toMatchObject({ state: 'CREDITED' });
  await recordHistory('decided-after-forged-steps', of.handle);
});

/** An authentic callback that is not bound, and the case about it, credited by two operators. */
async function creditedByPeople(reserved: Reserved) {
  const payment = await keep(paid(reserved.order), 'ahead', 'STAMP_AHEAD');
  const input = { ...about(reserved, payment.inboxId), reason: 'STAMP_AHEAD', payment } as const;
  const handle = await openCase({ ...input, transactionCode: payment.transactionCode, standing: 'nothing' });
  const of = { handle, inboxId: payment.inboxId };
  const concluded = await confirms('bob', of, await proposes('alice', of, 'credit'));
  expect(concluded).toMatchObject({ kind: 'decided', decision: 'credit' });
  return { payment, postingId: (concluded as { postingId: string }).postingId };
}

async function settles(name: string, reserved: Reserved, handle: WorkflowHandle) {
  const { payment, postingId } = await creditedByPeople(reserved);
  const { externalOrderNumber } = reserved.order;
  expect(await world.state(externalOrderNumber)).toMatchObject({ state: 'CREDITED', posting_id: postingId });
  await handle.signal(lookAgain);
  const { transactionCode: code } = payment;
  expect(await handle.result()).toMatchObject({ state: 'CREDITED', postingId, transactionCode: code });
  expect((await handle.describe()).searchAttributes).toMatchObject({
    DepositState: ['CREDITED'],
    TransactionCode: [code],
  });
  await recordHistory(name, handle);
}

test('a case credited for its own deposit settles it while the payment is awaited', async () => {
  const reserved = await world.reserve();
  const handle = await world.start(reserved);
  await untilState(reserved, 'AWAITING_PAYMENT');
  await settles('settled-while-awaiting', reserved, handle);
});

test('… after the payment window', async () => {
  const reserved = await world.reserve({}, { paymentWindowMs: 200 });
  const handle = await world.start(reserved);
  await untilState(reserved, 'EXPIRED');
  await settles('settled-while-expired', reserved, handle);
});

test('… while nobody knows of the order', async () => {
  const { reserved, handle } = await unplaced();
  await settles('settled-while-unknown', reserved, handle);
});

test('… while the order is being placed: it is remembered', async () => {
  const reserved = await world.reserve();
  let answer = () => {};
  const answered = new Promise<void>((resolve) => (answer = resolve));
  let sent = () => {};
  const sending = new Promise<void>((resolve) => (sent = resolve));
  world.answers(reserved.order.externalOrderNumber, async () => {
    sent();
    await answered;
    return PLACED;
  });
  const handle = await world.start(reserved);
  await sending;
  const { postingId } = await creditedByPeople(reserved);
  await handle.signal(lookAgain);
  answer();
  expect(await handle.result()).toMatchObject({ state: 'CREDITED', postingId });
  await recordHistory('settled-while-placing', handle);
});

test('… and when its workflow hears nothing of it: the end of its window looks by itself', async () => {
  const reserved = await world.reserve({}, { paymentWindowMs: 200 });
  const expire = endHeld(reserved, 'EXPIRED');
  const handle = await world.start(reserved);
  await untilState(reserved, 'AWAITING_PAYMENT');
  const { postingId } = await creditedByPeople(reserved);
  expire();
  expect(await handle.result()).toMatchObject({ state: 'CREDITED', postingId });
  await recordHistory('settled-unheard', handle);
});

/** Another deposit's money is released into the wallet of this one, which has the slot from then on. */
async function releasedTo(reserved: Reserved) {
  const other = await short();
  const { externalOrderNumber } = reserved.order;
  const concluded = await confirms(
    'bob',
    other,
    await proposes('alice', other, 'credit', { toDeposit: externalOrderNumber }),
  );
  return concluded as { postingId: string };
}

/** A deposit whose own payment needs a decision, because another deposit's money was put into its wallet before. */
async function comesSecond(wallet: string) {
  const reserved = await world.reserve({ wallet });
  const handle = await world.start(reserved);
  await untilState(reserved, 'AWAITING_PAYMENT');
  const { postingId } = await releasedTo(reserved);
  const payment = await world.receive(paid(reserved.order));
  await world.signal(handle, payment);
  await untilState(reserved, 'IN_REVIEW');
  return { reserved, handle, payment, postingId, of: { handle, inboxId: payment.inboxId } };
}

test('the machine comes second: its payment goes to people, who may put it beside the other', async () => {
  const { reserved, handle, payment, postingId, of } = await comesSecond('wallet-second');
  expect(await world.state(reserved.order.externalOrderNumber)).toMatchObject({
    review_reason: 'OTHER_PAYMENT_CREDITED',
    posting_id: null,
  });
  await confirms('bob', of, await proposes('alice', of, 'credit', { beside: postingId }));
  expect(await handle.result()).toMatchObject({ state: 'CREDITED', transactionCode: payment.transactionCode });
  await recordHistory('credited-beside', handle);
});

test('its own payment is rejected though another was credited: the deposit is credited with that one', async () => {
  const { reserved, handle, payment, postingId, of } = await comesSecond('wallet-third');
  await confirms('bob', of, await proposes('alice', of, 'reject'));
  const result = await handle.result();
  expect(result).toMatchObject({ state: 'CREDITED', postingId });
  expect(result).not.toMatchObject({ transactionCode: payment.transactionCode });
  expect(await world.state(reserved.order.externalOrderNumber)).toMatchObject({ state: 'CREDITED' });
  await recordHistory('rejected-though-credited', handle);
});

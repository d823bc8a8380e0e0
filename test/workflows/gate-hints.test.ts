import type { WorkflowHandle } from '@temporalio/client';
import { expect, test } from 'vitest';
import type { DepositSettings, Payment } from '../../domain/order.ts';
import { callbackAccepted, lookAgain } from '../../workflows/messages.ts';
import { paid, transactionCode } from '../support/builders.ts';
import { recordHistory } from '../support/workflows/histories.ts';
import { peopleOf } from '../support/workflows/people.ts';
import { away, situations } from '../support/workflows/situations.ts';
import { until } from '../support/until.ts';
import { type Reserved, startWorkflowWorld } from '../support/workflows/workflow-world.ts';

/**
 * Paths of hints that differ from those of hints.test.ts by one decision: in each state in which the row may have ended
 * already, and for each difference between hint and bound payment. Without these recordings no test would see a changed
 * step of the transition table.
 */
const world = await startWorkflowWorld('real');
const { keep, openCase } = peopleOf(world);
const { untilState, short, unplaced, about, failing } = situations(world);

const numberOf = ({ order }: Reserved) => order.externalOrderNumber;

async function inState(state: 'AWAITING_PAYMENT' | 'EXPIRED', settings: Partial<DepositSettings> = {}) {
  const reserved = await world.reserve({}, state === 'EXPIRED' ? { paymentWindowMs: 200, ...settings } : settings);
  const handle = await world.start(reserved);
  await untilState(reserved, state);
  await untilWaiting(handle, state === 'EXPIRED' ? 2 : 1);
  return { reserved, handle };
}

/** The row is written inside a task: a signal before the end of that task would join it. */
const untilWaiting = (handle: WorkflowHandle, timers: number) =>
  until('the window to run', async () => {
    const events = (await handle.fetchHistory()).events ?? [];
    return events.filter((event) => event.timerStartedEventAttributes).length === timers;
  });

async function unknown() {
  const of = await unplaced();
  await untilWaiting(of.handle, 1);
  return of;
}

/** The row has ended, and the workflow does not know it: Temporal was restored to an older state. */
const ends = (reserved: Reserved, state: 'CREDITED' | 'REJECTED') =>
  world.db.owner.query(
    'update engine.deposit set state = $2, closed_at = clock_timestamp() where external_order_number = $1',
    [numberOf(reserved), state],
  );

/** A payment that no inbox row holds; judged doubtful when it is short. */
const forged = (reserved: Reserved, transactionAmount = '5000'): Payment => {
  const { currencyCode, paymentPrice } = paid(reserved.order);
  const facts = { transactionCode: transactionCode(), transactionAmount, currencyCode, paymentPrice };
  return { inboxId: '900000000000000000', ...facts, receivedAt: new Date().toISOString() };
};
const SHORT = '1';

/** Signals a doubtful payment, and waits until the database was asked about it. */
async function tells(reserved: Reserved, handle: WorkflowHandle, payment: Payment): Promise<void> {
  let isAsked = false;
  world.instead('recordReview', numberOf(reserved), async (real) => {
    const answer = await real();
    isAsked = true;
    return answer;
  });
  await handle.signal(callbackAccepted, payment);
  await until('the database to be asked', async () => isAsked);
}

async function records(name: string, handle: WorkflowHandle, result: object): Promise<void> {
  expect(await handle.result()).toMatchObject(result);
  await recordHistory(name, handle);
}

const WAITING = {
  awaiting: () => inState('AWAITING_PAYMENT'),
  expired: () => inState('EXPIRED'),
  unknown,
} as const;
type Waiting = keyof typeof WAITING;

test.each(Object.keys(WAITING) as Waiting[])('found rejected while %s', async (where) => {
  const { reserved, handle } = await WAITING[where]();
  await ends(reserved, 'REJECTED');
  await handle.signal(lookAgain);
  await records(`found-rejected-while-${where}`, handle, { state: 'REJECTED', postingId: null });
});

test.each([
  ['found-rejected-while-placing', 'REJECTED'],
  ['settled-while-refused', 'CREDITED'],
] as const)('refused by the provider, and the row has ended: %s', async (name, state) => {
  const reserved = await world.reserve();
  world.answers(numberOf(reserved), async () => ({ kind: 'refused', code: 'NO_ADVERTISEMENT', message: '' }));
  world.instead('close', numberOf(reserved), async (close) => {
    await ends(reserved, state);
    return close();
  });
  await records(name, await world.start(reserved), { state });
});

test.each([
  ['found-rejected-while-crediting', 'credit', '5000', 'REJECTED'],
  ['settled-while-crediting', 'credit', '5000', 'CREDITED'],
  ['found-rejected-before-review', 'recordReview', SHORT, 'REJECTED'],
  ['settled-before-review', 'recordReview', SHORT, 'CREDITED'],
] as const)('told of a payment that is not bound, and the row has ended: %s', async (name, activity, amount, state) => {
  const { reserved, handle } = await inState('AWAITING_PAYMENT');
  world.instead(activity, numberOf(reserved), async (real) => {
    await ends(reserved, state);
    return real();
  });
  await handle.signal(callbackAccepted, forged(reserved, amount));
  await records(name, handle, { state });
});

test.each(['expired', 'unknown'] as const)('a doubtful payment that is not bound, told while %s', async (where) => {
  const { reserved, handle } = await WAITING[where]();
  await tells(reserved, handle, forged(reserved, SHORT));
  await world.signal(handle, await world.receive(paid(reserved.order)));
  await records(`credited-after-forged-doubt-while-${where}`, handle, { state: 'CREDITED' });
});

test.each([
  // The content of the inbox, the change in the hint, and the outcome.
  ['credited-told-otherwise', '5000', { transactionCode: transactionCode() }, 'CREDITED'],
  ['credited-told-short', '5000', { transactionAmount: '4999' }, 'CREDITED'],
  ['in-review-told-shorter', '4999', { transactionAmount: '4998' }, 'IN_REVIEW'],
] as const)('a payment that is told otherwise than it is bound: %s', async (name, transactionAmount, told, state) => {
  const { reserved, handle } = await inState('AWAITING_PAYMENT');
  const payment = await world.receive(paid(reserved.order, { transactionAmount }));
  await handle.signal(callbackAccepted, { ...payment, ...told });
  await untilState(reserved, state);
  if (state === 'CREDITED') {
    await records(name, handle, { state, transactionCode: payment.transactionCode });
    return;
  }
  expect(await world.state(numberOf(reserved))).toMatchObject({ review_reason: 'AMOUNT_MISMATCH' });
  await recordHistory(name, handle);
  await handle.terminate('the test is over');
});

test('a payment of which nobody has told: a hint to look is enough', async () => {
  const { reserved, handle } = await inState('AWAITING_PAYMENT');
  await world.receive(paid(reserved.order));
  await handle.signal(lookAgain);
  await records('credited-after-hint', handle, { state: 'CREDITED', late: false });
});

test('a payment that is not bound, told with a time that is no time', async () => {
  const { reserved, handle } = await inState('AWAITING_PAYMENT');
  await tells(reserved, handle, { ...forged(reserved), receivedAt: 'x' });
  await world.signal(handle, await world.receive(paid(reserved.order)));
  await records('credited-after-forged-time', handle, { state: 'CREDITED', late: false });
});

test('a payment that is not bound, told while the deposit closes: it ends without one', async () => {
  const reserved = await world.reserve({}, { paymentWindowMs: 200, listeningWindowMs: 400 });
  const handle = await world.start(reserved);
  let failures = 1;
  world.instead('close', numberOf(reserved), async (close) => {
    // A workflow task waits for its local activities and receives nothing meanwhile.
    if (failures-- > 0) throw away();
    await handle.signal(callbackAccepted, forged(reserved));
    await until('the signal to be heard', () => isHeard(handle));
    return close();
  });
  await records('unpaid-told-while-closing', handle, { state: 'UNPAID', postingId: null, transactionCode: null });
});

test('the database is away when an open row is looked at: it is looked at durably', async () => {
  const { reserved, handle } = await inState('AWAITING_PAYMENT');
  failing('settlement', reserved, 1);
  await handle.signal(lookAgain);
  await until('the durable activity to be done', async () => await hasDurable(handle));
  await world.signal(handle, await world.receive(paid(reserved.order)));
  await records('credited-after-false-hint-durably', handle, { state: 'CREDITED' });
});

const isHeard = async (handle: WorkflowHandle): Promise<boolean> => {
  const events = (await handle.fetchHistory()).events ?? [];
  const told = events.findIndex((event) => event.workflowExecutionSignaledEventAttributes);
  return told >= 0 && events.slice(told).some((event) => event.workflowTaskCompletedEventAttributes);
};

const hasDurable = async (handle: WorkflowHandle): Promise<boolean> =>
  ((await handle.fetchHistory()).events ?? []).some((event) => event.activityTaskCompletedEventAttributes);

/** The case was decided, and its workflow does not know it. */
const decides = (workflowId: string) =>
  world.db.owner.query(
    `update engine.review_case set closed_at = clock_timestamp(), decision = 'reject', decided_by = 'alice+bob', proposal = null
      where workflow_id = $1`,
    [workflowId],
  );

test('a case that is decided already, and its workflow does not know it', async () => {
  const { handle, reserved } = await short();
  let isLookedAt = false;
  world.instead('caseOutcome', numberOf(reserved), async (real) => {
    const outcome = await real();
    isLookedAt = true;
    return outcome;
  });
  await handle.signal(lookAgain);
  await until('the open case to be looked at', async () => isLookedAt);
  await decides(handle.workflowId);
  await handle.signal(lookAgain);
  await records('decided-found', handle, { state: 'REJECTED', postingId: null });
});

test('a case of its own that is decided already, looked at durably', async () => {
  const reserved = await world.reserve();
  const payment = await keep(paid(reserved.order), 'stale', 'STALE');
  const input = { ...about(reserved, payment.inboxId), reason: 'STALE', payment } as const;
  const handle = await openCase({ ...input, transactionCode: payment.transactionCode, standing: 'nothing' });
  let failures = 1;
  world.instead('caseOutcome', handle.workflowId, async (real) => {
    if (failures-- > 0) throw away();
    return real();
  });
  await decides(handle.workflowId);
  await handle.signal(lookAgain);
  await records('review-decided-found', handle, { decision: 'reject', postingId: null, decidedBy: 'alice+bob' });
});

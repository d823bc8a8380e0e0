import type { WorkflowHandle } from '@temporalio/client';
import { temporal } from '@temporalio/proto';
import { expect, test } from 'vitest';
import type { Order } from '../../domain/order.ts';
import { orderAnswered, reviewStart } from '../../workflows/messages.ts';
import { order as buildOrder, paid } from '../support/builders.ts';
import { recordHistory } from '../support/workflows/histories.ts';
import { until } from '../support/until.ts';
import { PLACED } from '../support/workflows/provider.ts';
import { startWorkflowWorld } from '../support/workflows/workflow-world.ts';

/** Every path through the life of a deposit, on a real server; windows are short where a path waits for their end. */
const world = await startWorkflowWorld('real');
const SHORT = { paymentWindowMs: 200, listeningWindowMs: 400 };
/** The payment window ends at once; the listening window outlasts the test. */
const EXPIRING = { paymentWindowMs: 200 };

const unknown = async () => ({ kind: 'unknown', cause: 'ECONNRESET' }) as const;
const refused = async () => ({ kind: 'refused', code: 'NO_ADVERTISEMENT', message: 'no offer' }) as const;

const untilState = ({ externalOrderNumber }: Order, state: string) =>
  until(`${externalOrderNumber} to be ${state}`, async () => {
    const row = await world.state(externalOrderNumber);
    return row.state === state && row;
  });

/** Ends a workflow that waits for operators, so that its history is whole; the deposit row is unchanged. */
async function finish(name: string, handle: WorkflowHandle): Promise<void> {
  await recordHistory(name, handle);
  await handle.terminate('the test is over');
}

test('paid in time: credited once', async () => {
  const reserved = await world.reserve();
  const handle = await world.start(reserved);
  await untilState(reserved.order, 'AWAITING_PAYMENT');
  await world.signal(handle, await world.receive(paid(reserved.order)));
  expect(await handle.result()).toMatchObject({ state: 'CREDITED', late: false });
  expect(await world.postings(reserved.order.externalOrderNumber)).toBe(1);
  await recordHistory('credited', handle);
});

test('the happy path costs 14 events, 2 workflow tasks, 6 billable actions, one upsert among them, and some 3.5 kB', async () => {
  const reserved = await world.reserve();
  const handle = await world.start(reserved);
  await untilState(reserved.order, 'AWAITING_PAYMENT');
  // The row is written inside the first task: the payment must not join that task, or the count would be too low.
  await until('the payment window to run', async () =>
    ((await handle.fetchHistory()).events ?? []).some((event) => event.timerStartedEventAttributes),
  );
  await world.signal(handle, await world.receive(paid(reserved.order)));
  await handle.result();
  const history = await handle.fetchHistory();
  const events = history.events ?? [];
  const count = (attributes: string) =>
    events.filter((event) => attributes in event && event[attributes as never] !== null).length;
  const upserts = count('upsertWorkflowSearchAttributesEventAttributes');
  // Billed: the start, each task's local activities, the timer, the signal, the upsert.
  const actions =
    1 +
    count('markerRecordedEventAttributes') +
    count('timerStartedEventAttributes') +
    count('workflowExecutionSignaledEventAttributes') +
    upserts;
  expect(upserts).toBe(1);
  expect(count('workflowTaskCompletedEventAttributes')).toBeLessThanOrEqual(2);
  expect(events.length).toBeLessThanOrEqual(14);
  expect(actions).toBeLessThanOrEqual(6);
  // Names and times differ by some bytes.
  expect(temporal.api.history.v1.History.encode(history).finish().length).toBeLessThanOrEqual(3_650);
});

test('the payment came before the placement answer was recorded: credited', async () => {
  const reserved = await world.reserve();
  const { externalOrderNumber } = reserved.order;
  let answer: () => void = () => undefined;
  const held = new Promise<void>((resolve) => {
    answer = resolve;
  });
  world.answers(externalOrderNumber, async () => {
    await held;
    return PLACED;
  });
  const handle = await world.start(reserved);
  await world.signal(handle, await world.receive(paid(reserved.order)));
  expect(await world.postings(externalOrderNumber)).toBe(0);
  answer();
  expect(await handle.result()).toMatchObject({ state: 'CREDITED' });
  await recordHistory('credited-paid-before-answer', handle);
});

test('paid after the payment window: credited, late', async () => {
  const reserved = await world.reserve({}, EXPIRING);
  const handle = await world.start(reserved);
  await untilState(reserved.order, 'EXPIRED');
  await world.signal(handle, await world.receive(paid(reserved.order)));
  expect(await handle.result()).toMatchObject({ state: 'CREDITED', late: true });
  await recordHistory('credited-late', handle);
});

test('paid late where the policy asks for people: in review, in suspense and in no wallet', async () => {
  const reserved = await world.reserve({}, { ...EXPIRING, latePolicy: 'review' });
  const handle = await world.start(reserved);
  await untilState(reserved.order, 'EXPIRED');
  await world.signal(handle, await world.receive(paid(reserved.order)));
  expect(await untilState(reserved.order, 'IN_REVIEW')).toMatchObject({ review_reason: 'LATE', late: true });
  expect(await world.postings(reserved.order.externalOrderNumber)).toBe(1);
  const { rows } = await world.db.owner.query('select kind from ledger.transaction where deposit = $1', [
    reserved.order.externalOrderNumber,
  ]);
  expect(rows).toEqual([{ kind: 'suspense' }]);
  await finish('in-review-late', handle);
});

test('never paid: UNPAID when the listening window is over', async () => {
  const reserved = await world.reserve({}, SHORT);
  const handle = await world.start(reserved);
  expect(await handle.result()).toMatchObject({ state: 'UNPAID' });
  expect(await world.state(reserved.order.externalOrderNumber)).toMatchObject({ state: 'UNPAID' });
  await recordHistory('unpaid', handle);
});

test('a payment committed while the deposit closes as UNPAID, its signal not yet sent: credited', async () => {
  const reserved = await world.reserve({}, SHORT);
  const { externalOrderNumber } = reserved.order;
  world.instead('close', externalOrderNumber, async (close) => {
    if ((await world.state(externalOrderNumber)).state === 'EXPIRED' && (await bound(externalOrderNumber)) === null) {
      await world.receive(paid(reserved.order));
    }
    return close();
  });
  const handle = await world.start(reserved);
  expect(await handle.result()).toMatchObject({ state: 'CREDITED' });
  expect(await world.postings(externalOrderNumber)).toBe(1);
  await recordHistory('credited-while-closing', handle);
});

async function bound(externalOrderNumber: string): Promise<string | null> {
  const { rows } = await world.db.owner.query(
    'select bound_callback from engine.deposit where external_order_number = $1',
    [externalOrderNumber],
  );
  return rows[0].bound_callback;
}

test('refused by the provider: PLACEMENT_REFUSED, with its reason', async () => {
  const reserved = await world.reserve();
  world.answers(reserved.order.externalOrderNumber, refused);
  const handle = await world.start(reserved);
  expect(await handle.result()).toMatchObject({ state: 'PLACEMENT_REFUSED', refusal: 'NO_ADVERTISEMENT' });
  expect(await world.state(reserved.order.externalOrderNumber)).toMatchObject({ state: 'PLACEMENT_REFUSED' });
  await recordHistory('placement-refused', handle);
});

test('refused, and yet a payment is there: in review PAID_THOUGH_REFUSED, nothing posted', async () => {
  const reserved = await world.reserve();
  const { externalOrderNumber } = reserved.order;
  world.answers(externalOrderNumber, refused);
  world.instead('close', externalOrderNumber, async (close) => {
    if ((await bound(externalOrderNumber)) === null) await world.receive(paid(reserved.order));
    return close();
  });
  const handle = await world.start(reserved);
  expect(await untilState(reserved.order, 'IN_REVIEW')).toMatchObject({ review_reason: 'PAID_THOUGH_REFUSED' });
  expect(await world.postings(externalOrderNumber)).toBe(0);
  await finish('in-review-paid-though-refused', handle);
});

test('placement unknown, then paid: credited', async () => {
  const reserved = await world.reserve();
  world.answers(reserved.order.externalOrderNumber, unknown);
  const handle = await world.start(reserved);
  await untilState(reserved.order, 'PLACEMENT_UNKNOWN');
  await world.signal(handle, await world.receive(paid(reserved.order)));
  expect(await handle.result()).toMatchObject({ state: 'CREDITED' });
  await recordHistory('credited-after-unknown', handle);
});

test('placement unknown, never paid: UNPAID', async () => {
  const reserved = await world.reserve({}, SHORT);
  world.answers(reserved.order.externalOrderNumber, unknown);
  const handle = await world.start(reserved);
  expect(await handle.result()).toMatchObject({ state: 'UNPAID' });
  await recordHistory('unpaid-after-unknown', handle);
});

test('placement unknown, answered late: awaiting payment, then credited', async () => {
  const reserved = await world.reserve();
  const { externalOrderNumber } = reserved.order;
  world.answers(externalOrderNumber, unknown);
  const handle = await world.start(reserved);
  await untilState(reserved.order, 'PLACEMENT_UNKNOWN');
  const expiresAt = new Date(Date.now() + 60_000).toISOString();
  // As the worker stores a late response of the provider; the signal alone would be ignored.
  await world.db.owner.query(
    `update engine.deposit set redirect_url = 'https://pay.example/1', expires_at = $2 where external_order_number = $1`,
    [externalOrderNumber, expiresAt],
  );
  await handle.signal(orderAnswered, { expiresAt });
  await untilState(reserved.order, 'AWAITING_PAYMENT');
  await world.signal(handle, await world.receive(paid(reserved.order)));
  expect(await handle.result()).toMatchObject({ state: 'CREDITED', late: false });
  await recordHistory('credited-after-late-answer', handle);
});

test('another amount than asked: in review with the numbers, nothing posted', async () => {
  const reserved = await world.reserve();
  const handle = await world.start(reserved);
  await world.signal(handle, await world.receive(paid(reserved.order, { transactionAmount: '4999' })));
  expect(await untilState(reserved.order, 'IN_REVIEW')).toMatchObject({ review_reason: 'AMOUNT_MISMATCH' });
  expect(await world.postings(reserved.order.externalOrderNumber)).toBe(0);
  const { rows } = await world.db.owner.query('select outcome from engine.callback where deposit = $1', [
    reserved.order.externalOrderNumber,
  ]);
  expect(rows).toEqual([{ outcome: `review:deposit:${reserved.order.externalOrderNumber}` }]);
  await finish('in-review-amount', handle);
});

test('a transactionCode that another deposit was credited with: in review LEDGER_CONFLICT, credited once', async () => {
  const [first, second] = [await world.reserve(), await world.reserve()];
  const payment = paid(first.order);
  const firstHandle = await world.start(first);
  await world.signal(firstHandle, await world.receive(payment));
  await firstHandle.result();
  const handle = await world.start(second);
  await world.signal(
    handle,
    await world.receive({ ...payment, externalOrderNumber: second.order.externalOrderNumber }),
  );
  expect(await untilState(second.order, 'IN_REVIEW')).toMatchObject({ review_reason: 'LEDGER_CONFLICT' });
  expect(await world.postings(second.order.externalOrderNumber)).toBe(0);
  await finish('in-review-ledger-conflict', handle);
});

test('the database is away when the credit is due: the durable activity credits once it is back', async () => {
  const reserved = await world.reserve();
  const { externalOrderNumber } = reserved.order;
  let failures = 2;
  world.instead('credit', externalOrderNumber, async (credit) => {
    if (failures-- > 0) throw Object.assign(new Error('connection refused'), { code: 'ECONNREFUSED' });
    return credit();
  });
  const handle = await world.start(reserved);
  await world.signal(handle, await world.receive(paid(reserved.order)));
  expect(await handle.result()).toMatchObject({ state: 'CREDITED' });
  expect(await world.postings(externalOrderNumber)).toBe(1);
  await recordHistory('credited-durably', handle);
});

test('the placement could not be reported: it is settled from its attempts, and never placed twice', async () => {
  const reserved = await world.reserve();
  const { externalOrderNumber } = reserved.order;
  let calls = 0;
  world.answers(externalOrderNumber, async () => {
    calls += 1;
    return PLACED;
  });
  // The provider's response is stored, and then the activity's own result is lost.
  world.instead('placeOrder', externalOrderNumber, async (place) => {
    await place();
    throw new Error('connection refused');
  });
  const handle = await world.start(reserved);
  await untilState(reserved.order, 'AWAITING_PAYMENT');
  await world.signal(handle, await world.receive(paid(reserved.order)));
  expect(await handle.result()).toMatchObject({ state: 'CREDITED' });
  expect(calls).toBe(1);
  await recordHistory('credited-settled-placement', handle);
});

test('no attempt was ever made: settled as NOT_SENT, and a late run cannot send', async () => {
  const reserved = await world.reserve();
  const { externalOrderNumber } = reserved.order;
  let wake: () => void = () => undefined;
  const woken = new Promise<void>((resolve) => {
    wake = resolve;
  });
  let late: Promise<unknown> = Promise.resolve();
  world.instead('placeOrder', externalOrderNumber, async (place) => {
    // A run that the worker has given up on, and that resumes when all is settled.
    late = woken.then(place);
    throw new Error('connection refused');
  });
  let calls = 0;
  world.answers(externalOrderNumber, async () => {
    calls += 1;
    return PLACED;
  });
  const handle = await world.start(reserved);
  expect(await handle.result()).toMatchObject({ state: 'PLACEMENT_REFUSED', refusal: 'NOT_SENT' });
  wake();
  expect(await late).toEqual({ kind: 'refused', reason: 'NOT_SENT' });
  expect(calls).toBe(0);
  await recordHistory('placement-refused-settled', handle);
});

test('a cancel in the Web UI ends nothing: the deposit is credited afterwards', async () => {
  const reserved = await world.reserve();
  const handle = await world.start(reserved);
  await untilState(reserved.order, 'AWAITING_PAYMENT');
  await handle.cancel();
  await world.signal(handle, await world.receive(paid(reserved.order)));
  expect(await handle.result()).toMatchObject({ state: 'CREDITED' });
  await recordHistory('credited-after-cancel', handle);
});

test('the same payment signalled ten times, and a signal of another shape: credited once', async () => {
  const reserved = await world.reserve();
  const handle = await world.start(reserved);
  await handle.signal('callbackAccepted', { inboxId: 7, transactionAmount: '1e9' });
  await handle.signal('callbackAccepted', null);
  const payment = await world.receive(paid(reserved.order));
  await Promise.all(Array.from({ length: 10 }, () => world.signal(handle, payment).catch(() => undefined)));
  expect(await handle.result()).toMatchObject({ state: 'CREDITED', transactionCode: payment.transactionCode });
  expect(await world.postings(reserved.order.externalOrderNumber)).toBe(1);
  await recordHistory('credited-signalled-often', handle);
});

test('a review holds its case, and a cancel does not end it', async () => {
  const input = {
    inboxId: '4711',
    externalOrderNumber: buildOrder().externalOrderNumber,
    reason: 'SECOND_CODE',
    transactionCode: 'ATSECOND',
  } as const;
  const handle = await world.client.workflow.start('review', reviewStart(input));
  await handle.cancel();
  await until('the cancel to be seen', async () => {
    const events = (await handle.fetchHistory()).events ?? [];
    const cancel = events.findIndex((event) => event.workflowExecutionCancelRequestedEventAttributes);
    return cancel >= 0 && events.slice(cancel).some((event) => event.workflowTaskCompletedEventAttributes);
  });
  expect((await handle.describe()).status.name).toBe('RUNNING');
  await finish('review', handle);
});

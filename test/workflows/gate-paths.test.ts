import type { WorkflowHandle } from '@temporalio/client';
import { expect, test } from 'vitest';
import type { CallbackData, DepositSettings, Order } from '../../domain/order.ts';
import type { ReviewReason } from '../../domain/review.ts';
import { reviewStart, TASK_QUEUE } from '../../workflows/messages.ts';
import { order as buildOrder, paid, settings as buildSettings } from '../support/builders.ts';
import { recordHistory } from '../support/workflows/histories.ts';
import { until } from '../support/until.ts';
import { startWorkflowWorld } from '../support/workflows/workflow-world.ts';

/**
 * Paths that differ from those of paths.test.ts by one decision: each rule of the judge decides in one of them, and
 * each activity is once the durable one. Without these recordings no test would see a changed decision.
 */
const world = await startWorkflowWorld('real');

const FIXED_PRICE = { buyCoinMode: 'PaymentPrice', mtcAmount: null, totalPrice: '36000' } as const;

interface Judged {
  readonly name: string;
  readonly order?: Partial<Order>;
  readonly settings?: Partial<DepositSettings>;
  readonly paid?: Partial<CallbackData>;
  readonly reason: ReviewReason | null;
}

const JUDGED: readonly Judged[] = [
  { name: 'credited-price', order: FIXED_PRICE, reason: null },
  { name: 'credited-within-fee', settings: { feeBand: '0.01' }, paid: { transactionAmount: '4950' }, reason: null },
  { name: 'in-review-currency', paid: { currencyCode: 'HKD' }, reason: 'CURRENCY_MISMATCH' },
  { name: 'in-review-price', order: FIXED_PRICE, paid: { paymentPrice: '35999' }, reason: 'PRICE_MISMATCH' },
  { name: 'in-review-rate', paid: { paymentPrice: '50000' }, reason: 'RATE_OUT_OF_BAND' },
  { name: 'in-review-cap', settings: { creditCap: '4999' }, reason: 'ABOVE_CAP' },
];

test.each(JUDGED)('$name', async ({ name, reason, ...as }) => {
  const reserved = await world.reserve(as.order, as.settings);
  const handle = await world.start(reserved);
  await world.signal(handle, await world.receive(paid(reserved.order, as.paid)));
  if (reason === null) expect(await handle.result()).toMatchObject({ state: 'CREDITED', late: false });
  else await untilInReview(reserved.order, reason);
  await finish(name, handle);
});

test('a payment that people have in hand already: the machine does not credit it', async () => {
  const reserved = await world.reserve();
  const { externalOrderNumber } = reserved.order;
  world.instead('credit', externalOrderNumber, async (credit) => {
    await world.db.owner.query(`update engine.callback set outcome = 'review:another' where deposit = $1`, [
      externalOrderNumber,
    ]);
    return credit();
  });
  const handle = await world.start(reserved);
  await world.signal(handle, await world.receive(paid(reserved.order)));
  await untilInReview(reserved.order, 'LEDGER_REJECTED');
  expect(await detailOf(handle)).toContain('the ledger found no proof');
  await finish('in-review-ledger-rejected', handle);
});

test('a payment that the ledger refuses: its case says what was refused', async () => {
  const reserved = await world.reserve();
  const detail = 'the ledger refused the posting (SQLSTATE 23514): compare posting and inbox row';
  const { externalOrderNumber } = reserved.order;
  world.instead('credit', externalOrderNumber, async () => ({ kind: 'conflict', reason: 'LEDGER_REJECTED', detail }));
  const handle = await world.start(reserved);
  await world.signal(handle, await world.receive(paid(reserved.order)));
  await untilInReview(reserved.order, 'LEDGER_REJECTED');
  expect(await detailOf(handle)).toBe(detail);
  await finish('in-review-ledger-refused', handle);
});

test('placement unknown, then paid another amount: in review', async () => {
  const reserved = await world.reserve();
  world.answers(reserved.order.externalOrderNumber, async () => ({ kind: 'unknown', cause: 'ECONNRESET' }));
  const handle = await world.start(reserved);
  await world.signal(handle, await world.receive(paid(reserved.order, { transactionAmount: '4999' })));
  await untilInReview(reserved.order, 'AMOUNT_MISMATCH');
  await finish('in-review-after-unknown', handle);
});

test('the database is away when a deposit expires and when it closes: both are done durably', async () => {
  const reserved = await world.reserve({}, { paymentWindowMs: 200, listeningWindowMs: 400 });
  failOnce('recordState', reserved.order.externalOrderNumber);
  failOnce('close', reserved.order.externalOrderNumber);
  const handle = await world.start(reserved);
  expect(await handle.result()).toMatchObject({ state: 'UNPAID' });
  await finish('unpaid-durably', handle);
});

test('the database is away when a review is recorded: it is recorded durably', async () => {
  const reserved = await world.reserve();
  failOnce('recordReview', reserved.order.externalOrderNumber);
  const handle = await world.start(reserved);
  await world.signal(handle, await world.receive(paid(reserved.order, { transactionAmount: '4999' })));
  await untilInReview(reserved.order, 'AMOUNT_MISMATCH');
  await finish('in-review-durably', handle);
});

/** A second payment of this amount, as a case of its own. */
function openSecond(inboxId: string, transactionAmount: string): Promise<WorkflowHandle> {
  const order = buildOrder();
  const { externalOrderNumber: _, ...facts } = paid(order, { transactionAmount });
  const input = {
    inboxId,
    externalOrderNumber: order.externalOrderNumber,
    reason: 'SECOND_CODE',
    transactionCode: facts.transactionCode,
    payment: { ...facts, inboxId, receivedAt: new Date().toISOString() },
    order: { ...order, settings: buildSettings() },
    standing: 'nothing',
  } as const;
  return world.client.workflow.start('review', reviewStart(input));
}

test('the database is away when a second payment is parked: it is parked durably', async () => {
  failOnce('park', 'review:4712');
  const handle = await openSecond('4712', '5000');
  await until('the durable activity to be done', async () =>
    ((await handle.fetchHistory()).events ?? []).some((event) => event.activityTaskCompletedEventAttributes),
  );
  await finish('review-parked-durably', handle);
});

test('a second payment that the judge would not credit is not parked', async () => {
  const handle = await openSecond('4713', '4999');
  await finish('review-not-parked', handle);
  expect((await events(handle)).some((event) => event.markerRecordedEventAttributes)).toBe(false);
});

test('the archive of closed histories ends when none is left', async () => {
  const handle = await world.client.workflow.start('archive', {
    workflowId: 'archive:1',
    taskQueue: TASK_QUEUE,
    args: [],
  });
  await handle.result();
  await finish('archive', handle);
});

function failOnce(name: Parameters<typeof world.instead>[0], of: string): void {
  let failures = 1;
  world.instead(name, of, async (real) => {
    if (failures-- > 0) throw Object.assign(new Error('connection refused'), { code: 'ECONNREFUSED' });
    return real();
  });
}

const untilInReview = ({ externalOrderNumber }: Order, reason: ReviewReason) =>
  until(`${externalOrderNumber} to be in review: ${reason}`, async () => {
    const row = await world.state(externalOrderNumber);
    return row.state === 'IN_REVIEW' && row.review_reason === reason;
  });

async function detailOf({ workflowId }: WorkflowHandle): Promise<string | undefined> {
  const of = 'select detail from engine.review_case where workflow_id = $1';
  return (await world.db.owner.query<{ detail: string }>(of, [workflowId])).rows[0]?.detail;
}

const events = async (handle: WorkflowHandle) => (await handle.fetchHistory()).events ?? [];

/** Ends a workflow that waits for operators, by hand. */
async function finish(name: string, handle: WorkflowHandle): Promise<void> {
  await recordHistory(name, handle);
  if ((await handle.describe()).status.name === 'RUNNING') await handle.terminate('the test is over');
}

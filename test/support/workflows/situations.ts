import type { WorkflowHandle } from '@temporalio/client';
import type { CallbackData } from '../../../domain/order.ts';
import type { ReviewInput } from '../../../workflows/messages.ts';
import { paid } from '../builders.ts';
import { type Case, peopleOf } from './people.ts';
import { until } from '../until.ts';
import type { DepositHandle, Reserved, WorkflowWorld } from './workflow-world.ts';

/** The driver's error for a database that is away. */
export const away = () => Object.assign(new Error('connection refused'), { code: 'ECONNREFUSED' });

/** Brings a deposit or a case to a situation of interest. */
export function situations(world: WorkflowWorld) {
  const { keep, openCase, proposes, confirms } = peopleOf(world);

  const untilState = ({ order }: Reserved, state: string) =>
    until(`the deposit to be ${state}`, async () => (await world.state(order.externalOrderNumber)).state === state);

  /** The workflow has queried the database: a local activity of one of these names returned. */
  const asked = (handle: WorkflowHandle, ...activities: string[]) =>
    until(`${activities.join(' or ')} to be answered`, async () =>
      ((await handle.fetchHistory()).events ?? []).some((event) => {
        const told = event.markerRecordedEventAttributes?.details?.['data']?.payloads?.[0]?.data;
        const text = Buffer.from(told ?? '').toString();
        return activities.some((activity) => text.includes(`"${activity}"`));
      }),
    );

  /** A deposit that is paid; `change` makes the payment differ from the order. */
  async function pays(reserved: Reserved, change: Partial<CallbackData> = {}) {
    const handle = await world.start(reserved);
    const payment = await world.receive(paid(reserved.order, change));
    await world.signal(handle, payment);
    return { reserved, handle, payment, inboxId: payment.inboxId };
  }

  async function short(settings: Parameters<typeof world.reserve>[1] = {}) {
    const of = await pays(await world.reserve({}, settings), { transactionAmount: '4999' });
    await untilState(of.reserved, 'IN_REVIEW');
    return of;
  }

  /** A deposit for which nobody knows whether the provider has its order. */
  async function unplaced() {
    const reserved = await world.reserve();
    world.answers(reserved.order.externalOrderNumber, async () => ({ kind: 'unknown', cause: 'ECONNRESET' }));
    const handle = await world.start(reserved);
    await untilState(reserved, 'PLACEMENT_UNKNOWN');
    return { reserved, handle };
  }

  /** Pays what waits for it, and sees it closed. */
  async function paidAtLast({ reserved, handle }: { readonly reserved: Reserved; readonly handle: DepositHandle }) {
    await world.signal(handle, await world.receive(paid(reserved.order)));
    await handle.result();
  }

  /** Paid after its window, where the policy requires a decision by operators: its money waits in suspense. */
  async function late() {
    const reserved = await world.reserve({}, { paymentWindowMs: 200, latePolicy: 'review' });
    const handle = await world.start(reserved);
    await untilState(reserved, 'EXPIRED');
    const payment = await world.receive(paid(reserved.order));
    await world.signal(handle, payment);
    await untilState(reserved, 'IN_REVIEW');
    return { reserved, handle, inboxId: payment.inboxId };
  }

  async function credited(wallet = 'wallet-42') {
    const of = await pays(await world.reserve({ wallet }));
    const { postingId } = (await of.handle.result()) as { postingId: string };
    return { ...of, postingId };
  }

  /** A second payment of a credited deposit, and the case about it; `beforeCase` receives its workflow id. */
  async function second(reason: 'SECOND_CODE' | 'STALE', beforeCase: (workflowId: string) => void = () => {}) {
    const { reserved, postingId } = await credited();
    const payment = await keep(paid(reserved.order), 'final', reason);
    beforeCase(`review:${payment.inboxId}`);
    const input = { ...about(reserved, payment.inboxId), reason, transactionCode: payment.transactionCode, payment };
    const handle = await openCase({ ...input, standing: 'nothing' });
    return { reserved, handle, inboxId: payment.inboxId, input, beside: postingId };
  }

  const about = ({ order, settings }: Reserved, inboxId: string) => ({
    inboxId,
    externalOrderNumber: order.externalOrderNumber,
    order: { ...order, settings },
  });

  async function doubted(wallet: string) {
    const { reserved, payment, postingId, inboxId } = await credited(wallet);
    const input: ReviewInput = {
      ...about(reserved, inboxId),
      reason: 'CREDIT_IN_DOUBT',
      transactionCode: payment.transactionCode,
      payment,
      standing: 'credited',
      doubt: { postingId, operator: 'alice', reason: 'the wallet is another' },
      workflowId: `review:${inboxId}:reversal:1`,
    };
    return { handle: await openCase(input), inboxId };
  }

  const together = async (
    of: Case,
    ...[decision, more]: [Parameters<typeof proposes>[2], Parameters<typeof proposes>[3]?]
  ) => confirms('bob', of, await proposes('alice', of, decision, more));

  /** Fails so many times, as when the database is away: local activities are retried as durable ones. */
  function failing(activity: Parameters<typeof world.instead>[0], { order }: Reserved, times: number): void {
    let left = times;
    world.instead(activity, order.externalOrderNumber, async (real) => {
      if (left-- > 0) throw away();
      return real();
    });
  }

  /**
   * The window that ends in `state` passes at once, and its end is written when `release` is called. Whatever a test does
   * before happens while the workflow waits, however slow the machine is.
   */
  function endHeld({ order }: Reserved, state: 'EXPIRED' | 'UNPAID'): () => void {
    let release = () => {};
    const released = new Promise<void>((resolve) => (release = resolve));
    world.instead(state === 'UNPAID' ? 'close' : 'recordState', order.externalOrderNumber, async (real, _n, as) => {
      if (as === state) await released;
      return real();
    });
    return release;
  }

  /**
   * Delays the result about a row until `release` is called: the row as it is `then`, or as it was at the request
   * (`before`). A local activity blocks the workflow's task, so a durable one asks, and messages arrive meanwhile.
   */
  function held(activity: Parameters<typeof world.instead>[0], about: string, says: 'then' | 'before' = 'then') {
    let release = () => {};
    let ask = () => {};
    const released = new Promise<void>((resolve) => (release = resolve));
    const asked = new Promise<void>((resolve) => (ask = resolve));
    let runs = 0;
    world.instead(activity, about, async (real) => {
      if (activity !== 'recordProposal' && runs++ === 0) throw away();
      const before = says === 'before' ? await real() : undefined;
      ask();
      await released;
      return says === 'before' ? before : real();
    });
    return { release, asked };
  }

  return {
    untilState,
    asked,
    held,
    endHeld,
    pays,
    short,
    unplaced,
    paidAtLast,
    late,
    credited,
    second,
    about,
    doubted,
    together,
    failing,
  };
}

import type { WorkflowHandle } from '@temporalio/client';
import { expect } from 'vitest';
import type { DoubtTarget } from '../../../database/queries/cases.ts';
import type { StatedFacts } from '../../../database/queries/decisions.ts';
import { insertDecision } from '../../support/operators.ts';
import type { Confirmation, DecisionAnswer } from '../../../domain/decision.ts';
import type { Payment } from '../../../domain/order.ts';
import {
  callbackAccepted,
  confirm,
  lookAgain,
  orderAnswered,
  propose,
  type ReviewInput,
  withdraw,
} from '../../../workflows/messages.ts';
import { paid, transactionCode } from '../../support/builders.ts';
import { type Case, peopleOf } from '../../support/workflows/people.ts';
import { situations } from '../../support/workflows/situations.ts';
import { until } from '../../support/until.ts';
import { PLACED } from '../../support/workflows/provider.ts';
import type { Reserved, WorkflowWorld } from '../../support/workflows/workflow-world.ts';

/** The walked path: the deposit, and the case that was decided about it. */
export interface Walked {
  readonly deposit: string;
  readonly id: string;
}

/** Paths on which operators settle a deposit, money moves back and forth, or a statement is false; each to its end. */
export function moneyPaths(world: WorkflowWorld): Readonly<Record<string, () => Promise<unknown>>> {
  const { keep, openCase, proposes, confirms } = peopleOf(world);
  const { late, untilState, pays, short, unplaced, paidAtLast, credited, second, about, together, failing, endHeld } =
    situations(world);
  const { owner } = world.db;

  /** No row has this id. */
  const NOBODY = '900000000000000000';
  const forged = (reserved: Reserved, change: Partial<Payment> = {}): Payment => {
    const { transactionAmount, currencyCode, paymentPrice } = paid(reserved.order);
    const code = transactionCode();
    const receivedAt = new Date().toISOString();
    return {
      inboxId: NOBODY,
      transactionCode: code,
      transactionAmount,
      currencyCode,
      paymentPrice,
      receivedAt,
      ...change,
    };
  };

  const answers = async (handle: WorkflowHandle, activity: string): Promise<number> =>
    ((await handle.fetchHistory()).events ?? []).filter((event) => {
      const told = event.markerRecordedEventAttributes?.details?.['data']?.payloads?.[0]?.data;
      return Buffer.from(told ?? '')
        .toString()
        .includes(`"${activity}"`);
    }).length;
  const asked = (handle: WorkflowHandle, activity: string, times = 1) =>
    until(`${activity} to be answered`, async () => (await answers(handle, activity)) >= times);

  const outcome = async (confirmed: Promise<unknown>) =>
    (await confirmed) as DecisionAnswer & { readonly postingId: string };

  /** An authentic callback that is not bound, and the case about it. */
  async function ahead(reserved: Reserved): Promise<Case> {
    const payment = await keep(paid(reserved.order), 'ahead', 'STAMP_AHEAD');
    const input = { ...about(reserved, payment.inboxId), reason: 'STAMP_AHEAD', payment } as const;
    const { transactionCode: code, inboxId } = payment;
    return { handle: await openCase({ ...input, transactionCode: code, standing: 'nothing' }), inboxId };
  }

  /** A case about the credit of a deposit, or about a decided case. */
  async function doubts(of: Reserved, by: DoubtTarget, k: number, standing: ReviewInput['standing']) {
    const doubtful = await owner.query<{ inboxId: string; postingId: string | null }>(
      'select callback as "inboxId", posting as "postingId" from engine.doubtful($1, $2, $3)',
      [
        'externalOrderNumber' in by ? by.externalOrderNumber : null,
        'postingId' in by ? by.postingId : null,
        'case' in by ? by.case : null,
      ],
    );
    const { inboxId, postingId } = doubtful.rows[0]!;
    const { rows } = await owner.query('select data, received_at from engine.callback where id = $1', [inboxId]);
    const { data, received_at: receivedAt } = rows[0];
    const { transactionCode: code = null, transactionAmount, currencyCode, paymentPrice } = data ?? {};
    const amounts = { transactionCode: code, transactionAmount, currencyCode, paymentPrice };
    const input: ReviewInput = {
      ...about(of, inboxId),
      reason: 'case' in by ? 'DECISION_IN_DOUBT' : 'CREDIT_IN_DOUBT',
      transactionCode: code,
      payment: data === null ? null : { inboxId, ...amounts, receivedAt: receivedAt.toISOString() },
      standing: standing!,
      ...(postingId === null ? {} : { doubt: { postingId, operator: 'alice', reason: 'it is not right' } }),
      workflowId: `review:${inboxId}:reversal:${k}`,
    };
    return { handle: await openCase(input), inboxId };
  }

  /** Another deposit's money is released into the wallet of this one. */
  async function releasedTo({ order }: Reserved): Promise<string> {
    const other = await short();
    return (await outcome(together(other, 'credit', { toDeposit: order.externalOrderNumber }))).postingId;
  }

  /** Paid after operators had put another payment into its wallet. */
  async function paidSecond(wallet: string) {
    const reserved = await world.reserve({ wallet });
    const handle = await world.start(reserved);
    await untilState(reserved, 'AWAITING_PAYMENT');
    const beside = await releasedTo(reserved);
    const payment = await world.receive(paid(reserved.order));
    await world.signal(handle, payment);
    await untilState(reserved, 'IN_REVIEW');
    return { reserved, handle, inboxId: payment.inboxId, beside };
  }

  async function settles(
    reserved: Reserved,
    handle: WorkflowHandle,
    then: () => unknown = () => handle.signal(lookAgain),
  ) {
    const of = await ahead(reserved);
    await together(of, 'credit');
    await then();
    expect(await handle.result()).toMatchObject({ state: 'CREDITED' });
    return walked(reserved, of);
  }

  const walked = ({ order }: Reserved, { handle }: Pick<Case, 'handle'>): Walked => ({
    deposit: order.externalOrderNumber,
    id: handle.workflowId,
  });

  const stated = (amount: string): StatedFacts => ({
    transactionCode: transactionCode(),
    amount,
    currencyCode: 'CNY',
    paymentPrice: '36000',
    statementLine: 'line 7 of the statement',
  });

  /** One operator proposes to credit, the other confirms, and each states the payment's data. */
  async function states({ handle }: Case, first: StatedFacts, then: StatedFacts = first) {
    const of = { workflowId: handle.workflowId };
    const body = { decision: 'credit', reason: 'read in the statement', keep: false, toDeposit: null } as const;
    const { id } = await insertDecision(owner, { ...of, operator: 'alice', step: 'propose', ...body, facts: first });
    await handle.executeUpdate(propose, { args: [{ decisionId: id, operator: 'alice', ...body }] });
    const step = { step: 'confirm', proposal: id, reason: null } as const;
    const confirmed = await insertDecision(owner, { ...of, operator: 'bob', ...step, facts: then });
    const args: [Confirmation] = [{ decisionId: confirmed.id, proposalId: id, operator: 'bob' }];
    return outcome(handle.executeUpdate(confirm, { args }));
  }

  /** An unreadable message, whose data two operators state: each a step of their own. */
  async function unreadable() {
    const reserved = await world.reserve();
    const { inboxId } = await keep(paid(reserved.order), 'unreadable', 'UNREADABLE', { data: null });
    const input = { ...about(reserved, inboxId), reason: 'UNREADABLE', transactionCode: null, payment: null } as const;
    const handle = await openCase({ ...input, standing: 'unreadable' });
    const of = { handle, inboxId };
    return { reserved, handle, inboxId, states: (first: StatedFacts, then = first) => states(of, first, then) };
  }

  return {
    'settled by people while awaiting': async () => {
      const reserved = await world.reserve();
      const handle = await world.start(reserved);
      await untilState(reserved, 'AWAITING_PAYMENT');
      return settles(reserved, handle);
    },
    'settled by people after the payment window': async () => {
      const reserved = await world.reserve({}, { paymentWindowMs: 200 });
      const handle = await world.start(reserved);
      await untilState(reserved, 'EXPIRED');
      await settles(reserved, handle);
    },
    'settled by people while nobody knows of the order': async () => {
      const { reserved, handle } = await unplaced();
      await settles(reserved, handle);
    },
    'settled by people while the order is being placed': async () => {
      const reserved = await world.reserve();
      let isSent = false;
      let answer = () => {};
      const answered = new Promise<void>((resolve) => (answer = resolve));
      world.answers(reserved.order.externalOrderNumber, async () => {
        isSent = true;
        await answered;
        return PLACED;
      });
      const handle = await world.start(reserved);
      await until('the order to be sent', async () => isSent);
      await together(await ahead(reserved), 'credit');
      await handle.signal(lookAgain);
      answer();
      expect(await handle.result()).toMatchObject({ state: 'CREDITED' });
    },
    'settled by people and heard of by nobody': async () => {
      const reserved = await world.reserve({}, { paymentWindowMs: 200 });
      const expire = endHeld(reserved, 'EXPIRED');
      const handle = await world.start(reserved);
      await untilState(reserved, 'AWAITING_PAYMENT');
      await settles(reserved, handle, expire);
    },
    'settled by people, unheard until its payment window and its listening window are over': async () => {
      const reserved = await world.reserve({}, { paymentWindowMs: 200, listeningWindowMs: 200 });
      const close = endHeld(reserved, 'UNPAID');
      const handle = await world.start(reserved);
      await untilState(reserved, 'EXPIRED');
      await settles(reserved, handle, close);
    },
    'a hint about a row that is open': async () => {
      const reserved = await world.reserve();
      const handle = await world.start(reserved);
      await untilState(reserved, 'AWAITING_PAYMENT');
      await handle.signal(lookAgain);
      await asked(handle, 'settlement');
      await paidAtLast({ reserved, handle });
    },
    'paid second, and put beside the other payment': async () => {
      const of = await paidSecond('wallet-beside');
      await together(of, 'credit', { beside: of.beside });
      expect(await of.handle.result()).toMatchObject({ state: 'CREDITED' });
      return walked(of.reserved, of);
    },
    'paid second, and rejected: credited with the other payment': async () => {
      const of = await paidSecond('wallet-though-rejected');
      await together(of, 'reject');
      expect(await of.handle.result()).toMatchObject({ state: 'CREDITED', postingId: of.beside });
    },
    'paid second, and credited to the wallet of a third': async () => {
      const [of, third] = [await paidSecond('wallet-first'), await world.reserve({ wallet: 'wallet-of-a-third' })];
      await together(of, 'credit', { toDeposit: third.order.externalOrderNumber });
      await of.handle.result();
    },
    'the next row’s id confirmed by hand, and then by its operator': async () => {
      const of = await short();
      const proposalId = await proposes('alice', of, 'credit');
      const decisionId = String(BigInt(proposalId) + 1n);
      await of.handle.executeUpdate(confirm, { args: [{ decisionId, proposalId, operator: 'eve' }] });
      expect(await confirms('bob', of, proposalId)).toMatchObject({ kind: 'decided' });
      const { rows } = await owner.query('select confirmation from engine.carried where proposal = $1', [proposalId]);
      expect(rows).toEqual([{ confirmation: decisionId }]);
      await of.handle.result();
    },
    'a good payment of nobody, and then the real one': async () => {
      const reserved = await world.reserve();
      const handle = await world.start(reserved);
      await untilState(reserved, 'AWAITING_PAYMENT');
      await handle.signal(callbackAccepted, forged(reserved));
      await asked(handle, 'credit');
      await handle.signal(callbackAccepted, forged(reserved, { inboxId: 'x', transactionCode: 'a\u0000b' }));
      await asked(handle, 'credit', 2);
      await paidAtLast({ reserved, handle });
    },
    'a doubtful payment of nobody, and then the real one': async () => {
      const reserved = await world.reserve();
      const handle = await world.start(reserved);
      await untilState(reserved, 'AWAITING_PAYMENT');
      await handle.signal(callbackAccepted, forged(reserved, { transactionAmount: '1' }));
      await asked(handle, 'recordReview');
      await paidAtLast({ reserved, handle });
    },
    'a payment of nobody after the payment window, and then none': async () => {
      const reserved = await world.reserve({}, { paymentWindowMs: 200, listeningWindowMs: 1_000 });
      const close = endHeld(reserved, 'UNPAID');
      const handle = await world.start(reserved);
      await untilState(reserved, 'EXPIRED');
      await handle.signal(callbackAccepted, forged(reserved, { receivedAt: 'x' }));
      close();
      expect(await handle.result()).toMatchObject({ state: 'UNPAID' });
    },
    'a payment of nobody whose answer was lost, and then the real one': async () => {
      const reserved = await world.reserve();
      const { externalOrderNumber } = reserved.order;
      const handle = await world.start(reserved);
      await untilState(reserved, 'AWAITING_PAYMENT');
      let left = 1;
      world.instead('credit', externalOrderNumber, async (credit) => {
        if (left-- > 0) throw Object.assign(new Error('connection refused'), { code: 'ECONNREFUSED' });
        return credit();
      });
      await handle.signal(callbackAccepted, forged(reserved));
      await until('its answer', async () =>
        ((await handle.fetchHistory()).events ?? []).some((event) => event.activityTaskCompletedEventAttributes),
      );
      await paidAtLast({ reserved, handle });
    },
    'a payment told as more than it is: what stands in the inbox goes to people': async () => {
      const reserved = await world.reserve();
      const handle = await world.start(reserved);
      const payment = await world.receive(paid(reserved.order, { transactionAmount: '4999' }));
      await handle.signal(callbackAccepted, { ...payment, transactionAmount: '5000' });
      await untilState(reserved, 'IN_REVIEW');
      await together({ handle, inboxId: payment.inboxId }, 'reject');
      await handle.result();
    },
    'an answer of the provider that the row does not have, and then the real payment': async () => {
      const of = await unplaced();
      await of.handle.signal(orderAnswered, { expiresAt: 'x' });
      await asked(of.handle, 'recordState');
      await paidAtLast(of);
    },
    'steps that nobody wrote down, and then true ones': async () => {
      const of = await short();
      const fault = (error: Error) => error.cause;
      const body = { decision: 'credit', reason: 'by hand', keep: false, toDeposit: null } as const;
      const nobody = { decisionId: NOBODY, operator: 'alice' };
      for (const decisionId of [NOBODY, 'x'])
        expect(
          await of.handle.executeUpdate(propose, { args: [{ ...nobody, ...body, decisionId }] }).catch(fault),
        ).toMatchObject({ type: 'not_written' });
      const proposal = await proposes('alice', of, 'credit');
      const step = { ...nobody, operator: 'bob', proposalId: proposal };
      await of.handle.executeUpdate(withdraw, { args: [{ ...step, reason: 'by hand' }] }).catch(fault);
      expect(await of.handle.executeUpdate(confirm, { args: [step] })).toMatchObject({ refusal: 'not_written' });
      await confirms('bob', of, proposal);
      await of.handle.result();
    },
    'reversed and kept, restored, doubted again, reversed': async () => {
      const { reserved } = await credited('wallet-to-and-fro');
      const { externalOrderNumber } = reserved.order;
      const first = await doubts(reserved, { externalOrderNumber }, 1, 'credited');
      expect(await together(first, 'reverse', { keep: true })).toMatchObject({ kind: 'withdrawn' });
      await together(first, 'restore');
      expect(await first.handle.result()).toMatchObject({ decision: 'restore' });
      const then = await doubts(reserved, { externalOrderNumber }, 2, 'credited');
      await together(then, 'reverse');
      await then.handle.result();
      // It was returned to the provider, and was right after all.
      const last = await doubts(reserved, { externalOrderNumber }, 3, 'returned');
      await together(last, 'restore');
      expect(await last.handle.result()).toMatchObject({ decision: 'restore' });
      return walked(reserved, first);
    },
    'reversed and kept, and then given back to the provider': async () => {
      const { reserved } = await credited('wallet-kept');
      const { externalOrderNumber } = reserved.order;
      const of = await doubts(reserved, { externalOrderNumber }, 1, 'credited');
      await together(of, 'reverse', { keep: true });
      await together(of, 'reverse');
      expect(await of.handle.result()).toMatchObject({ decision: 'reverse' });
    },
    'a second payment given back, which was right: restored into suspense, and put beside': async () => {
      const of = await second('SECOND_CODE');
      await until('it to be parked', async () => (await answers(of.handle, 'park')) > 0);
      await together(of, 'reject');
      await of.handle.result();
      const again = await doubts(of.reserved, { case: of.handle.workflowId }, 1, 'returned');
      expect(await together(again, 'restore')).toMatchObject({ kind: 'withdrawn', standing: 'parked' });
      await together(again, 'credit', { beside: of.beside });
      expect(await again.handle.result()).toMatchObject({ decision: 'credit' });
    },
    'its own payment rejected, which was right, and credited after all': async () => {
      const of = await short();
      await together(of, 'reject');
      await of.handle.result();
      const again = await doubts(of.reserved, { case: of.handle.workflowId }, 1, 'nothing');
      await together(again, 'credit');
      expect(await again.handle.result()).toMatchObject({ decision: 'credit' });
      const once = await doubts(of.reserved, { case: again.handle.workflowId }, 2, 'credited');
      await together(once, 'reject');
      await once.handle.result();
    },
    'what cannot be read, rejected, doubted, and credited as two people state it': async () => {
      const { reserved, handle, inboxId } = await unreadable();
      await together({ handle, inboxId }, 'reject');
      await handle.result();
      const deposit = await world.start(reserved);
      await untilState(reserved, 'AWAITING_PAYMENT');
      const again = await doubts(reserved, { case: handle.workflowId }, 1, 'unreadable');
      expect(await states(again, stated('5000'))).toMatchObject({ kind: 'decided' });
      await again.handle.result();
      await deposit.signal(lookAgain);
      await deposit.result();
    },
    'put beside, reversed, and put back beside the newest': async () => {
      const of = await second('STALE');
      await together(of, 'credit', { beside: of.beside });
      await of.handle.result();
      const { externalOrderNumber } = of.reserved.order;
      const doubt = await doubts(of.reserved, { externalOrderNumber }, 1, 'credited');
      await together(doubt, 'reverse');
      await doubt.handle.result();
      const again = await doubts(of.reserved, { case: of.handle.workflowId }, 2, 'returned');
      expect(await together(again, 'restore')).toMatchObject({ refusal: 'credited_meanwhile' });
      await together(again, 'restore', { beside: of.beside });
      await again.handle.result();
      // The first of the two is reversed, and the second keeps the slot.
      const first = await doubts(of.reserved, { postingId: of.beside }, 1, 'credited');
      await together(first, 'reverse');
      await first.handle.result();
    },
    'released to another deposit, and taken back from there': async () => {
      const [of, other] = [await short(), await world.reserve({ wallet: 'wallet-not-this' })];
      const { externalOrderNumber: toDeposit } = other.order;
      const { postingId } = await outcome(together(of, 'credit', { toDeposit }));
      await of.handle.result();
      const doubt = await doubts(of.reserved, { postingId }, 1, 'credited');
      await together(doubt, 'reverse', { keep: true });
      await together(doubt, 'credit', { toDeposit: of.reserved.order.externalOrderNumber });
      await doubt.handle.result();
      await pays(other);
    },
    'hints and a payment of nobody while the database is away': async () => {
      const reserved = await world.reserve();
      const handle = await world.start(reserved);
      await untilState(reserved, 'AWAITING_PAYMENT');
      const durable = async (times: number) =>
        until('so many durable answers', async () => {
          const { events } = await handle.fetchHistory();
          return (events ?? []).filter((event) => event.activityTaskCompletedEventAttributes).length >= times;
        });
      for (const activity of ['settlement', 'recordReview'] as const) failing(activity, reserved, 1);
      await handle.signal(lookAgain);
      await durable(1);
      await handle.signal(callbackAccepted, forged(reserved, { transactionAmount: '1' }));
      await durable(2);
      failing('credit', reserved, 1);
      await paidAtLast({ reserved, handle });
    },
    'a payment that was rejected without a posting, and doubted': async () => {
      const of = await second('STALE');
      await together(of, 'reject');
      await of.handle.result();
      const again = await doubts(of.reserved, { case: of.handle.workflowId }, 1, 'nothing');
      await together(again, 'credit', { beside: of.beside });
      expect(await again.handle.result()).toMatchObject({ decision: 'credit' });
    },
    'what cannot be read, stated by two people: first not alike, then alike, and settled': async () => {
      const { reserved, handle, states } = await unreadable();
      const deposit = await world.start(reserved);
      await untilState(reserved, 'AWAITING_PAYMENT');
      const facts = stated('5000');
      expect(await states(facts, { ...facts, amount: '4000' })).toMatchObject({ refusal: 'facts_differ' });
      expect(await states(facts, { ...facts, statementLine: null })).toMatchObject({ kind: 'decided' });
      await handle.result();
      await deposit.signal(lookAgain);
      expect(await deposit.result()).toMatchObject({ state: 'CREDITED', transactionCode: facts.transactionCode });
      const doubt = await doubts(reserved, { externalOrderNumber: reserved.order.externalOrderNumber }, 1, 'credited');
      await together(doubt, 'reverse');
      await doubt.handle.result();
      return walked(reserved, { handle });
    },
    'what cannot be read, stated by two people, when another payment was credited meanwhile': async () => {
      const { reserved, states, handle, inboxId } = await unreadable();
      const { postingId } = (await (await pays(reserved)).handle.result()) as { postingId: string };
      expect(await states(stated('5000'), stated('5000'))).toMatchObject({ refusal: 'facts_differ' });
      const facts = stated('5000');
      expect(await states(facts, facts)).toMatchObject({ refusal: 'credited_meanwhile' });
      await together({ handle, inboxId }, 'reject');
      await handle.result();
      expect(postingId).toBeDefined();
    },
    'refused, because another was credited meanwhile, and then put beside it': async () => {
      const of = await second('SECOND_CODE');
      await until('it to be parked', async () => (await answers(of.handle, 'park')) > 0);
      expect(await together(of, 'credit')).toMatchObject({ refusal: 'credited_meanwhile' });
      await together(of, 'credit', { beside: of.beside });
      await of.handle.result();
      return walked(of.reserved, of);
    },
    'refused, because the wallet of another deposit holds a payment, and then put beside it': async () => {
      const [of, { reserved, postingId }] = [await short(), await credited('wallet-taken')];
      const { externalOrderNumber: toDeposit } = reserved.order;
      expect(await together(of, 'credit', { toDeposit })).toMatchObject({
        refusal: 'credited_meanwhile',
        standing: 'nothing',
      });
      await together(of, 'credit', { toDeposit, beside: postingId });
      await of.handle.result();
    },
    'refused for the wallet of another deposit, and then rejected': async () => {
      const [of, { reserved }] = [await short(), await credited('wallet-taken-too')];
      await together(of, 'credit', { toDeposit: reserved.order.externalOrderNumber });
      await together(of, 'reject');
      expect(await of.handle.result()).toMatchObject({ state: 'REJECTED' });
    },
    'in suspense, and the case is open': async () => {
      const of = await late();
      return walked(of.reserved, of);
    },
  };
}

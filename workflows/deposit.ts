import { allHandlersFinished, CancellationScope, condition, setHandler } from '@temporalio/workflow';
import {
  type DepositEvent,
  type DepositState,
  type FinalState,
  isFinal,
  type OpenState,
  transition,
} from '../domain/deposit.ts';
import { judge } from '../domain/judge.ts';
import type { Payment } from '../domain/order.ts';
import { hearPeople, type People } from './decisions.ts';
import { close, credit, place, recordReview, recordState } from './effects.ts';
import type { DepositFacts } from './facts.ts';
import { callbackAccepted, depositWorkflowId, type DepositInput, orderAnswered } from './messages.ts';
import { isPayment } from './payment.ts';
import { announce, showDeposit } from './show.ts';

/** What a closed deposit's history says of it. */
export interface DepositResult {
  readonly state: FinalState;
  readonly late: boolean;
  readonly postingId: string | null;
  readonly transactionCode: string | null;
  readonly refusal: string | null;
}

/**
 * The life of one deposit. Money is never lost by a cancel: the whole of it runs where cancellation does not reach.
 */
export async function deposit(input: DepositInput): Promise<DepositResult> {
  return CancellationScope.nonCancellable(() => live(input));
}

async function live(input: DepositInput): Promise<DepositResult> {
  const { externalOrderNumber, settings } = input;
  const facts: DepositFacts = {
    expiresAt: null,
    advertisementCode: null,
    refusal: null,
    payment: null,
    late: false,
    review: null,
    postingId: null,
    standing: 'nothing',
    proposal: null,
  };
  let state: DepositState = 'PLACING';
  let answered: { readonly expiresAt: string } | null = null;
  let people: People | null = null;

  // The first payment is the deposit's own; the endpoint has routed every other to a review. A repeat is the relay's.
  setHandler(callbackAccepted, (payment) => {
    if (isPayment(payment)) facts.payment ??= payment;
  });
  setHandler(orderAnswered, (answer) => {
    answered ??= answer;
  });

  /** In each open state there is one thing to do or to wait for; it ends in what happened. */
  const chapters: Readonly<Record<OpenState, () => Promise<DepositEvent>>> = {
    PLACING: async () => {
      const placement = await place(externalOrderNumber);
      if (placement.kind === 'refused') {
        facts.refusal = placement.reason;
        return closeUnlessPaid('PLACEMENT_REFUSED');
      }
      facts.expiresAt = placement.expiresAt;
      if (placement.kind === 'unknown') return 'placementUnknown';
      facts.advertisementCode = placement.advertisementCode;
      return 'placed';
    },

    // Whether the order exists is not known, and is never tried out: a payment would prove it.
    PLACEMENT_UNKNOWN: async () => {
      const windows = settings.paymentWindowMs + settings.listeningWindowMs;
      await condition(() => facts.payment !== null || answered !== null, windows, { summary: 'listening window' });
      if (facts.payment !== null) return judged(facts.payment);
      if (answered === null) return closeUnlessPaid('UNPAID');
      facts.expiresAt = answered.expiresAt;
      return 'placed';
    },

    AWAITING_PAYMENT: async () => {
      await condition(() => facts.payment !== null, settings.paymentWindowMs, { summary: 'payment window' });
      return facts.payment === null ? 'paymentWindowElapsed' : judged(facts.payment);
    },

    EXPIRED: async () => {
      await condition(() => facts.payment !== null, settings.listeningWindowMs, { summary: 'listening window' });
      return facts.payment === null ? closeUnlessPaid('UNPAID') : judged(facts.payment);
    },

    CREDITING: async () => {
      const result = await credit(creditItem(input, facts));
      if (result.kind === 'conflict') {
        facts.review = { reason: result.reason, detail: 'the ledger holds other facts: compare posting and inbox row' };
        if (result.reason === 'LEDGER_CONFLICT') facts.standing = 'elsewhere';
        return 'creditConflict';
      }
      facts.postingId = result.postingId;
      return 'credited';
    },

    // As long as people take: nothing here is for a machine to decide.
    IN_REVIEW: async () => {
      const subject = {
        standing: facts.standing,
        deposit: externalOrderNumber,
        amount: facts.payment?.transactionAmount ?? null,
        reviewLimit: settings.reviewLimit,
      };
      const { decision, postingId } = await people!.decide(subject, (now) => {
        Object.assign(facts, now);
        showDeposit(input, state, facts);
      });
      facts.postingId = decision === 'credit' ? postingId : null;
      return decision === 'credit' ? 'decidedCredit' : 'decidedReject';
    },
  };

  function judged(payment: Payment): DepositEvent {
    const { receivedAt, inboxId: _, ...callback } = payment;
    const verdict = judge(settings, input, { callback, receivedAt, expiresAt: facts.expiresAt });
    facts.late = verdict.late;
    if (verdict.kind === 'credit') return 'callbackGood';
    facts.review = verdict;
    return 'callbackDoubtful';
  }

  async function closeUnlessPaid(as: 'PLACEMENT_REFUSED' | 'UNPAID'): Promise<DepositEvent> {
    const payment = await close(externalOrderNumber, as, facts.refusal);
    if (payment === null) return as === 'UNPAID' ? 'listeningWindowElapsed' : 'placementRefused';
    facts.payment ??= payment;
    if (as === 'UNPAID') return judged(facts.payment);
    facts.review = { reason: 'PAID_THOUGH_REFUSED', detail: `the provider had answered ${facts.refusal}` };
    return 'callbackThoughRefused';
  }

  showDeposit(input, state, facts);
  while (!isFinal(state)) {
    const event = await chapters[state]();
    const step = transition(state, event);
    state = step.state;
    // People can see it as soon as its row says so, which is before it is held.
    if (state === 'IN_REVIEW') people = hearPeople(depositWorkflowId(externalOrderNumber));
    showDeposit(input, state, facts);
    if (step.effects.includes('record')) await record(input, state, facts);
    if (step.effects.includes('announce')) announce(state, facts);
  }
  await condition(allHandlersFinished);
  return {
    state,
    late: facts.late,
    postingId: facts.postingId,
    transactionCode: facts.payment?.transactionCode ?? null,
    refusal: facts.refusal,
  };
}

/** Writes a state that no activity has written with its own effect. */
async function record(input: DepositInput, state: DepositState, facts: DepositFacts): Promise<void> {
  const { externalOrderNumber } = input;
  if (state === 'AWAITING_PAYMENT' || state === 'EXPIRED') return recordState(externalOrderNumber, state);
  if (state !== 'IN_REVIEW' || facts.payment === null || facts.review === null) {
    throw new Error(`${state} is not a state to record`);
  }
  const parked = await recordReview({
    externalOrderNumber,
    inboxId: facts.payment.inboxId,
    reason: facts.review.reason,
    late: facts.late,
    workflowId: depositWorkflowId(externalOrderNumber),
    detail: facts.review.detail,
    // Only late: the judge had nothing else against it, so the money belongs on the books while people decide.
    park: facts.review.reason === 'LATE',
  });
  // The first release's activity answered nothing.
  if ((parked?.postingId ?? null) !== null) facts.standing = 'parked';
  if (parked?.codeStands) facts.standing = 'elsewhere';
}

/** The facts of the posting: all of them from the input and the signal, so that a retry cannot differ. */
function creditItem(input: DepositInput, facts: DepositFacts) {
  const { payment } = facts;
  if (payment === null) throw new Error('nothing to credit');
  return {
    inboxId: payment.inboxId,
    deposit: input.externalOrderNumber,
    wallet: input.wallet,
    transactionCode: payment.transactionCode,
    amount: payment.transactionAmount,
    currencyCode: payment.currencyCode,
    paymentPrice: payment.paymentPrice,
    late: facts.late,
    workflowId: depositWorkflowId(input.externalOrderNumber),
  };
}

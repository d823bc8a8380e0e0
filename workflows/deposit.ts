import { allHandlersFinished, CancellationScope, condition, setHandler, workflowInfo } from '@temporalio/workflow';
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
import type { Settlement, Unbound } from '../activities/index.ts';
import { close, credit, place, recordReview, recordState, settlement } from './effects.ts';
import type { DepositFacts } from './facts.ts';
import { callbackAccepted, depositWorkflowId, type DepositInput, lookAgain, orderAnswered } from './messages.ts';
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

/** The states in which a payment is waited for, and the event that leads back to each. */
const WAITS_ON = {
  AWAITING_PAYMENT: 'unboundWhileAwaiting',
  EXPIRED: 'unboundWhileExpired',
  PLACEMENT_UNKNOWN: 'unboundWhileUnknown',
} as const;
type WaitingState = keyof typeof WAITS_ON;

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
    creditedCode: null,
    reported: false,
    standing: 'nothing',
    proposal: null,
  };
  let state: DepositState = 'PLACING';
  let answered: { readonly expiresAt: string } | null = null;
  let people: People | null = null;
  let look = false;
  /** Of an order that nobody knew of, before an answer to it was heard of. */
  let expiresAtBefore: string | null = null;
  let waitedIn: WaitingState = 'PLACEMENT_UNKNOWN';
  const deadlines: Partial<Record<WaitingState, number>> = {};

  // Signals are hints. What counts is what the database binds: every activity below asks it before anything is done.
  setHandler(callbackAccepted, (payment) => {
    if (!isPayment(payment)) return;
    // Of two the database says which it is, once what is in hand has been asked about.
    if (facts.payment !== null && facts.payment.inboxId !== payment.inboxId) look = true;
    facts.payment ??= payment;
  });
  setHandler(orderAnswered, (answer) => {
    answered ??= answer;
  });
  setHandler(lookAgain, () => {
    look = true;
    people?.lookAgain();
  });

  /** In each open state there is one thing to do or to wait for; it ends in what happened. */
  const chapters: Readonly<Record<OpenState, () => Promise<DepositEvent>>> = {
    PLACING: async () => {
      const placement = await place(externalOrderNumber, { startedAt: workflowInfo().startTime.toISOString() });
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
      const event = await untilPaid('PLACEMENT_UNKNOWN', windows, 'listening window', () => answered !== null);
      if (event !== null) return event;
      if (answered === null) return closeUnlessPaid('UNPAID');
      expiresAtBefore = facts.expiresAt;
      facts.expiresAt = answered.expiresAt;
      return 'placed';
    },

    AWAITING_PAYMENT: async () =>
      (await untilPaid('AWAITING_PAYMENT', settings.paymentWindowMs, 'payment window')) ?? 'paymentWindowElapsed',

    EXPIRED: async () =>
      (await untilPaid('EXPIRED', settings.listeningWindowMs, 'listening window')) ?? closeUnlessPaid('UNPAID'),

    CREDITING: async () => {
      const result = await credit(creditItem(input, facts));
      if (result.kind === 'unbound') return unbound(result);
      if (result.kind === 'conflict') {
        facts.review = { reason: result.reason, detail: CONFLICTS[result.reason] };
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
      const { decision, postingId, settled, elsewhere } = await people!.decide(subject, (now) => {
        Object.assign(facts, now);
        showDeposit(input, state, facts);
      });
      const isCredited = decision === 'credit' && elsewhere !== true;
      facts.postingId = isCredited ? postingId : (settled?.postingId ?? null);
      if (isCredited) return 'decidedCredit';
      if (settled === undefined) return 'decidedReject';
      facts.creditedCode = settled.transactionCode;
      return 'decidedRejectThoughCredited';
    },
  };

  /** Waits for the payment, until the one deadline of this state. Null: it is over, or `also` came true. */
  async function untilPaid(
    where: WaitingState,
    windowMs: number,
    summary: string,
    also = () => false,
  ): Promise<DepositEvent | null> {
    waitedIn = where;
    deadlines[where] ??= Date.now() + windowMs;
    for (;;) {
      const leftMs = deadlines[where] - Date.now();
      if (leftMs > 0) await condition(() => facts.payment !== null || look || also(), leftMs, { summary });
      if (facts.payment !== null) return judged(facts.payment);
      if (!look) return null;
      look = false;
      const found = await settlement(externalOrderNumber, { state: where, expiresAt: facts.expiresAt });
      if (found.kind === 'settled') return settledAs(found);
      if (found.binds !== null) return judged((facts.payment = found.binds));
    }
  }

  /** The row is final: people credited an unbound payment of this deposit, or Temporal was restored to an older state. */
  function settledAs(found: Settlement): DepositEvent {
    facts.payment = null;
    facts.review = null;
    facts.late = found.late;
    facts.postingId = found.postingId;
    facts.creditedCode = found.transactionCode;
    return found.state === 'CREDITED' ? 'settledByPeople' : 'foundRejected';
  }

  /** What a signal named is not what the database binds: it is forgotten, and what is bound is judged in its place. */
  function unbound({ binds, settled }: Unbound): DepositEvent {
    facts.reported = true;
    facts.payment = binds;
    facts.late = false;
    facts.review = null;
    people?.dismiss();
    if (settled !== null) return settledAs(settled);
    return binds === null ? WAITS_ON[waitedIn] : judged(binds);
  }

  function judged(paid: Payment): DepositEvent {
    const { receivedAt, inboxId: _, ...callback } = paid;
    const verdict = judge(settings, input, { callback, receivedAt, expiresAt: facts.expiresAt });
    facts.late = verdict.late;
    if (verdict.kind === 'credit') return 'callbackGood';
    facts.review = verdict;
    return 'callbackDoubtful';
  }

  async function closeUnlessPaid(as: 'PLACEMENT_REFUSED' | 'UNPAID'): Promise<DepositEvent> {
    const found = await close(externalOrderNumber, as, facts.refusal);
    if (found === null) {
      // What a signal may have named meanwhile is not bound.
      facts.payment = null;
      return as === 'UNPAID' ? 'listeningWindowElapsed' : 'placementRefused';
    }
    if ('settled' in found) return settledAs(found.settled);
    facts.payment = found;
    if (as === 'UNPAID') return judged(facts.payment);
    facts.review = { reason: 'PAID_THOUGH_REFUSED', detail: `the provider had answered ${facts.refusal}` };
    return 'callbackThoughRefused';
  }

  /** Writes a state that no activity has written with its own effect. Answers what happened instead, if the row differs. */
  async function record(): Promise<DepositEvent | null> {
    if (state === 'AWAITING_PAYMENT' || state === 'EXPIRED') {
      const row = await recordState(externalOrderNumber, state);
      // Histories of before hold no answer.
      if (!row) return null;
      if (row.settled !== undefined) return settledAs(row.settled);
      if (state === 'EXPIRED') return null;
      facts.expiresAt = row.expiresAt ?? expiresAtBefore;
      if (row.expiresAt !== null) return null;
      answered = null;
      return 'unboundWhileUnknown';
    }
    const { payment: paid, review } = facts;
    if (state !== 'IN_REVIEW' || paid === null || review === null) throw new Error(`${state} is not a state to record`);
    const parked = await recordReview({
      externalOrderNumber,
      inboxId: paid.inboxId,
      reason: review.reason,
      late: facts.late,
      workflowId: depositWorkflowId(externalOrderNumber),
      detail: review.detail,
      // Only late: the judge had nothing else against it, so the money belongs on the books while people decide.
      park: review.reason === 'LATE',
      payment: paid,
      reported: facts.reported,
    });
    if (parked && 'binds' in parked) return unbound(parked);
    // The first release's activity answered nothing.
    if ((parked?.postingId ?? null) !== null) facts.standing = 'parked';
    if (parked?.codeStands) facts.standing = 'elsewhere';
    return null;
  }

  showDeposit(input, state, facts);
  let instead: DepositEvent | null = null;
  while (!isFinal(state)) {
    const step = transition(state, instead ?? (await chapters[state]()));
    instead = null;
    state = step.state;
    // People can see it as soon as its row says so, which is before it is held.
    if (state === 'IN_REVIEW') people = hearPeople(depositWorkflowId(externalOrderNumber));
    showDeposit(input, state, facts);
    if (step.effects.includes('record')) instead = await record();
    if (instead === null && step.effects.includes('announce')) announce(state, facts);
  }
  await condition(allHandlersFinished);
  return {
    state,
    late: facts.late,
    postingId: facts.postingId,
    transactionCode: facts.creditedCode ?? facts.payment?.transactionCode ?? null,
    refusal: facts.refusal,
  };
}

/** What people are told of a credit that the books did not take. */
const CONFLICTS = {
  LEDGER_CONFLICT: 'the ledger holds other facts: compare posting and inbox row',
  LEDGER_REJECTED: 'the ledger holds other facts: compare posting and inbox row',
  OTHER_PAYMENT_CREDITED: 'people have credited another payment of this deposit: see its credits',
} as const;

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
    receivedAt: payment.receivedAt,
    reported: facts.reported,
  };
}

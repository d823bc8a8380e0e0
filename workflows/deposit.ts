import { allHandlersFinished, CancellationScope, condition, workflowInfo } from '@temporalio/workflow';
import {
  type DepositEvent,
  type DepositState,
  type FinalState,
  isFinal,
  type OpenState,
  transition,
} from '../domain/deposit.ts';
import { hearPeople } from './decisions.ts';
import { credit, place } from './activity-calls.ts';
import type { DepositFacts } from './deposit-facts.ts';
import { type DepositInput } from './messages.ts';
import { announce, showDepositDetails } from './web-ui.ts';
import {
  closeUnlessPaid,
  giveToPeople,
  listenForPayments,
  type Memory,
  recordWindow,
  unbound,
  untilPaid,
} from './waiting.ts';
import { depositWorkflowId } from '../domain/ids.ts';

/** The result of a deposit's workflow. */
export interface DepositResult {
  readonly state: FinalState;
  readonly late: boolean;
  readonly postingId: string | null;
  readonly transactionCode: string | null;
  readonly refusal: string | null;
}

/** The life of one deposit. It runs in a non-cancellable scope as a whole, so that a cancel loses no money. */
export async function deposit(input: DepositInput): Promise<DepositResult> {
  return CancellationScope.nonCancellable(() => live(input));
}

async function live(input: DepositInput): Promise<DepositResult> {
  const memory = listenForPayments(input);
  const { facts } = memory;
  const show = () => showDepositDetails(input, memory.state, facts);
  show();
  let instead: DepositEvent | null = null;
  while (!isFinal(memory.state)) {
    const { state, effects } = transition(memory.state, instead ?? (await CHAPTERS[memory.state](memory)));
    instead = null;
    memory.state = state;
    // Operators can see the case as soon as its row exists, which is before this workflow holds it.
    if (state === 'IN_REVIEW') memory.people = hearPeople(depositWorkflowId(input.externalOrderNumber));
    show();
    if (effects.includes('record')) instead = await record(memory, state);
    if (instead === null && effects.includes('announce')) announce(state, facts);
  }
  await condition(allHandlersFinished);
  return {
    state: memory.state,
    late: facts.late,
    postingId: facts.postingId,
    transactionCode: facts.creditedCode ?? facts.payment?.transactionCode ?? null,
    refusal: facts.refusal,
  };
}

/** Each open state has one thing to do or to wait for, which resolves to the next event. */
const CHAPTERS: Readonly<Record<OpenState, (memory: Memory) => Promise<DepositEvent>>> = {
  async PLACING(memory) {
    const { facts, input } = memory;
    const { externalOrderNumber } = input;
    const placement = await place(externalOrderNumber, startOf(input));
    if (placement.kind === 'refused') {
      facts.refusal = placement.reason;
      return closeUnlessPaid(memory, 'PLACEMENT_REFUSED');
    }
    facts.expiresAt = placement.expiresAt;
    if (placement.kind === 'unknown') return 'placementUnknown';
    facts.advertisementCode = placement.advertisementCode;
    return 'placed';
  },

  // Nobody knows whether the order exists, and the engine does not place it again to find out: only a payment would
  // prove it.
  async PLACEMENT_UNKNOWN(memory) {
    const { facts, input } = memory;
    const { settings } = input;
    const windows = settings.paymentWindowMs + settings.listeningWindowMs;
    const isAnswered = () => memory.answered !== null;
    const event = await untilPaid(memory, 'PLACEMENT_UNKNOWN', windows, 'listening window', isAnswered);
    if (event !== null) return event;
    if (memory.answered === null) return closeUnlessPaid(memory, 'UNPAID');
    memory.expiresAtBefore = facts.expiresAt;
    facts.expiresAt = memory.answered.expiresAt;
    return 'placed';
  },

  async AWAITING_PAYMENT(memory) {
    const { settings } = memory.input;
    return (
      (await untilPaid(memory, 'AWAITING_PAYMENT', settings.paymentWindowMs, 'payment window')) ??
      'paymentWindowElapsed'
    );
  },

  async EXPIRED(memory) {
    const { settings } = memory.input;
    return (
      (await untilPaid(memory, 'EXPIRED', settings.listeningWindowMs, 'listening window')) ??
      closeUnlessPaid(memory, 'UNPAID')
    );
  },

  async CREDITING(memory) {
    const { facts, input } = memory;
    const result = await credit(creditItem(input, facts));
    if (result.kind === 'unbound') return unbound(memory, result);
    if (result.kind === 'conflict') {
      facts.review = { reason: result.reason, detail: result.detail ?? CONFLICTS[result.reason] };
      if (result.reason === 'LEDGER_CONFLICT') facts.standing = 'elsewhere';
      return 'creditConflict';
    }
    facts.postingId = result.postingId;
    return 'credited';
  },

  // No time limit: only operators decide here.
  async IN_REVIEW(memory) {
    const { facts, input } = memory;
    const subject = {
      standing: facts.standing,
      deposit: input.externalOrderNumber,
      amount: facts.payment?.transactionAmount ?? null,
      reviewLimit: input.settings.reviewLimit,
    };
    const { decision, postingId, settled, elsewhere } = await memory.people!.decide(subject, (now) => {
      Object.assign(facts, now);
      // This may run after the decision: a step may still be on its way.
      showDepositDetails(input, memory.state, facts);
    });
    const isCredited = decision === 'credit' && elsewhere !== true;
    facts.postingId = isCredited ? postingId : (settled?.postingId ?? null);
    if (isCredited) return 'decidedCredit';
    if (settled === undefined) return 'decidedReject';
    facts.creditedCode = settled.transactionCode;
    return 'decidedRejectThoughCredited';
  },
};

/**
 * Writes a state that no activity has written with its own effect. Returns the event that happened instead, if the row
 * differs.
 */
async function record(memory: Memory, state: DepositState): Promise<DepositEvent | null> {
  if (state === 'AWAITING_PAYMENT' || state === 'EXPIRED') return recordWindow(memory, state);
  if (state === 'IN_REVIEW') return giveToPeople(memory);
  throw new Error(`${state} is not a state to record`);
}

/** When the deposit began: by Temporal's clock, and by the database's where it is known. */
const startOf = ({ reservedAt, provider }: DepositInput) => ({
  startedAt: workflowInfo().startTime.toISOString(),
  ...(reservedAt === undefined ? {} : { reservedAt }),
  ...(provider === undefined ? {} : { provider }),
});

/** The detail of the case for a credit that the ledger refused, unless the activity has words of its own for it. */
const CONFLICTS = {
  LEDGER_CONFLICT: 'the ledger holds other facts: compare posting and inbox row',
  // Of older histories: their activity did not say what was refused.
  LEDGER_REJECTED: 'the ledger holds other facts: compare posting and inbox row',
  SEAL_BROKEN: 'its inbox row bears no seal of the API: nobody knows who wrote it',
  OTHER_PAYMENT_CREDITED: 'people have credited another payment of this deposit: see its credits',
} as const;

/** The facts of the posting, all from the input and the signal, so that every retry has the same. */
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

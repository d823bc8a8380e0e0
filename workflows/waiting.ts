import { condition, setHandler } from '@temporalio/workflow';
import type { Settlement, UnboundAnswer } from '../activities/index.ts';
import type { DepositEvent, DepositState } from '../domain/deposit.ts';
import { judge } from '../domain/judge.ts';
import type { Payment } from '../domain/order.ts';
import type { People } from './decisions.ts';
import { close, recordReview, recordState, settlement } from './activity-calls.ts';
import type { DepositFacts } from './deposit-facts.ts';
import { callbackAccepted, type DepositInput, lookAgain, orderAnswered } from './messages.ts';
import { isPayment } from './payment.ts';
import { depositWorkflowId } from '../domain/ids.ts';

/** The states that wait for a payment, and the event that leads back to each. */
const WAITS_ON = {
  AWAITING_PAYMENT: 'unboundWhileAwaiting',
  EXPIRED: 'unboundWhileExpired',
  PLACEMENT_UNKNOWN: 'unboundWhileUnknown',
} as const;
export type WaitingState = keyof typeof WAITS_ON;

/** The memory of one run of the deposit's workflow. */
export interface Memory {
  readonly input: DepositInput;
  readonly facts: DepositFacts;
  state: DepositState;
  /** Set as soon as operators may see a case of the deposit. */
  people: People | null;
  answered: { readonly expiresAt: string } | null;
  /** The signal `lookAgain` came: the row may have changed. */
  look: boolean;
  /** `expiresAt` from the time when the order was unknown, before a late answer was signaled. */
  expiresAtBefore: string | null;
  waitedIn: WaitingState;
  readonly deadlines: Partial<Record<WaitingState, number>>;
}

/**
 * Registers the signal handlers. Signals are hints: only the payment that the database binds counts, and every activity
 * asks for it before it acts.
 */
export function listenForPayments(input: DepositInput): Memory {
  const memory: Memory = {
    input,
    facts: {
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
    },
    state: 'PLACING',
    people: null,
    answered: null,
    look: false,
    expiresAtBefore: null,
    waitedIn: 'PLACEMENT_UNKNOWN',
    deadlines: {},
  };
  const { facts } = memory;
  setHandler(callbackAccepted, (payment) => {
    if (!isPayment(payment)) return;
    // If two are named, the database decides which is bound, after it was asked about the first.
    if (facts.payment !== null && facts.payment.inboxId !== payment.inboxId) memory.look = true;
    facts.payment ??= payment;
  });
  setHandler(orderAnswered, (answer) => {
    memory.answered ??= answer;
  });
  setHandler(lookAgain, () => {
    memory.look = true;
    memory.people?.lookAgain();
  });
  return memory;
}

/** Waits for the payment until the one deadline of this state. Null: the deadline passed, or `also` became true. */
export async function untilPaid(
  memory: Memory,
  where: WaitingState,
  windowMs: number,
  summary: string,
  also = () => false,
): Promise<DepositEvent | null> {
  const { facts, deadlines } = memory;
  memory.waitedIn = where;
  deadlines[where] ??= Date.now() + windowMs;
  for (;;) {
    const leftMs = deadlines[where] - Date.now();
    if (leftMs > 0) await condition(() => facts.payment !== null || memory.look || also(), leftMs, { summary });
    if (facts.payment !== null) return judged(memory, facts.payment);
    if (!memory.look) return null;
    memory.look = false;
    const found = await settlement(memory.input.externalOrderNumber, { state: where, expiresAt: facts.expiresAt });
    if (found.kind === 'settled') return settledAs(facts, found);
    if (found.binds !== null) return judged(memory, (facts.payment = found.binds));
  }
}

/** The row is final: operators credited an unbound payment of it, or Temporal was restored to an older state. */
function settledAs(facts: DepositFacts, found: Settlement): DepositEvent {
  facts.payment = null;
  facts.review = null;
  facts.late = found.late;
  facts.postingId = found.postingId;
  facts.creditedCode = found.transactionCode;
  return found.state === 'CREDITED' ? 'settledByPeople' : 'foundRejected';
}

/**
 * The named payment is not the one that the database binds: the workflow drops it, and judges the bound one instead.
 */
export function unbound(memory: Memory, { binds, settled }: UnboundAnswer): DepositEvent {
  const { facts } = memory;
  facts.reported = true;
  facts.payment = binds;
  facts.late = false;
  facts.review = null;
  memory.people?.dismiss();
  if (settled !== null) return settledAs(facts, settled);
  return binds === null ? WAITS_ON[memory.waitedIn] : judged(memory, binds);
}

function judged({ input, facts }: Memory, paid: Payment): DepositEvent {
  const { receivedAt, inboxId: _, ...callback } = paid;
  const verdict = judge(input.settings, input, { callback, receivedAt, expiresAt: facts.expiresAt });
  facts.late = verdict.late;
  if (verdict.kind === 'credit') return 'callbackGood';
  facts.review = verdict;
  return 'callbackDoubtful';
}

export async function closeUnlessPaid(memory: Memory, as: 'PLACEMENT_REFUSED' | 'UNPAID'): Promise<DepositEvent> {
  const { facts } = memory;
  const found = await close(memory.input.externalOrderNumber, as, facts.refusal);
  if (found === null) {
    // A payment that a signal named meanwhile is not bound.
    facts.payment = null;
    return as === 'UNPAID' ? 'listeningWindowElapsed' : 'placementRefused';
  }
  if ('settled' in found) return settledAs(facts, found.settled);
  facts.payment = found;
  if (as === 'UNPAID') return judged(memory, facts.payment);
  facts.review = { reason: 'PAID_THOUGH_REFUSED', detail: `the provider had answered ${facts.refusal}` };
  return 'callbackThoughRefused';
}

/**
 * Writes that the payment window has begun, or is over. Returns the event that happened instead, if the row differs.
 */
export async function recordWindow(
  memory: Memory,
  state: 'AWAITING_PAYMENT' | 'EXPIRED',
): Promise<DepositEvent | null> {
  const { facts } = memory;
  const row = await recordState(memory.input.externalOrderNumber, state);
  // Older histories hold no answer.
  if (!row) return null;
  if (row.settled !== undefined) return settledAs(facts, row.settled);
  if (state === 'EXPIRED') return null;
  facts.expiresAt = row.expiresAt ?? memory.expiresAtBefore;
  if (row.expiresAt !== null) return null;
  memory.answered = null;
  return 'unboundWhileUnknown';
}

/**
 * Opens the payment's case. Returns the event that happened instead, if the database binds another payment, or none.
 */
export async function giveToPeople(memory: Memory): Promise<DepositEvent | null> {
  const { input, facts } = memory;
  const { payment: paid, review } = facts;
  if (paid === null || review === null) throw new Error('nothing to give to people');
  const parked = await recordReview({
    externalOrderNumber: input.externalOrderNumber,
    inboxId: paid.inboxId,
    reason: review.reason,
    late: facts.late,
    workflowId: depositWorkflowId(input.externalOrderNumber),
    detail: review.detail,
    // The payment is only late: the judge found no other fault, so the money is booked while operators decide.
    park: review.reason === 'LATE',
    payment: paid,
    reported: facts.reported,
  });
  if (parked && 'binds' in parked) return unbound(memory, parked);
  // In histories of v1 the activity returned nothing.
  if ((parked?.postingId ?? null) !== null) facts.standing = 'parked';
  if (parked?.codeStands) facts.standing = 'elsewhere';
  return null;
}

import type { HistoryFacts, HistoryStep } from '../../archive/history.ts';
import type { Settlement, UnboundAnswer } from '../../activities/index.ts';
import type { Payment } from '../../domain/order.ts';
import { isPayment } from '../../workflows/payment.ts';
import type { Activity } from './comparing.ts';
import type { Placement } from '../../activities/placement.ts';

/** A payment that the deposit's history asked the database about: to credit it, or to give it to people. */
export interface PaymentQuestion {
  readonly step: Activity;
  /** Null: there was none, so somebody else wrote this. */
  readonly payment: Payment | null;
  /** The step in which the history was told of it. */
  readonly heard: HistoryStep | null;
  /** When the payment window ended, as far as it was known; null: there was none. */
  readonly expiresAt: string | null;
  /** It was found when the order was to be closed as refused. */
  readonly thoughRefused: boolean;
  /** Why the books did not take the same payment a step before. */
  readonly conflict: string | null;
  /** A signal without a payment had been reported already. */
  readonly reported: boolean;
}

/** What the judge says once more, to one payment that the database was asked about. */
export interface Judgment {
  readonly asked: PaymentQuestion;
  readonly late: boolean;
  /** Why it is for people; null: a machine may credit it. */
  readonly reason: string | null;
  /** The numbers behind the reason. */
  readonly detail: string;
}

/** What a deposit went through, told again from its history as the workflow hears of it. */
export interface Course {
  readonly asked: readonly PaymentQuestion[];
  /** Payments that the database named by itself, with the step of its answer. */
  readonly bound: readonly { readonly payment: Payment; readonly step: HistoryStep }[];
  /** The row was final: the answer that said so. */
  readonly settled: Settlement | null;
  /** What the workflow had in mind when it ended. */
  readonly payment: Payment | null;
  /** The placement as it became known, late answers included. */
  readonly expiresAt: string | null;
  /** A late answer of the provider was heard of, and the row has it. */
  readonly heardOfAnswer: boolean;
}

/** The payment that the database bound, and that was credited or given to people. */
export const acceptedIn = (course: Course): PaymentQuestion | null =>
  course.asked.findLast(({ step }) => unboundIn(step) === null) ?? null;

/** The answer of an activity that was asked about another payment than the database binds. */
export function unboundIn(step: Activity): UnboundAnswer | null {
  const result = step.result as Partial<UnboundAnswer> | null;
  return result?.kind === 'unbound' ? (result as UnboundAnswer) : null;
}

export const settlementOf = ({ state, postingId, late, transactionCode }: Settlement): Settlement => ({
  state,
  postingId,
  late,
  transactionCode,
});

interface Now {
  payment: Payment | null;
  heard: HistoryStep | null;
  placement: Placement | null;
  expiresAt: string | null;
  heardOfAnswer: boolean;
  thoughRefused: boolean;
  conflict: string | null;
  reported: boolean;
  settled: Settlement | null;
}

/** Shapes have to be looked at before. */
export function courseOf(facts: HistoryFacts): Course {
  const now: Now = {
    payment: null,
    heard: null,
    placement: null,
    expiresAt: null,
    heardOfAnswer: false,
    thoughRefused: false,
    conflict: null,
    reported: false,
    settled: null,
  };
  const asked: PaymentQuestion[] = [];
  const bound: { readonly payment: Payment; readonly step: HistoryStep }[] = [];
  const finds = (payment: Payment | null, step: HistoryStep) => {
    Object.assign(now, { payment, heard: step, thoughRefused: false });
    if (payment !== null) bound.push({ payment, step });
  };
  const ends = (settled: Settlement) => Object.assign(now, { payment: null, settled: settlementOf(settled) });
  let answered: unknown = null;
  for (const step of facts.steps) {
    if (step.kind === 'signal') {
      // Of another shape: sent by hand, and passed over by the workflow.
      if (step.name === 'callbackAccepted' && now.payment === null && isPayment(step.input as Payment))
        Object.assign(now, { payment: step.input, heard: step, thoughRefused: false });
      if (step.name === 'orderAnswered') answered ??= step.input;
    }
    if (step.kind !== 'activity' || step.failed) continue;
    switch (step.name) {
      case 'placeOrder':
      case 'settlePlacement':
        now.placement = step.result as Placement;
        now.expiresAt = now.placement.kind === 'refused' ? null : now.placement.expiresAt;
        break;
      case 'close': {
        const found = step.result as Payment | { readonly settled: Settlement } | null;
        if (found === null) break;
        if ('settled' in found) ends(found.settled);
        else finds(found, step);
        now.thoughRefused = now.placement?.kind === 'refused';
        break;
      }
      case 'settlement': {
        const found = step.result as
          | { readonly kind: 'open'; readonly binds?: Payment | null }
          | ({ readonly kind: 'settled' } & Settlement);
        if (found.kind === 'settled') ends(found);
        // Told to look, before it was told of the payment.
        else if (found.binds) finds(found.binds, step);
        break;
      }
      case 'recordState':
        hearAnswer(now, step, answered);
        answered = now.heardOfAnswer ? answered : null;
        if (now.settled !== null) now.payment = null;
        break;
      case 'credit':
      case 'recordReview': {
        const { payment, heard, expiresAt, thoughRefused, conflict, reported } = now;
        asked.push({ step, payment, heard, expiresAt, thoughRefused, conflict, reported });
        const answer = step.result as { readonly kind?: string; readonly reason?: string } | null;
        now.conflict = answer?.kind === 'conflict' ? (answer.reason ?? null) : null;
        const unbound = unboundIn(step);
        if (unbound === null) break;
        now.reported = true;
        finds(unbound.binds, step);
        if (unbound.settled !== null) ends(unbound.settled);
      }
    }
  }
  const { settled, payment, expiresAt, heardOfAnswer } = now;
  return { asked, bound, settled, payment, expiresAt, heardOfAnswer };
}

/**
 * The first state that is recorded after an unknown placement says that the provider's answer was heard of, as far as
 * the row has one. An answer that the row does not have changes nothing, least of all when a payment is late.
 */
function hearAnswer(now: Now, step: Activity, answered: unknown): void {
  const row = step.result as { readonly expiresAt: string | null; readonly settled?: Settlement } | null;
  if (row?.settled !== undefined) {
    now.settled = settlementOf(row.settled);
    return;
  }
  if (now.placement?.kind !== 'unknown' || now.heardOfAnswer) return;
  // Histories of before hold no answer: what was told counted.
  const told = (answered as { readonly expiresAt?: unknown } | null)?.expiresAt;
  const expiresAt = row === null ? (typeof told === 'string' ? told : null) : row.expiresAt;
  if (row !== null && expiresAt === null) return;
  now.heardOfAnswer = true;
  now.expiresAt = expiresAt ?? now.expiresAt;
}

import type { HistoryFacts, HistoryStep } from '../../archive/history.ts';
import type { Settlement, UnboundAnswer } from '../../activities/index.ts';
import type { Payment } from '../../domain/order.ts';
import { isPayment } from '../../workflows/payment.ts';
import type { Activity } from './comparing.ts';
import type { Placement } from '../../activities/placement.ts';

/** A payment that the deposit's history asked the database about: to credit it, or to send it to review. */
export interface PaymentQuestion {
  readonly step: Activity;
  /** Null: there was none, so the history is forged. */
  readonly payment: Payment | null;
  /** The step by which the workflow learned of it. */
  readonly heard: HistoryStep | null;
  /** When the payment window ended, as far as it was known; null: there was none. */
  readonly expiresAt: string | null;
  /** It was found when the order was to be closed as refused. */
  readonly thoughRefused: boolean;
  /** Why the ledger refused the same payment one step before; `detail` null: its history has no words for it. */
  readonly conflict: { readonly reason: string; readonly detail: string | null } | null;
  /** A signal without a payment had been reported already. */
  readonly reported: boolean;
}

/** The judge's verdict, computed again, on one payment that the database was asked about. */
export interface Judgment {
  readonly asked: PaymentQuestion;
  readonly late: boolean;
  /** Why it needs review; null: a machine may credit it. */
  readonly reason: string | null;
  /** The numbers behind the reason. */
  readonly detail: string;
}

/** The course of a deposit, reconstructed from its history in the order in which the workflow learned it. */
export interface Course {
  readonly asked: readonly PaymentQuestion[];
  /** Payments that the database named by itself, with the step of its answer. */
  readonly bound: readonly { readonly payment: Payment; readonly step: HistoryStep }[];
  /** The answer that reported the row as final; null: there was none. */
  readonly settled: Settlement | null;
  /** The payment in the workflow's memory when it ended. */
  readonly payment: Payment | null;
  /** The placement as it became known, late answers included. */
  readonly expiresAt: string | null;
  /** A late answer of the provider was signaled, and the row has it. */
  readonly heardOfAnswer: boolean;
}

/** The payment that the database bound, and that was credited or sent to review. */
export const acceptedIn = (course: Course): PaymentQuestion | null =>
  course.asked.findLast(({ step }) => unboundIn(step) === null) ?? null;

/** The answer of an activity that was asked about another payment than the database binds. */
export function unboundIn(step: Activity): UnboundAnswer | null {
  const result = step.result as Partial<UnboundAnswer> | null;
  return result?.kind === 'unbound' ? (result as UnboundAnswer) : null;
}

const settlementOf = ({ state, postingId, late, transactionCode }: Settlement): Settlement => ({
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
  conflict: PaymentQuestion['conflict'];
  reported: boolean;
  settled: Settlement | null;
}

/** The history's shape has to be valid. */
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
      // Another shape: sent by hand, and ignored by the workflow.
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
        // The database named the payment after `lookAgain`, before its signal came.
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
        const answer = step.result as Readonly<Partial<Record<'kind' | 'reason' | 'detail', string>>> | null;
        now.conflict =
          answer?.kind === 'conflict' ? { reason: answer.reason ?? '', detail: answer.detail ?? null } : null;
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
 * The first recorded state after an unknown placement shows that the provider's late answer was signaled, if the row
 * has it. An answer that is not in the row changes nothing, in particular not the end of the payment window.
 */
function hearAnswer(now: Now, step: Activity, answered: unknown): void {
  const row = step.result as { readonly expiresAt: string | null; readonly settled?: Settlement } | null;
  if (row?.settled !== undefined) {
    now.settled = settlementOf(row.settled);
    return;
  }
  if (now.placement?.kind !== 'unknown' || now.heardOfAnswer) return;
  // Older histories hold no answer: there the signal counted.
  const told = (answered as { readonly expiresAt?: unknown } | null)?.expiresAt;
  const expiresAt = row === null ? (typeof told === 'string' ? told : null) : row.expiresAt;
  if (row !== null && expiresAt === null) return;
  now.heardOfAnswer = true;
  now.expiresAt = expiresAt ?? now.expiresAt;
}

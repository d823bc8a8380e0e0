import type { DepositState } from '../../domain/deposit.ts';
import type { DepositInput } from '../../workflows/messages.ts';
import { type Activity, canonical, type Comparison, placementOf, type Update } from './comparing.ts';
import { type Course, type Judgment, unboundIn } from './deposit-course.ts';

/**
 * Compares the arguments of durable activities and the durations of timers, which replay does not. Both follow from the
 * inputs of the history. Local activities record no arguments; their effects are compared instead.
 */
export function compareGiven(on: Comparison, course: Course | null, judged: readonly Judgment[]): void {
  const { facts, tell } = on;
  for (const step of facts.steps) {
    if (step.kind === 'timer' && !isWindow(on, course, step.durationMs))
      tell(
        'decision_differs',
        `event ${step.eventId}: a window of ${step.durationMs} ms, which no frozen setting says`,
      );
    if (step.kind !== 'activity' || step.local || step.name === 'decide') continue;
    const allowed = givenTo(
      on,
      step,
      course,
      judged.find(({ asked }) => asked.step === step),
    );
    if (allowed.includes(canonical(step.input))) continue;
    const detail = `event ${step.eventId}: ${step.name} was given ${canonical(step.input)}`;
    tell('decision_differs', `${detail}, its history says ${allowed.join(' or ')}`);
  }
}

/** After an interruption by a hint a timer is set for the rest of the window. */
function isWindow({ facts }: Comparison, course: Course | null, durationMs: number): boolean {
  if (facts.workflowType !== 'deposit') return false;
  const { paymentWindowMs, listeningWindowMs } = (facts.input as DepositInput).settings;
  const windows = [paymentWindowMs, listeningWindowMs, paymentWindowMs + listeningWindowMs];
  if (windows.includes(durationMs)) return true;
  const hints = facts.steps.some(
    (step) => step.kind === 'activity' && ['settlement', 'recordState'].includes(step.name),
  );
  const interrupted = hints || course?.asked.some(({ step }) => unboundIn(step) !== null) === true;
  return interrupted && durationMs <= Math.max(...windows);
}

/** Every allowed list of arguments of the activity, each as one text. */
function givenTo(on: Comparison, step: Activity, course: Course | null, judged: Judgment | undefined): string[] {
  const { facts, id } = on;
  const { externalOrderNumber: n, wallet, reservedAt, provider } = facts.input as DepositInput;
  const placement = placementOf(facts);
  switch (step.name) {
    case 'settlePlacement':
      // Older code did not pass when the workflow was started, or where the order is placed.
      return [[n], ...[{}, { provider }].map((at) => [n, { startedAt: facts.startedAt, reservedAt, ...at }])].map(
        canonical,
      );
    case 'close':
      return [
        placement?.kind === 'refused'
          ? canonical([n, 'PLACEMENT_REFUSED', placement.reason])
          : canonical([n, 'UNPAID', null]),
      ];
    case 'recordState':
      return ['AWAITING_PAYMENT', 'EXPIRED'].map((state) => canonical([n, state]));
    case 'settlement': {
      const ends = [null, course?.expiresAt ?? null, placement?.kind === 'refused' ? null : placement?.expiresAt];
      return WAITING.flatMap((state) => ends.map((expiresAt) => canonical([n, { state, expiresAt }])));
    }
    case 'credit':
      return judged === undefined ? [] : creditItems(id, n, wallet, judged).map((item) => canonical([item]));
    case 'recordReview':
      return judged === undefined ? [] : reviewRecords(on, n, judged).map((review) => canonical([review]));
    case 'park':
      return [canonical([id])];
    case 'recordProposal':
      return shown(facts).map((args) => canonical([id, ...args]));
    default:
      return [];
  }
}

const WAITING: readonly DepositState[] = ['AWAITING_PAYMENT', 'EXPIRED', 'PLACEMENT_UNKNOWN'];

/** The arguments of older code, which did not ask the database for the binding, and of today's. */
function creditItems(workflowId: string, deposit: string, wallet: string, { asked, late }: Judgment): unknown[] {
  const { payment, reported } = asked;
  if (payment === null) return [null];
  const item = {
    inboxId: payment.inboxId,
    deposit,
    wallet,
    transactionCode: payment.transactionCode,
    amount: payment.transactionAmount,
    currencyCode: payment.currencyCode,
    paymentPrice: payment.paymentPrice,
    late,
    workflowId,
  };
  return [item, { ...item, receivedAt: payment.receivedAt, reported }];
}

function reviewRecords({ id, records }: Comparison, n: string, { asked, late, reason, detail }: Judgment): unknown[] {
  const { payment, reported, step } = asked;
  const first = { externalOrderNumber: n, inboxId: payment?.inboxId ?? null, reason, late, workflowId: id };
  // A payment that was sent to review has its reason in its case. An unbound payment has no case.
  const why = unboundIn(step) === null ? (records.cases.get(id)?.detail ?? null) : detail;
  const then = { ...first, detail: why, park: reason === 'LATE' };
  return [first, then, { ...then, payment, reported }];
}

/** The waiting proposal and its step; older code did not pass the step. */
function shown(facts: Comparison['facts']): unknown[][] {
  const updates = facts.steps.filter((step): step is Update => step.kind === 'update');
  return [
    [null],
    ...updates.flatMap(({ name, input }) => {
      const { decisionId } = input as { decisionId: string };
      if (name === 'propose') return [[decisionId], [decisionId, input]];
      return name === 'withdraw' ? [[null, input]] : [];
    }),
  ];
}

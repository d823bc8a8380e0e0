import type { Payment } from '../domain/order.ts';
import type { DepositInput } from '../workflows/messages.ts';
import { type Activity, canonical, type Compared, placementOf, type Update } from './comparing.ts';

/**
 * What durable activities were given, and for how long windows were set: replay looks at neither. It follows from what
 * the history was told. Local activities keep nothing of what they were given; what they did is compared instead.
 */
export function compareGiven(on: Compared, payment: Payment | null, late: boolean | null): void {
  const { facts, tell } = on;
  for (const step of facts.steps) {
    if (step.kind === 'timer' && !windowsOf(on).includes(step.durationMs))
      tell(
        'decision_differs',
        `event ${step.eventId}: a window of ${step.durationMs} ms, which no frozen setting says`,
      );
    if (step.kind !== 'activity' || step.local || step.name === 'decide') continue;
    const allowed = givenTo(on, step, payment, late);
    if (allowed.includes(canonical(step.input))) continue;
    const detail = `event ${step.eventId}: ${step.name} was given ${canonical(step.input)}`;
    tell('decision_differs', `${detail}, its history says ${allowed.join(' or ')}`);
  }
}

function windowsOf({ facts }: Compared): readonly number[] {
  if (facts.workflowType !== 'deposit') return [];
  const { paymentWindowMs, listeningWindowMs } = (facts.input as DepositInput).settings;
  return [paymentWindowMs, listeningWindowMs, paymentWindowMs + listeningWindowMs];
}

/** Every list of arguments that the activity may have been given, each as one text. */
function givenTo(on: Compared, step: Activity, payment: Payment | null, late: boolean | null): string[] {
  const { facts, records } = on;
  const { workflowId } = facts;
  const { externalOrderNumber: n, wallet } = facts.input as DepositInput;
  const placement = placementOf(facts);
  switch (step.name) {
    case 'settlePlacement':
      return [canonical([n])];
    case 'close':
      return [
        placement?.kind === 'refused'
          ? canonical([n, 'PLACEMENT_REFUSED', placement.reason])
          : canonical([n, 'UNPAID', null]),
      ];
    case 'recordState':
      return ['AWAITING_PAYMENT', 'EXPIRED'].map((state) => canonical([n, state]));
    case 'credit':
      return [canonical([payment === null ? null : creditItem(workflowId, n, wallet, payment, late)])];
    case 'recordReview': {
      const stands = records.cases.get(workflowId);
      const reason = stands?.reason ?? null;
      const review = {
        externalOrderNumber: n,
        inboxId: payment?.inboxId ?? null,
        reason,
        late: late ?? false,
        workflowId,
      };
      // The first release named neither.
      return [review, { ...review, detail: stands?.detail ?? null, park: reason === 'LATE' }].map((one) =>
        canonical([one]),
      );
    }
    case 'park':
      return [canonical([workflowId])];
    case 'recordProposal':
      return [null, ...proposed(facts)].map((decisionId) => canonical([workflowId, decisionId]));
    default:
      return [];
  }
}

const creditItem = (workflowId: string, deposit: string, wallet: string, payment: Payment, late: boolean | null) => ({
  inboxId: payment.inboxId,
  deposit,
  wallet,
  transactionCode: payment.transactionCode,
  amount: payment.transactionAmount,
  currencyCode: payment.currencyCode,
  paymentPrice: payment.paymentPrice,
  late: late ?? false,
  workflowId,
});

const proposed = (facts: Compared['facts']): string[] =>
  facts.steps
    .filter((step): step is Update => step.kind === 'update' && step.name === 'propose')
    .map(({ input }) => (input as { decisionId: string }).decisionId);

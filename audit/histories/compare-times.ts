import type { HistoryStep } from '../../archive/history.ts';
import type { DepositInput, ReviewInput } from '../../workflows/messages.ts';
import { activities, type Comparison, placementOf } from './comparing.ts';
import type { PaymentQuestion } from './deposit-course.ts';
import type { CaseRecord, DepositRecord, StepRecord } from '../tables/rows.ts';
import { CLOCKS_MS } from '../tables/times.ts';

/** Compares the times in a deposit's history with the times in its rows. */
export function compareDepositTimes(
  on: Comparison,
  input: DepositInput,
  row: DepositRecord,
  accepted: PaymentQuestion | null,
): void {
  const { facts, records } = on;
  inLife(on, 'the deposit was made', row.createdAt, 'before its workflow began', facts.startedAt);
  if (facts.end?.status === 'completed' && row.closedAt !== null)
    inLife(on, 'the deposit was closed', row.closedAt, 'before its workflow ended', facts.end.at);
  if (accepted?.payment && accepted.heard !== null)
    inLife(on, 'the callback came', accepted.payment.receivedAt, 'before its workflow heard of it', accepted.heard.at);
  compareWindows(on, input, row);
  compareSteps(on);
  const stands = records.cases.get(on.id);
  const review = accepted?.step.name === 'recordReview' ? accepted.step : undefined;
  if (stands !== undefined && review !== undefined)
    inLife(on, 'the case was opened', stands.openedAt, 'before that was recorded', review.at);
}

export function compareReviewTimes(on: Comparison, input: ReviewInput, stands: CaseRecord): void {
  const { facts } = on;
  inLife(on, 'the case was opened', stands.openedAt, 'before its workflow began', facts.startedAt);
  if (input.payment)
    inLife(on, 'the callback came', input.payment.receivedAt, 'before its workflow began', facts.startedAt);
  if (facts.end?.status === 'completed' && stands.closedAt !== null)
    inLife(on, 'the case was closed', stands.closedAt, 'before its workflow ended', facts.end.at);
  compareSteps(on);
}

/**
 * A cause by the database's clock and its effect by Temporal's: two machines, so they may differ by {@link CLOCKS_MS}.
 * The delay has no upper limit: while one of them is down the other waits, for days if necessary.
 */
function inLife({ tell }: Comparison, what: string, first: string, order: string, then: string): void {
  if (Date.parse(first) <= Date.parse(then) + CLOCKS_MS) return;
  tell('times_contradict', `${what} ${first}, which has to be ${order}, ${then}`);
}

/**
 * The windows are the frozen ones, counted from the answer or from the sending; the order was sent within the
 * workflow's lifetime.
 */
function compareWindows(on: Comparison, { settings }: DepositInput, row: DepositRecord): void {
  const { facts, tell } = on;
  const { placedAt, expiresAt, listeningUntil } = row;
  if (expiresAt !== null) {
    const from = Date.parse(expiresAt) - settings.paymentWindowMs;
    if (placedAt !== null && Date.parse(placedAt) !== from)
      tell('times_contradict', `placed ${placedAt}, and the payment window ends ${expiresAt}`);
    if (listeningUntil === null || Date.parse(listeningUntil) - Date.parse(expiresAt) !== settings.listeningWindowMs)
      tell(
        'times_contradict',
        `the payment window ends ${expiresAt}, the listening window ${listeningUntil ?? 'never'}`,
      );
  }
  const placement = placementOf(facts);
  const [step] = [...activities(facts, 'settlePlacement'), ...activities(facts, 'placeOrder')];
  if (placement === undefined || placement.kind === 'refused' || step === undefined) return;
  const asked = new Date(Date.parse(placement.expiresAt) - settings.paymentWindowMs).toISOString();
  inLife(on, 'the order was placed', asked, 'before that was recorded', step.at);
  // A workflow that replaces a terminated one finds the order that the first has placed.
  const begun = Math.min(Date.parse(facts.startedAt), Date.parse(row.createdAt));
  if (Date.parse(asked) < begun - CLOCKS_MS)
    tell('times_contradict', `the order was placed ${asked}, before its workflow began, ${facts.startedAt}`);
}

/**
 * An operator's step precedes its update; postings are within the workflow's lifetime, after the step they follow from.
 */
function compareSteps(on: Comparison): void {
  const { facts, records } = on;
  const rows = records.steps.get(on.id) ?? [];
  const rowOf = (id: unknown): StepRecord | undefined => rows.find((row) => row.id === id);
  for (const step of facts.steps) {
    if (step.kind === 'update') {
      const row = rowOf((step.input as { decisionId?: unknown }).decisionId);
      if (row !== undefined) inLife(on, `step ${row.id} was taken`, row.at, 'before its workflow heard of it', step.at);
    }
    if (step.kind !== 'activity' || step.failed) continue;
    comparePosting(on, step, rowOf);
    const { proposalId } =
      (step.name === 'decide' ? (step.input as { proposalId?: unknown }[] | null)?.[0] : null) ?? {};
    const carried = records.carried.get(String(proposalId));
    if (carried !== undefined)
      inLife(
        on,
        `proposal ${carried.proposal} was carried out`,
        carried.at,
        'before its workflow heard of it',
        step.at,
      );
  }
}

function comparePosting(
  on: Comparison,
  step: Extract<HistoryStep, { kind: 'activity' }>,
  rowOf: (id: unknown) => StepRecord | undefined,
): void {
  const { facts, postings, tell } = on;
  const { postingId } = (step.result ?? {}) as { postingId?: string | null };
  const posting = postings.find(({ id }) => id === postingId);
  if (posting === undefined) return;
  const what = `posting ${posting.id} was made`;
  inLife(on, what, posting.postedAt, 'before its workflow heard of it', step.at);
  if (Date.parse(posting.postedAt) < Date.parse(facts.startedAt) - CLOCKS_MS)
    tell('times_contradict', `${what} ${posting.postedAt}, before its workflow began, ${facts.startedAt}`);
  if (step.name !== 'decide') return;
  // One machine's clock: no tolerance.
  const [item] = step.input as { proposalId?: unknown; confirmationId?: unknown }[];
  const confirmed = rowOf(item?.confirmationId);
  if (confirmed !== undefined && posting.postedAt < confirmed.at)
    tell('times_contradict', `${what} ${posting.postedAt}, before it was confirmed, ${confirmed.at}`);
}

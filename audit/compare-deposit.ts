import { judge } from '../domain/judge.ts';
import type { Payment } from '../domain/order.ts';
import { priceOf } from '../ledger/credit.ts';
import type { DepositInput } from '../workflows/messages.ts';
import {
  activities,
  canonical,
  type Compared,
  compareParked,
  comparePayment,
  expectPosting,
  paymentOf,
  type PlacementAnswer,
  placementOf,
  received,
} from './comparing.ts';
import { compareGiven } from './compare-given.ts';
import { compareDecisions, type Decided } from './compare-people.ts';
import { compareDepositTimes } from './compare-times.ts';
import type { DepositRecord } from './rows.ts';

/** A deposit's history beside its row, its callback, its postings and its case. */
export function compareDeposit(on: Compared): void {
  const { facts, records, tell } = on;
  const input = facts.input as DepositInput;
  const n = input.externalOrderNumber;
  if (facts.workflowId !== `deposit:${n}`) tell('deposit_row_differs', `its history is that of deposit ${n}`);
  const row = records.deposits.get(n);
  if (row === undefined) return tell('deposit_row_differs', 'there is no deposit row');
  compareOrder(on, input, row);
  comparePlacement(on, row);
  const payment = paymentOf(facts);
  if (payment !== null) {
    comparePayment(on, payment, records.callbacks.get(payment.inboxId));
    if (row.boundCallback !== payment.inboxId) {
      const bound = `the deposit is bound to callback ${row.boundCallback ?? 'none'}`;
      tell('credit_without_evidence', `${bound}, its history was told of ${payment.inboxId}`);
    }
  }
  const late = compareJudgement(on, input, payment);
  const posted = compareCredit(on, input, payment);
  compareParked(on, 'recordReview', payment, n);
  const decided = compareDecisions(on, { payment, deposit: n, reviewLimit: input.settings.reviewLimit });
  compareEnd(on, row, payment, { posted, decided, late });
  compareGiven(on, payment, late);
  compareDepositTimes(on, input, row);
}

/** What was asked, as the workflow was started with it and as the row has it. */
function compareOrder({ tell }: Compared, input: DepositInput, row: DepositRecord): void {
  const { settings, ...order } = input;
  for (const [field, value] of Object.entries(order)) {
    const stands = row[field as keyof typeof order];
    if (stands !== value)
      tell('deposit_row_differs', `${field} is ${String(stands)}, its history was started with ${String(value)}`);
  }
  if (canonical(settings) !== canonical(row.settings))
    tell('deposit_row_differs', 'the frozen settings are others than in its history');
}

/** What the provider answered, and until when the customer could pay. */
function comparePlacement({ facts, tell }: Compared, row: DepositRecord): void {
  const placement = placementOf(facts);
  if (placement === undefined || placement.kind === 'refused') return;
  const differs = (field: string, stands: string | null, says: string) =>
    stands === says || tell('deposit_row_differs', `${field} is ${stands ?? 'none'}, its history says ${says}`);
  if (placement.kind === 'placed') differs('advertisementCode', row.advertisementCode, placement.advertisementCode);
  // An answer that came when nobody waited for it any more is shown, and changed nothing else.
  const answeredUnheard = placement.kind === 'unknown' && !heardOfAnswer(facts) && row.placedAt !== null;
  if (!answeredUnheard) differs('expiresAt', row.expiresAt, expiresAtOf(facts, placement));
}

/** What the deposit does next when the provider's late answer is heard of, and never otherwise. */
const heardOfAnswer = (facts: Compared['facts']): boolean => activities(facts, 'recordState').length > 0;

/** When the payment window ended, as the placement or its late answer said. */
function expiresAtOf(facts: Compared['facts'], placement: Exclude<PlacementAnswer, { kind: 'refused' }>): string {
  const answered = facts.steps.find((step) => step.kind === 'signal' && step.name === 'orderAnswered');
  if (placement.kind === 'placed' || answered?.kind !== 'signal' || !heardOfAnswer(facts)) return placement.expiresAt;
  return (answered.input as { expiresAt: string }).expiresAt;
}

/**
 * The judge once more, on what the history was told; and what was done against what the judge says. Answers whether it
 * was late; null: nothing was judged.
 */
function compareJudgement(on: Compared, input: DepositInput, payment: Payment | null): boolean | null {
  const { facts, records, tell } = on;
  const placement = placementOf(facts);
  const [credit] = activities(facts, 'credit');
  const [review] = activities(facts, 'recordReview');
  if (payment === null || placement === undefined || (credit === undefined && review === undefined)) return null;
  let reason: string | null = 'PAID_THOUGH_REFUSED';
  let late: boolean | null = null;
  if (placement.kind !== 'refused') {
    const { inboxId: _, receivedAt, ...callback } = payment;
    const verdict = judge(input.settings, input, { callback, receivedAt, expiresAt: expiresAtOf(facts, placement) });
    late = verdict.late;
    reason = verdict.kind === 'review' ? verdict.reason : null;
    if (credit !== undefined && verdict.kind === 'review')
      tell('decision_differs', `the rules say review ${verdict.reason}: ${verdict.detail}`);
  }
  if (review === undefined) return late;
  const answer = credit?.result as { kind: string; reason?: string } | undefined;
  const expected = answer?.kind === 'conflict' ? answer.reason : reason;
  const stands = records.cases.get(facts.workflowId);
  if (expected === null) tell('decision_differs', 'the rules say credit, its history gave it to people');
  else if (stands === undefined) tell('decision_unrecorded', 'its history gave it to people, and there is no case');
  else if (stands.reason !== expected)
    tell('decision_differs', `given to people as ${stands.reason}, the rules say ${expected}`);
  if (stands !== undefined && stands.inboxId !== payment.inboxId)
    tell('evidence_differs', `the case is about callback ${stands.inboxId}, its history about ${payment.inboxId}`);
  return late;
}

/** What was credited by the machine. Answers the posting. */
function compareCredit(on: Compared, input: DepositInput, payment: Payment | null): string | undefined {
  const credited = activities(on.facts, 'credit')
    .map((step) => step.result as { kind: string; postingId: string; postedAt: string })
    .find(({ kind }) => kind === 'credited');
  if (credited === undefined) return undefined;
  const { postingId, postedAt } = credited;
  if (payment === null) {
    on.explained.add(postingId);
    on.tell('credit_without_evidence', `posting ${postingId} was credited without a callback`);
    return postingId;
  }
  const callback = on.records.callbacks.get(payment.inboxId);
  if (callback !== undefined && callback.outcome !== `posting:${postingId}`) {
    const came = `callback ${callback.id} came to ${callback.outcome ?? 'nothing'}`;
    on.tell('callback_outcome_differs', `${came}, its history to posting ${postingId}`);
  }
  expectPosting(on, postingId, {
    kind: 'credit',
    key: `deposit:${input.externalOrderNumber}:credit`,
    deposit: input.externalOrderNumber,
    debit: 'clearing:mtpay',
    credit: `wallet:${input.wallet}`,
    ...received(payment),
    unitPrice: priceOf({ paymentPrice: payment.paymentPrice, amount: payment.transactionAmount }),
    origin: null,
    actor: null,
    postedAt,
  });
  return postingId;
}

/** How the deposit is shown must be how its history ended. */
function compareEnd(
  { facts, records, tell }: Compared,
  row: DepositRecord,
  payment: Payment | null,
  { posted, decided, late }: { posted: string | undefined; decided: Decided | undefined; late: boolean | null },
): void {
  if (facts.end?.status !== 'completed') return;
  if (activities(facts, 'recordReview').length === 0 && records.cases.has(facts.workflowId))
    tell('deposit_unexplained', 'there is a case, and its history gave nothing to people');
  const result = facts.end.result as Result;
  const credited = posted ?? (decided?.decision === 'credit' ? decided.postingId : null);
  // Its payment went into the wallet of another deposit: nothing was credited here.
  const wentElsewhere = posted === undefined && decided?.toOther === true;
  const shown = wentElsewhere ? 'REJECTED' : result.state;
  if (row.state !== shown) tell('deposit_row_differs', `shown as ${row.state}, its history ended ${shown}`);
  if (row.late !== result.late)
    tell('deposit_row_differs', `shown as late ${row.late}, its history says ${result.late}`);
  const shownPosting = wentElsewhere ? null : credited;
  if (row.postingId !== shownPosting) {
    const stands = `shown with posting ${row.postingId ?? 'none'}`;
    tell('deposit_row_differs', `${stands}, its history credited ${shownPosting ?? 'none'}`);
  }
  const placement = placementOf(facts);
  const refusal = placement?.kind === 'refused' ? placement.reason : null;
  if (result.state === 'PLACEMENT_REFUSED' && row.refusal !== refusal)
    tell('deposit_row_differs', `shown as refused ${row.refusal ?? 'for nothing'}, its history says ${refusal}`);
  const ended: Result = {
    state: stateAfter(posted, decided, refusal, payment),
    late: late ?? false,
    postingId: credited,
    transactionCode: payment?.transactionCode ?? null,
    refusal,
  };
  for (const [field, value] of Object.entries(ended)) {
    const says = result[field as keyof Result];
    if (says !== value)
      tell('decision_differs', `its history ended with ${field} ${String(says)}, its steps say ${String(value)}`);
  }
}

interface Result {
  readonly state: string;
  readonly late: boolean;
  readonly postingId: string | null;
  readonly transactionCode: string | null;
  readonly refusal: string | null;
}

function stateAfter(
  posted: string | undefined,
  decided: Decided | undefined,
  refusal: string | null,
  payment: Payment | null,
): string {
  if (posted !== undefined || decided?.decision === 'credit') return 'CREDITED';
  if (decided !== undefined) return 'REJECTED';
  if (payment !== null) return 'CREDITED or REJECTED';
  return refusal === null ? 'UNPAID' : 'PLACEMENT_REFUSED';
}

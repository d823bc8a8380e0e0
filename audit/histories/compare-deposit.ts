import type { HistoryStep } from '../../archive/history.ts';
import type { Settlement } from '../../activities/index.ts';
import { judge } from '../../domain/judge.ts';
import { providerOf, type Payment } from '../../domain/order.ts';
import { priceOf } from '../../ledger/credit.ts';
import type { DepositInput } from '../../workflows/messages.ts';
import {
  activities,
  canonical,
  type Comparison,
  compareParked,
  comparePayment,
  compareCaseOutcome,
  expectPosting,
  inboxIdsIn,
  placementOf,
  received,
} from './comparing.ts';
import { compareGiven } from './compare-given.ts';
import { compareDecisions, type CaseDecision } from './compare-people.ts';
import { compareDepositTimes } from './compare-times.ts';
import { acceptedIn, type PaymentQuestion, type Course, courseOf, type Judgment, unboundIn } from './deposit-course.ts';
import type { AttemptRecord, DepositRecord } from '../tables/rows.ts';
import { CLOCKS_MS } from '../tables/times.ts';
import { depositWorkflowId, creditKey, reviewOutcome, postingOutcome, clearingOf } from '../../domain/ids.ts';

/** Compares a deposit's history with its row, its callback, its postings and its case. */
export function compareDeposit(on: Comparison): void {
  const { facts, records, tell } = on;
  const input = facts.input as DepositInput;
  const n = input.externalOrderNumber;
  if (facts.workflowId !== depositWorkflowId(n)) tell('deposit_row_differs', `its history is that of deposit ${n}`);
  const row = records.deposits.get(n);
  if (row === undefined) return tell('deposit_row_differs', 'there is no deposit row');
  const course = courseOf(facts);
  compareOrder(on, input, row);
  comparePlacement(on, row, course);
  compareLink(on, row);
  compareAttempts(on, row);
  compareOutcomes(on, row, course);
  compareBound(on, row, course);
  compareSettled(on, row, course);
  const judged = course.asked.map((asked) => judgedOf(on, input, asked));
  for (const one of judged) compareJudgement(on, one);
  const accepted = judged.findLast(({ asked }) => unboundIn(asked.step) === null) ?? null;
  const payment = accepted?.asked.payment ?? null;
  compareCase(on, accepted);
  const posted = compareCredit(on, input, course);
  compareLostCredit(on, input, row, course);
  compareParked(on, 'recordReview', payment, n);
  const decided = compareDecisions(on, {
    payment,
    deposit: n,
    reviewLimit: input.settings.reviewLimit,
    tip: tipOf(accepted),
  });
  compareEnd(on, row, course, { posted, decided, late: course.settled?.late ?? accepted?.late ?? false });
  compareRunning(on, row);
  compareGiven(on, course, judged);
  compareDepositTimes(on, input, row, acceptedIn(course));
}

/** The posting that parked its payment when it was sent to review. */
function tipOf(accepted: Judgment | null): string | null {
  const parked = accepted?.asked.step.result as { readonly postingId?: string | null } | null | undefined;
  return accepted?.asked.step.name === 'recordReview' ? (parked?.postingId ?? null) : null;
}

/** Compares the order in the workflow's input with the order in the row. */
function compareOrder({ tell }: Comparison, input: DepositInput, row: DepositRecord): void {
  const { settings, reservedAt, ...asked } = input;
  const order = { ...asked, provider: providerOf(input) };
  // After a restore the same order may have a younger row, but never an older one.
  if (reservedAt !== undefined && Date.parse(row.createdAt) < Date.parse(reservedAt))
    tell('deposit_row_differs', `it was made at ${row.createdAt}, its history began with a row of ${reservedAt}`);
  for (const [field, value] of Object.entries(order)) {
    const stands = row[field as keyof typeof order];
    if (stands !== value)
      tell('deposit_row_differs', `${field} is ${String(stands)}, its history was started with ${String(value)}`);
  }
  if (canonical(settings) !== canonical(row.settings))
    tell('deposit_row_differs', 'the frozen settings are others than in its history');
}

/** Compares the provider's answer and the end of the payment window. */
function comparePlacement({ facts, tell }: Comparison, row: DepositRecord, course: Course): void {
  const placement = placementOf(facts);
  if (placement === undefined || placement.kind === 'refused') return;
  const differs = (field: string, stands: string | null, says: string) =>
    stands === says || tell('deposit_row_differs', `${field} is ${stands ?? 'none'}, its history says ${says}`);
  if (placement.kind === 'placed') differs('advertisementCode', row.advertisementCode, placement.advertisementCode);
  // An answer that came after the deposit had ended is in the row, and changed nothing else.
  const answeredUnheard = placement.kind === 'unknown' && !course.heardOfAnswer && row.placedAt !== null;
  if (!answeredUnheard) differs('expiresAt', row.expiresAt, course.expiresAt ?? placement.expiresAt);
}

/**
 * The row's checkout link is that of the provider's answer, by the history and by the stored attempt. Older histories
 * have no hash of the link, and a row that ended during its placement has no link.
 */
function compareLink(on: Comparison, row: DepositRecord): void {
  if (row.redirectHash === null) return;
  const placement = placementOf(on.facts);
  const stands = `the checkout link has hash ${row.redirectHash}`;
  if (placement?.kind === 'placed' && placement.redirectHash !== undefined) {
    if (row.redirectHash !== placement.redirectHash)
      on.tell('link_differs', `${stands}, its history says ${placement.redirectHash}`);
  }
  const attempts = on.records.attempts.get(row.externalOrderNumber) ?? [];
  if (attempts.every(({ redirectHash }) => redirectHash !== row.redirectHash))
    on.tell('link_differs', `${stands}, no attempt was answered with it`);
}

/** Causes of attempts that replace lost ones: after a restore it is unknown which orders were sent. */
const WRITTEN_FOR_LOST: readonly (string | null)[] = ['ADOPTED', 'RESTORED'];
const NOT_SENT: readonly (string | null)[] = ['refused', 'not_sent', 'closed'];

/**
 * An order may be settled as unknown for lost attempts in two cases. Either a restore is recorded since, or its row is
 * not the one that its workflow began with. Older workflows do not hold the time of their row.
 */
function compareRestored(
  { facts, records, tell }: Pick<Comparison, 'facts' | 'records' | 'tell'>,
  row: DepositRecord,
  attempts: readonly AttemptRecord[],
): void {
  if (attempts.every(({ cause }) => cause !== 'RESTORED')) return;
  const { reservedAt } = facts.input as DepositInput;
  const began = reservedAt ?? facts.startedAt;
  const isOther =
    reservedAt === undefined
      ? Date.parse(row.createdAt) > Date.parse(began) + CLOCKS_MS
      : Date.parse(row.createdAt) !== Date.parse(reservedAt);
  const since = Math.min(Date.parse(row.createdAt), Date.parse(began));
  if (isOther || (records.restoredAt !== null && Date.parse(records.restoredAt) >= since)) return;
  tell('attempt_differs', 'its order was given up as one from before a restore, and none is on record since');
}

/** The answer in the history is the answer of a stored attempt. */
function compareAttempts({ facts, records, tell }: Comparison, row: DepositRecord): void {
  const placement = placementOf(facts);
  const attempts = records.attempts.get(row.externalOrderNumber) ?? [];
  compareRestored({ facts, records, tell }, row, attempts);
  if (placement === undefined || attempts.some(({ cause }) => WRITTEN_FOR_LOST.includes(cause))) return;
  const last = attempts.at(-1);
  const stands = {
    placed: () =>
      attempts.some(
        ({ outcome, advertisementCode, redirectHash }) =>
          placement.kind === 'placed' &&
          outcome === 'placed' &&
          advertisementCode === placement.advertisementCode &&
          (placement.redirectHash ?? redirectHash) === redirectHash,
      ),
    unknown: () => last?.outcome === 'unknown',
    refused: () => last !== undefined && NOT_SENT.includes(last.outcome),
  }[placement.kind]();
  if (stands) return;
  const has =
    last === undefined ? 'no attempt is on record' : `attempt ${last.n} of ${attempts.length} is ${last.outcome}`;
  tell('attempt_differs', `${has}, its history was answered ${placement.kind}`);
}

/** Every callback whose outcome is a posting or a case of this deposit is a payment that its history knows. */
function compareOutcomes(
  { facts, id, postings, records, tell }: Comparison,
  row: DepositRecord,
  { settled }: Course,
): void {
  if (facts.end !== null && facts.end.status !== 'completed') return;
  const named = inboxIdsIn(facts);
  for (const callback of records.outcomes.get(row.externalOrderNumber) ?? []) {
    const isOwn =
      callback.outcome === reviewOutcome(id) ||
      postings.some((posting) => callback.outcome === postingOutcome(posting.id));
    // A task that was not recorded may have processed it; its history then holds the posting instead.
    if (isOwn && !named.includes(callback.id) && callback.outcome !== postingOutcome(settled?.postingId))
      tell(
        'callback_outcome_differs',
        `came to ${callback.outcome}, and ${id} was never told of it`,
        `callback ${callback.id}`,
      );
  }
}

/** A payment that was credited or sent to review, or that the database named, must be the bound one. */
function compareBound(on: Comparison, row: DepositRecord, course: Course): void {
  const accepted = acceptedIn(course);
  const told: readonly { readonly payment: Payment | null; readonly step: HistoryStep }[] = [
    ...(accepted === null ? [] : [accepted]),
    ...course.bound.filter(({ payment }) => canonical(payment) !== canonical(accepted?.payment)),
  ];
  for (const { payment } of told) {
    if (payment === null) continue;
    comparePayment(on, payment, on.records.callbacks.get(payment.inboxId));
    if (row.boundCallback === payment.inboxId) continue;
    const bound = `the deposit is bound to callback ${row.boundCallback ?? 'none'}`;
    on.tell('credit_without_evidence', `${bound}, its history was told of ${payment.inboxId}`);
  }
  const { end } = on.facts;
  if (end?.status === 'completed' && told.length === 0 && course.settled === null && row.boundCallback !== null)
    on.tell('deposit_row_differs', `bound to callback ${row.boundCallback}, its history ended without a payment`);
}

/** A row that was final when its workflow asked ends the workflow with this result: a final row never changes. */
function compareSettled({ records, tell }: Comparison, row: DepositRecord, { settled }: Course): void {
  if (settled === null) return;
  const says = (field: string, shown: unknown, told: unknown) =>
    shown === told || tell('deposit_row_differs', `${field} is ${String(shown)}, its history was told ${String(told)}`);
  says('state', row.state, settled.state);
  says('posting', row.postingId, settled.postingId);
  says('late', row.late, settled.late);
  const bound = row.boundCallback === null ? undefined : records.callbacks.get(row.boundCallback);
  const posting = row.postingId === null ? undefined : records.named.get(row.postingId);
  const code = posting === undefined ? (bound?.data?.transactionCode ?? null) : codeOf(records, posting.root);
  // For an unreadable payment the row may have no code.
  if (settled.transactionCode === null && bound?.data === null) return;
  says('transaction code', code, settled.transactionCode);
}

const codeOf = (records: Comparison['records'], root: string): string | null =>
  records.named.get(root)?.transactionCode ?? null;

const BOOKS = 'the ledger holds other facts: compare posting and inbox row';
/** The same texts as in workflows/deposit.ts. */
const CONFLICTS: Readonly<Record<string, string>> = {
  LEDGER_CONFLICT: BOOKS,
  LEDGER_REJECTED: BOOKS,
  SEAL_BROKEN: 'its inbox row bears no seal of the API: nobody knows who wrote it',
  OTHER_PAYMENT_CREDITED: 'people have credited another payment of this deposit: see its credits',
};

function judgedOf({ facts }: Comparison, input: DepositInput, asked: PaymentQuestion): Judgment {
  const verdict = verdictOn(input, asked);
  if (verdict.reason !== 'PAID_THOUGH_REFUSED') return { asked, ...verdict };
  const placement = placementOf(facts);
  const refusal = placement?.kind === 'refused' ? placement.reason : null;
  return { asked, ...verdict, detail: `the provider had answered ${refusal}` };
}

function verdictOn(
  input: DepositInput,
  {
    payment,
    expiresAt,
    thoughRefused,
    conflict,
  }: Pick<PaymentQuestion, 'payment' | 'expiresAt' | 'thoughRefused' | 'conflict'>,
): Omit<Judgment, 'asked'> {
  if (payment === null) return { late: false, reason: null, detail: '' };
  if (thoughRefused) return { late: false, reason: 'PAID_THOUGH_REFUSED', detail: '' };
  const { inboxId: _, receivedAt, ...callback } = payment;
  const verdict = judge(input.settings, input, { callback, receivedAt, expiresAt });
  const { late } = verdict;
  if (conflict !== null) {
    const { reason, detail } = conflict;
    return { late, reason, detail: detail ?? CONFLICTS[reason] ?? '' };
  }
  return verdict.kind === 'credit'
    ? { late, reason: null, detail: '' }
    : { late, reason: verdict.reason, detail: verdict.detail };
}

/** Compares the requested activity with the judge's verdict. */
function compareJudgement({ tell }: Comparison, { asked, reason, detail }: Judgment): void {
  if (asked.payment === null) return;
  const isCredit = asked.step.name === 'credit';
  if (isCredit && reason !== null) tell('decision_differs', `the rules say review ${reason}: ${detail}`);
  if (!isCredit && reason === null) tell('decision_differs', 'the rules say credit, its history gave it to people');
}

/** Compares the case of a payment that was sent to review. */
function compareCase({ id, records, tell }: Comparison, judged: Judgment | null): void {
  if (judged === null || judged.asked.payment === null || judged.asked.step.name !== 'recordReview') return;
  const stands = records.cases.get(id);
  const { reason, detail, asked } = judged;
  if (stands === undefined) return tell('decision_unrecorded', 'its history gave it to people, and there is no case');
  if (reason !== null && stands.reason !== reason)
    tell('decision_differs', `given to people as ${stands.reason}, the rules say ${reason}`);
  // In histories of v1 the activity has no detail in its input. A worker of before has the fixed text of the reason.
  const isTold = stands.detail === detail || stands.detail === CONFLICTS[reason ?? ''];
  if (reason !== null && asked.step.result !== null && !isTold)
    tell('decision_differs', `people are told “${stands.detail}”, the rules say “${detail}”`);
  const { inboxId } = asked.payment!;
  if (stands.inboxId !== inboxId)
    tell('evidence_differs', `the case is about callback ${stands.inboxId}, its history about ${inboxId}`);
  compareCaseOutcome({ records, tell }, inboxId, id);
}

/** Compares the machine's credit. Returns the posting. */
function compareCredit(on: Comparison, input: DepositInput, { asked }: Course): string | undefined {
  const credited = asked.find(({ step }) => (step.result as { kind?: string } | null)?.kind === 'credited');
  if (credited === undefined) return undefined;
  const { payment } = credited;
  const { postingId, postedAt } = credited.step.result as { postingId: string; postedAt: string };
  if (payment === null) {
    on.explained.add(postingId);
    on.tell('credit_without_evidence', `posting ${postingId} was credited without a callback`);
    return postingId;
  }
  const callback = on.records.callbacks.get(payment.inboxId);
  if (callback !== undefined && callback.outcome !== postingOutcome(postingId)) {
    const came = `callback ${callback.id} came to ${callback.outcome ?? 'nothing'}`;
    on.tell('callback_outcome_differs', `${came}, its history to posting ${postingId}`);
  }
  expectCredit(on, input, postingId, payment, postedAt);
  return postingId;
}

function expectCredit(
  on: Comparison,
  input: DepositInput,
  postingId: string,
  payment: Payment,
  postedAt?: string,
): void {
  expectPosting(on, postingId, {
    kind: 'credit',
    key: creditKey(input.externalOrderNumber),
    deposit: input.externalOrderNumber,
    debit: clearingOf(providerOf(input)),
    credit: `wallet:${input.wallet}`,
    ...received(payment),
    unitPrice: priceOf({ paymentPrice: payment.paymentPrice, amount: payment.transactionAmount }),
    origin: null,
    actor: null,
    ...(postedAt === undefined ? {} : { postedAt }),
  });
}

/**
 * Compares a machine's credit in a task that was not recorded, because it took too long. The history then learned from
 * the row that it is settled. The judge is asked about the payment that the row binds, as in the lost task.
 */
function compareLostCredit(on: Comparison, input: DepositInput, row: DepositRecord, course: Course): void {
  const postingId = course.settled?.postingId ?? null;
  const isOwn = on.postings.some(({ id, kind }) => id === postingId && kind === 'credit');
  if (postingId === null || !isOwn || on.explained.has(postingId)) return;
  const callback = on.records.callbacks.get(row.boundCallback ?? '');
  if (callback === undefined || callback.data === null) {
    on.explained.add(postingId);
    return on.tell('credit_without_evidence', `posting ${postingId} was credited without a callback that can be read`);
  }
  const payment = { ...callback.data, inboxId: callback.id, receivedAt: callback.receivedAt };
  const thoughRefused = placementOf(on.facts)?.kind === 'refused';
  const { reason, detail } = verdictOn(input, { payment, expiresAt: course.expiresAt, thoughRefused, conflict: null });
  if (reason !== null) on.tell('decision_differs', `the rules say review ${reason}: ${detail}`);
  expectCredit(on, input, postingId, payment);
}

/** The deposit's row must show the result of its history. */
function compareEnd(
  { facts, id, records, tell }: Comparison,
  row: DepositRecord,
  course: Course,
  { posted, decided, late }: { posted: string | undefined; decided: CaseDecision | undefined; late: boolean },
): void {
  if (facts.end !== null && facts.end.status !== 'completed') return;
  const gaveToPeople = activities(facts, 'recordReview').some((step) => unboundIn(step) === null);
  if (!gaveToPeople && records.cases.has(id))
    tell('deposit_unexplained', 'there is a case, and its history gave nothing to people');
  if (facts.end === null) return;
  const result = facts.end.result as Result;
  const placement = placementOf(facts);
  const refusal = placement?.kind === 'refused' ? placement.reason : null;
  const ended = { ...endOf(course, posted, decided, refusal), late, refusal };
  // Its payment went into the wallet of another deposit: the row shows whether another payment was credited here.
  const wentElsewhere = course.settled === null && posted === undefined && decided?.toOther === true;
  const instead = decided?.settled?.postingId ?? null;
  const shown = wentElsewhere
    ? { state: instead === null ? 'REJECTED' : 'CREDITED', postingId: instead }
    : { state: result.state, postingId: ended.postingId };
  if (row.state !== shown.state) tell('deposit_row_differs', `shown as ${row.state}, its history ended ${shown.state}`);
  if (row.late !== result.late)
    tell('deposit_row_differs', `shown as late ${row.late}, its history says ${result.late}`);
  if (row.postingId !== shown.postingId) {
    const stands = `shown with posting ${row.postingId ?? 'none'}`;
    tell('deposit_row_differs', `${stands}, its history credited ${shown.postingId ?? 'none'}`);
  }
  if (result.state === 'PLACEMENT_REFUSED' && row.refusal !== refusal)
    tell('deposit_row_differs', `shown as refused ${row.refusal ?? 'for nothing'}, its history says ${refusal}`);
  for (const [field, value] of Object.entries(ended)) {
    const says = result[field as keyof Result];
    if (says !== value)
      tell('decision_differs', `its history ended with ${field} ${String(says)}, its steps say ${String(value)}`);
  }
}

/**
 * The workflow of a final row has ended, unless a case ended the row and the relay has not signaled the workflow yet.
 */
function compareRunning({ facts, tell }: Comparison, { closedAt, settledBy, told, state }: DepositRecord): void {
  if (facts.end !== null || closedAt === null || (settledBy !== null && !told)) return;
  tell('deposit_row_differs', `shown as ${state}, closed ${closedAt}, and its workflow has not ended`);
}

interface Result {
  readonly state: string;
  readonly late: boolean;
  readonly postingId: string | null;
  readonly transactionCode: string | null;
  readonly refusal: string | null;
}

/** The result that follows from its steps. */
function endOf(
  { settled, payment, asked }: Course,
  posted: string | undefined,
  decided: CaseDecision | undefined,
  refusal: string | null,
): Pick<Result, 'state' | 'postingId' | 'transactionCode'> {
  const transactionCode = payment?.transactionCode ?? null;
  if (settled !== null) return settledAs(settled, transactionCode);
  if (posted !== undefined) return { state: 'CREDITED', postingId: posted, transactionCode };
  if (decided?.decision === 'credit' && decided.elsewhere !== true)
    return { state: 'CREDITED', postingId: decided.postingId, transactionCode };
  const instead = decided?.settled;
  if (instead !== undefined) return settledAs({ state: 'CREDITED', ...instead }, transactionCode);
  if (decided !== undefined) return { state: 'REJECTED', postingId: null, transactionCode };
  const isOpen = asked.some(({ step }) => unboundIn(step) === null);
  const state = isOpen ? 'CREDITED or REJECTED' : refusal === null ? 'UNPAID' : 'PLACEMENT_REFUSED';
  return { state, postingId: null, transactionCode };
}

const settledAs = (
  { state, postingId, transactionCode }: Pick<Settlement, 'state' | 'postingId' | 'transactionCode'>,
  named: string | null,
) => ({ state, postingId, transactionCode: transactionCode ?? named });

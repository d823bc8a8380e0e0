import type { HistoryFacts, HistoryStep } from '../archive/history.ts';
import { actorOf, needsTwo } from '../domain/decision.ts';
import { judge } from '../domain/judge.ts';
import type { Payment } from '../domain/order.ts';
import type { Concluded, DepositInput, ReviewInput } from '../workflows/messages.ts';
import type { CallbackRecord, DepositRecord, PostingRecord, Records } from './rows.ts';
import type { FindingKind } from './findings.ts';
import type { Finding } from './report.ts';

/**
 * Whether one history and the tables tell the same story: the decision that the history contains, the postings that
 * stand, the callback it rests on, the deposit as it is shown, and the people who decided. Pure.
 */
export function compare(
  facts: HistoryFacts,
  records: Records,
  explainedElsewhere: ReadonlySet<string> = new Set(),
): Finding[] {
  const { findings, explained } = look(facts, records);
  const postings = records.postings.get(facts.workflowId) ?? [];
  const unexplained = postings.filter(({ id }) => !explained.has(id) && !explainedElsewhere.has(id));
  return [
    ...findings,
    ...unexplained.map(({ id, kind, amount }): Finding => {
      const detail = `posting ${id} (${kind}, ${amount} MTC) is in no step of its history`;
      return { kind: 'posting_unexplained', where: facts.workflowId, detail };
    }),
  ];
}

/** The postings that this history decided: for another run under the same id, whose they are not. */
export const explainedBy = (facts: HistoryFacts, records: Records): ReadonlySet<string> =>
  look(facts, records).explained;

function look(facts: HistoryFacts, records: Records): { findings: Finding[]; explained: Set<string> } {
  const findings: Finding[] = [];
  const tell: Tell = (kind, detail, where = facts.workflowId) => findings.push({ kind, where, detail });
  const postings = records.postings.get(facts.workflowId) ?? [];
  const explained = new Set<string>();
  if (facts.workflowType === 'deposit') compareDeposit(facts, records, postings, explained, tell);
  else if (facts.workflowType === 'review') compareReview(facts, records, postings, explained, tell);
  else tell('not_readable', `a workflow of type ${facts.workflowType} has nothing to do with money`);
  return { findings, explained };
}

type Tell = (kind: FindingKind, detail: string, where?: string) => void;

const activities = (facts: HistoryFacts, name: string) =>
  facts.steps.filter(
    (step): step is Extract<HistoryStep, { kind: 'activity' }> =>
      step.kind === 'activity' && step.name === name && !step.failed,
  );

/** The payment the deposit was told of: the first signal, or what closing found under the row's lock. */
export function paymentOf(facts: HistoryFacts): Payment | null {
  const signal = facts.steps.find((step) => step.kind === 'signal' && step.name === 'callbackAccepted');
  const closing = activities(facts, 'close').find((step) => step.result !== null);
  return ((signal?.kind === 'signal' ? signal.input : closing?.result) ?? null) as Payment | null;
}

function compareDeposit(
  facts: HistoryFacts,
  records: Records,
  postings: readonly PostingRecord[],
  explained: Set<string>,
  tell: Tell,
): void {
  const input = facts.input as DepositInput;
  const row = records.deposits.get(input.externalOrderNumber);
  if (row === undefined) return tell('deposit_row_differs', 'there is no deposit row');
  compareOrder(input, row, tell);
  const payment = paymentOf(facts);
  const callback = payment === null ? undefined : records.callbacks.get(payment.inboxId);
  if (payment !== null) comparePayment(payment, callback, tell);
  const credited = activities(facts, 'credit').map((step) => step.result as { kind: string; postingId?: string });
  const posted = credited.find(({ kind }) => kind === 'credited')?.postingId;
  if (posted !== undefined) {
    compareCredit(facts, input, payment, row, postings, posted, tell);
    explained.add(posted);
    if (callback !== undefined && callback.outcome !== `posting:${posted}`) {
      tell(
        'callback_outcome_differs',
        `callback ${callback.id} came to ${callback.outcome ?? 'nothing'}, its history to posting ${posted}`,
      );
    }
  }
  compareParked(facts, 'recordReview', postings, explained, tell);
  const decided = compareDecisions(
    facts,
    records,
    postings,
    explained,
    payment?.transactionAmount ?? null,
    input.settings.reviewLimit,
    tell,
  );
  compareEnd(facts, row, posted ?? decided, tell);
}

/** What was asked, as the workflow was started with it and as the row has it. */
function compareOrder(input: DepositInput, row: DepositRecord, tell: Tell): void {
  const { settings, ...order } = input;
  for (const [field, value] of Object.entries(order)) {
    const stands = row[field as keyof typeof order];
    if (stands !== value)
      tell('deposit_row_differs', `${field} is ${String(stands)}, its history was started with ${String(value)}`);
  }
  if (canonical(settings) !== canonical(row.settings))
    tell('deposit_row_differs', 'the frozen settings are others than in its history');
}

const canonical = (value: unknown): string =>
  JSON.stringify(value, (_key, item: unknown) =>
    typeof item === 'object' && item !== null && !Array.isArray(item)
      ? Object.fromEntries(Object.entries(item).toSorted(([a], [b]) => (a < b ? -1 : 1)))
      : item,
  );

/** What the history was told must be what the inbox holds. */
function comparePayment(payment: Payment, callback: CallbackRecord | undefined, tell: Tell): void {
  if (callback === undefined) return tell('credit_without_evidence', `there is no callback ${payment.inboxId}`);
  if (callback.data === null) return tell('callback_changed', `callback ${callback.id} cannot be read`);
  for (const field of ['transactionCode', 'transactionAmount', 'currencyCode', 'paymentPrice'] as const) {
    if (callback.data[field] !== payment[field]) {
      tell(
        'evidence_differs',
        `${field} is ${callback.data[field]}, its history was told ${payment[field]}`,
        `callback ${callback.id}`,
      );
    }
  }
  if (Date.parse(callback.receivedAt) !== Date.parse(payment.receivedAt)) {
    tell(
      'evidence_differs',
      `received ${callback.receivedAt}, its history was told ${payment.receivedAt}`,
      `callback ${callback.id}`,
    );
  }
}

/** The judge once more, on what the history was told; and the posting against what the judge allowed. */
function compareCredit(
  facts: HistoryFacts,
  input: DepositInput,
  payment: Payment | null,
  row: DepositRecord,
  postings: readonly PostingRecord[],
  postingId: string,
  tell: Tell,
): void {
  if (payment === null) return tell('credit_without_evidence', `posting ${postingId} was credited without a callback`);
  const expiresAt = expiresAtOf(facts);
  const verdict = judge(input.settings, input, { callback: payment, receivedAt: payment.receivedAt, expiresAt });
  if (verdict.kind !== 'credit') tell('decision_differs', `the rules say review ${verdict.reason}: ${verdict.detail}`);
  if (row.boundCallback !== payment.inboxId) {
    tell(
      'credit_without_evidence',
      `the deposit is bound to callback ${row.boundCallback ?? 'none'}, credited for ${payment.inboxId}`,
    );
  }
  expectPosting(
    postings,
    postingId,
    {
      kind: 'credit',
      key: `deposit:${input.externalOrderNumber}:credit`,
      deposit: input.externalOrderNumber,
      transactionCode: payment.transactionCode,
      debit: 'clearing:mtpay',
      credit: `wallet:${input.wallet}`,
      amount: payment.transactionAmount,
      fiat: payment.currencyCode,
      fiatAmount: payment.paymentPrice,
    },
    tell,
  );
}

/** When the payment window ended, as the placement or its late answer said. */
function expiresAtOf(facts: HistoryFacts): string | null {
  const placed = [...activities(facts, 'placeOrder'), ...activities(facts, 'settlePlacement')].at(-1)?.result as
    | { expiresAt?: string }
    | undefined;
  const answered = facts.steps.find((step) => step.kind === 'signal' && step.name === 'orderAnswered');
  const late = answered?.kind === 'signal' ? (answered.input as { expiresAt?: string }).expiresAt : undefined;
  return late ?? placed?.expiresAt ?? null;
}

function expectPosting(
  postings: readonly PostingRecord[],
  id: string,
  expected: Partial<PostingRecord>,
  tell: Tell,
): void {
  const posting = postings.find((one) => one.id === id);
  if (posting === undefined)
    return tell('posting_missing', `its history says posting ${id}, which is not in the books under this workflow`);
  for (const [field, value] of Object.entries(expected)) {
    const stands = posting[field as keyof PostingRecord];
    if (stands !== value)
      tell('posting_differs', `${field} is ${String(stands)}, its history says ${String(value)}`, `posting ${id}`);
  }
}

function compareParked(
  facts: HistoryFacts,
  activity: 'recordReview' | 'park',
  postings: readonly PostingRecord[],
  explained: Set<string>,
  tell: Tell,
): void {
  for (const step of activities(facts, activity)) {
    const { postingId = null } = (step.result ?? {}) as { postingId?: string | null };
    if (postingId === null) continue;
    explained.add(postingId);
    expectPosting(postings, postingId, { kind: 'suspense', credit: 'suspense:mtpay' }, tell);
  }
}

/** Every decision that was carried out: who decided, by the rows, and what was posted for it. Answers the credit, if any. */
function compareDecisions(
  facts: HistoryFacts,
  records: Records,
  postings: readonly PostingRecord[],
  explained: Set<string>,
  amount: string | null,
  reviewLimit: string,
  tell: Tell,
): string | undefined {
  const steps = records.steps.get(facts.workflowId) ?? [];
  let credited: string | undefined;
  for (const step of activities(facts, 'decide')) {
    const answer = step.result as Concluded;
    if (answer.kind === 'refused') continue;
    const [item] = step.input as [{ proposalId: string; confirmationId: string }];
    const proposal = steps.find((row) => row.id === item.proposalId && row.step === 'propose');
    const confirmation = steps.find((row) => row.id === item.confirmationId && row.step === 'confirm');
    if (proposal === undefined || confirmation === undefined || confirmation.proposal !== proposal.id) {
      tell(
        'decision_unrecorded',
        `decided as ${item.proposalId} and ${item.confirmationId}, which are not written down so`,
      );
      continue;
    }
    if (needsTwo({ amount, reviewLimit }) && proposal.operator === confirmation.operator) {
      tell(
        'decided_by_one',
        `${proposal.operator} proposed and confirmed ${amount ?? 'an unreadable amount'} MTC, limit ${reviewLimit}`,
      );
    }
    const actor = actorOf(proposal.operator, confirmation.operator);
    if (answer.decidedBy !== actor) tell('decision_differs', `decided by ${answer.decidedBy}, the rows say ${actor}`);
    if (answer.kind === 'decided' && answer.decision !== proposal.decision) {
      tell('decision_differs', `decided ${answer.decision}, proposed ${proposal.decision}`);
    }
    if (answer.postingId === null) continue;
    explained.add(answer.postingId);
    expectPosting(postings, answer.postingId, { actor }, tell);
    const posting = postings.find(({ id }) => id === answer.postingId);
    // Money that was not parked before was parked in the same transaction.
    if (posting !== undefined && posting.origin !== null && postings.some(({ id }) => id === posting.origin))
      explained.add(posting.origin);
    if (posting?.kind === 'release' && amount !== null && posting.amount !== amount) {
      tell('posting_differs', `released ${posting.amount} MTC, the callback says ${amount}`, `posting ${posting.id}`);
    }
    if (answer.kind === 'decided' && answer.decision === 'credit') credited = answer.postingId;
  }
  return credited;
}

/** How the deposit is shown must be how its history ended. */
function compareEnd(facts: HistoryFacts, row: DepositRecord, credited: string | undefined, tell: Tell): void {
  if (facts.end === null || facts.end.status !== 'completed') return;
  const result = facts.end.result as { state: string; late: boolean; postingId: string | null };
  if (row.state !== result.state)
    tell('deposit_row_differs', `shown as ${row.state}, its history ended ${result.state}`);
  if (row.late !== result.late)
    tell('deposit_row_differs', `shown as late ${row.late}, its history says ${result.late}`);
  if (result.state === 'CREDITED' && row.postingId !== (credited ?? null)) {
    tell(
      'deposit_row_differs',
      `shown with posting ${row.postingId ?? 'none'}, its history credited ${credited ?? 'none'}`,
    );
  }
  if (result.postingId !== (credited ?? null)) {
    tell(
      'decision_differs',
      `its history ended with posting ${result.postingId ?? 'none'} and credited ${credited ?? 'none'}`,
    );
  }
}

function compareReview(
  facts: HistoryFacts,
  records: Records,
  postings: readonly PostingRecord[],
  explained: Set<string>,
  tell: Tell,
): void {
  const input = facts.input as ReviewInput;
  const callback = records.callbacks.get(input.inboxId);
  const { payment } = input;
  if (payment !== undefined && payment !== null) comparePayment(payment, callback, tell);
  else if (callback === undefined) tell('callback_changed', `there is no callback ${input.inboxId}`);
  compareParked(facts, 'park', postings, explained, tell);
  const limit = input.order?.settings.reviewLimit ?? '0';
  const amount = payment?.transactionAmount ?? null;
  compareDecisions(facts, records, postings, explained, amount, limit, tell);
  const stands = records.cases.get(facts.workflowId);
  if (stands === undefined) return tell('decision_unrecorded', 'there is no case');
  if (facts.end?.status !== 'completed') return;
  const result = facts.end.result as { decision: string; postingId: string | null; decidedBy: string };
  if (
    !stands.closed ||
    stands.decision !== result.decision ||
    stands.postingId !== result.postingId ||
    stands.decidedBy !== result.decidedBy
  ) {
    tell(
      'decision_unrecorded',
      `shown as ${stands.decision ?? 'open'} by ${stands.decidedBy ?? 'nobody'}, its history ended ${result.decision} by ${result.decidedBy}`,
    );
  }
}

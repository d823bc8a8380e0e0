import type { HistoryFacts, HistoryStep } from '../../archive/history.ts';
import { providerOf, type Payment, type ProviderName } from '../../domain/order.ts';
import type { FindingKind } from '../report/findings.ts';
import type { CallbackRecord, PostingRecord, Records } from '../tables/rows.ts';
import { canonicalText } from '../../encoding/canonical-json.ts';
import { reviewOutcome, clearingOf, suspenseOf, parkKey } from '../../domain/ids.ts';
import type { DepositInput, ReviewInput } from '../../workflows/messages.ts';
import type { Placement } from '../../activities/placement.ts';

/** One history with its rows: the input of all comparisons. */
export interface Comparison {
  readonly facts: HistoryFacts;
  readonly records: Records;
  /** The id in rows and postings: the workflow's own, or that of the case which it holds for an earlier workflow. */
  readonly id: string;
  /** Postings with its id. */
  readonly postings: readonly PostingRecord[];
  /** Ids of the postings that the history explains; the comparisons add to it. */
  readonly explained: Set<string>;
  /** Adds a finding. `where`: by default the workflow. */
  readonly tell: (kind: FindingKind, detail: string, where?: string) => void;
}

export type Update = Extract<HistoryStep, { kind: 'update' }>;
export type Activity = Extract<HistoryStep, { kind: 'activity' }>;

/** Activities that completed: after a failed local activity the durable one counts. */
export const activities = (facts: HistoryFacts, name: string): readonly Activity[] =>
  facts.steps.filter((step): step is Activity => step.kind === 'activity' && step.name === name && !step.failed);

/** The case that a workflow holds, or the deposit it is. */
export function subjectOf({ workflowId, input }: HistoryFacts): string {
  const named = (input as { readonly workflowId?: unknown } | null | undefined)?.workflowId;
  return workflowId.startsWith('deposit:') || typeof named !== 'string' ? workflowId : named;
}

/** Ids of all callbacks that a history names. */
export function inboxIdsIn(facts: HistoryFacts): string[] {
  const said = facts.steps.flatMap((step): unknown[] => {
    if (step.kind === 'signal') return [step.input];
    if (step.kind !== 'activity') return [];
    return [step.result, (step.result as { readonly binds?: unknown } | null | undefined)?.binds];
  });
  return [facts.input, ...said].flatMap((one) => {
    const id = (one as { readonly inboxId?: unknown } | null | undefined)?.inboxId;
    return typeof id === 'string' ? [id] : [];
  });
}

export const placementOf = (facts: HistoryFacts): Placement | undefined =>
  [...activities(facts, 'placeOrder'), ...activities(facts, 'settlePlacement')].at(-1)?.result as Placement | undefined;

/** The provider of the history's deposit. */
export const providerIn = ({ input }: HistoryFacts): ProviderName => {
  const { order, ...deposit } = input as DepositInput & Pick<ReviewInput, 'order'>;
  return providerOf(order ?? deposit);
};

/** One text for every order of keys. */
export const canonical = (value: unknown): string =>
  value === undefined ? 'nothing' : canonicalText(JSON.parse(JSON.stringify(value)));

/** The payment in the history must equal the inbox row. */
export function comparePayment({ tell }: Comparison, payment: Payment, callback: CallbackRecord | undefined): void {
  if (callback === undefined) return tell('credit_without_evidence', `there is no callback ${payment.inboxId}`);
  const where = `callback ${callback.id}`;
  if (callback.data === null)
    return tell('callback_changed', 'it cannot be read, and its history was told of it', where);
  for (const field of ['transactionCode', 'transactionAmount', 'currencyCode', 'paymentPrice'] as const) {
    if (callback.data[field] === payment[field]) continue;
    const stands = `${field} is ${callback.data[field]}`;
    tell('evidence_differs', `${stands}, its history was told ${payment[field]}`, where);
  }
  if (Date.parse(callback.receivedAt) !== Date.parse(payment.receivedAt)) {
    const detail = `received ${callback.receivedAt}, its history was told ${payment.receivedAt}`;
    tell('evidence_differs', detail, where);
  }
}

/**
 * The outcome of a callback that the history sent to review is its case. A missing outcome is a finding about the
 * callback.
 */
export function compareCaseOutcome(
  { records, tell }: Pick<Comparison, 'records' | 'tell'>,
  inboxId: string,
  caseId: string,
) {
  const callback = records.callbacks.get(inboxId);
  const outcome = callback?.outcome ?? null;
  if (outcome === null || outcome === reviewOutcome(caseId)) return;
  const came = `callback ${inboxId} came to ${outcome}`;
  tell('callback_outcome_differs', `${came}, its history to the case ${caseId}`);
}

/** The posting that the history names, if it exists under this workflow with the decided facts. */
export function expectPosting(
  { postings, explained, tell }: Comparison,
  id: string,
  expected: Partial<PostingRecord>,
): PostingRecord | undefined {
  explained.add(id);
  const posting = postings.find((one) => one.id === id);
  if (posting === undefined) {
    tell('posting_missing', `its history says posting ${id}, which is not in the books under this workflow`);
    return undefined;
  }
  for (const [field, value] of Object.entries(expected)) {
    const stands = posting[field as keyof PostingRecord];
    if (stands === value) continue;
    tell('posting_differs', `${field} is ${String(stands)}, its history says ${String(value)}`, `posting ${id}`);
  }
  return posting;
}

/** The account that a posting put the money into. */
export const placeOf = ({ amount, debit, credit }: PostingRecord): string => (amount.startsWith('-') ? debit : credit);

/** Money that was parked when the case opened: the whole received amount, with the posting in the case's row. */
export function compareParked(
  on: Comparison,
  activity: 'recordReview' | 'park',
  payment: Payment | null,
  deposit: string | null,
): void {
  const provider = providerIn(on.facts);
  const stands = on.records.cases.get(on.id);
  // A deposit's own payment is parked only if it is late and has no other fault.
  const asked = activity === 'park' || stands?.reason === 'LATE';
  for (const { result } of activities(on.facts, activity)) {
    // In histories of v1 the activity returns nothing; and for an unbound payment nothing is written.
    if (result === null || 'binds' in (result as object)) continue;
    const { postingId, codeStands } = result as ParkedAnswer;
    if (codeStands && payment !== null) compareElsewhere(on, payment);
    if (asked && (postingId === null) !== codeStands)
      on.tell(
        'decision_differs',
        `to be parked: posting ${postingId ?? 'none'}, and the code stood elsewhere: ${codeStands}`,
      );
    if (postingId === null) continue;
    if (stands !== undefined && stands.doubted === null && stands.parked !== postingId)
      on.tell('decision_unrecorded', `the case parked ${stands.parked ?? 'nothing'}, its history posting ${postingId}`);
    expectPosting(on, postingId, {
      kind: 'suspense',
      debit: clearingOf(provider),
      credit: suspenseOf(provider),
      deposit,
      ...(payment === null ? {} : { key: parkKey(provider, payment.transactionCode), ...received(payment) }),
    });
  }
}

interface ParkedAnswer {
  readonly postingId: string | null;
  readonly codeStands: boolean;
}

/** The code is used up by a posting of another workflow. */
export function compareElsewhere({ id, records, tell }: Comparison, payment: Payment): void {
  const holder = records.codes.get(payment.transactionCode);
  if (holder !== undefined && holder !== id) return;
  const who = holder === undefined ? 'no posting' : 'its own posting';
  tell('decision_differs', `its history says that ${payment.transactionCode} stood elsewhere; ${who} has it`);
}

/** The facts of an incoming payment, as posted. */
export const received = (payment: Omit<Payment, 'inboxId' | 'receivedAt'>) => ({
  transactionCode: payment.transactionCode,
  amount: payment.transactionAmount,
  fee: '0',
  fiat: payment.currencyCode,
  fiatAmount: payment.paymentPrice,
});

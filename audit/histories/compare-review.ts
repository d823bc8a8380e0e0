import { type ReviewInput } from '../../workflows/messages.ts';
import {
  activities,
  canonical,
  compareCaseOutcome,
  type Comparison,
  compareElsewhere,
  compareParked,
  comparePayment,
} from './comparing.ts';
import { compareGiven } from './compare-given.ts';
import { compareDecisions, type CaseDecision } from './compare-people.ts';
import { compareReviewTimes } from './compare-times.ts';
import type { CallbackRecord, CaseRecord } from '../tables/rows.ts';
import { caseWorkflowId } from '../../domain/ids.ts';

/** Compares the history of a separate case with its row, its callback and its postings. */
export function compareReview(on: Comparison): void {
  const { facts, records, tell } = on;
  const input = facts.input as ReviewInput;
  const callback = records.callbacks.get(input.inboxId);
  compareIds(on, input, callback);
  const payment = input.payment ?? null;
  if (payment !== null) comparePayment(on, payment, callback);
  if (callback === undefined) tell('callback_changed', `there is no callback ${input.inboxId}`);
  else compareAbout(on, input, callback);
  if (!on.id.includes(':reversal:')) compareCaseOutcome(on, input.inboxId, on.id);
  compareParked(on, 'park', payment, callback?.deposit ?? null);
  const deposit = (input.order === undefined ? input : input.order)?.externalOrderNumber ?? null;
  const reviewLimit = input.order?.settings.reviewLimit ?? '0';
  const decided = compareDecisions(on, { payment, deposit, reviewLimit, tip: tipOf(on, input) });
  const stands = records.cases.get(on.id);
  if (stands === undefined) return tell('decision_unrecorded', 'there is no case');
  compareCase(on, input, stands);
  compareResult(on, decided);
  if (facts.end === null && stands.closedAt !== null && (stands.heldBy ?? on.id) === facts.workflowId)
    tell('decision_unrecorded', `the case was closed ${stands.closedAt}, and its workflow has not ended`);
  compareGiven(on, null, []);
  compareReviewTimes(on, input, stands);
}

/**
 * The id of a case follows from its callback, and the id of its workflow from the case, unless an earlier workflow held
 * it.
 */
function compareIds(
  { facts, id, records, tell }: Comparison,
  input: ReviewInput,
  callback: CallbackRecord | undefined,
) {
  const differs = (says: string) => tell('decision_unrecorded', `its history is that of ${says}`);
  const { heldBy = id } = input;
  if (facts.workflowId !== heldBy || caseWorkflowId(input) !== id)
    return differs(input.heldBy ?? caseWorkflowId(input));
  const [, inboxId, uid] = /^review:(\d+)(?:-([0-9a-f]{8}))?(?::reversal:\d+)?$/.exec(id) ?? [];
  if (inboxId !== input.inboxId || (uid !== undefined && callback?.uid?.startsWith(uid) !== true))
    return differs(`callback ${input.inboxId}, and it is called ${id}`);
  if (heldBy === id) return;
  const again = Number(/^:again:(\d+)$/.exec(heldBy.replace(id, ''))?.[1] ?? 0);
  const stands = Number(/:again:(\d+)$/.exec(records.cases.get(id)?.heldBy ?? '')?.[1] ?? 0);
  if (again === 0 || again > stands)
    tell('decision_unrecorded', `${heldBy} held it, the case names ${records.cases.get(id)?.heldBy ?? 'nobody'}`);
}

/** The newest posting of its money when the case was opened, as far as its history says. */
function tipOf({ facts }: Comparison, { doubt }: ReviewInput): string | null {
  const [parking] = activities(facts, 'park');
  return doubt?.postingId ?? (parking?.result as { readonly postingId: string | null } | undefined)?.postingId ?? null;
}

/** Compares its callback and its deposit with the inbox and the deposit's row. */
function compareAbout({ records, tell }: Comparison, input: ReviewInput, callback: CallbackRecord): void {
  const where = `callback ${callback.id}`;
  const said: Record<string, unknown> = {
    externalOrderNumber: input.externalOrderNumber,
    transactionCode: input.transactionCode,
  };
  const stands: Record<string, unknown> = {
    externalOrderNumber: callback.externalOrderNumber,
    transactionCode: callback.data?.transactionCode ?? null,
  };
  // Histories of v1 hold none of these, later ones all of them.
  const told = [input.payment, input.order, input.standing].filter((one) => one !== undefined).length;
  if (told !== 0 && told !== 3) tell('decision_differs', 'it was not told of payment, order and standing together');
  if (input.payment !== undefined) {
    said['inboxId'] = input.payment?.inboxId ?? null;
    stands['inboxId'] = callback.data === null ? null : callback.id;
  }
  if (input.order !== undefined) {
    said['order'] = canonical(input.order);
    stands['order'] = orderOf(records.deposits, callback.deposit, Object.keys(input.order ?? {}));
  }
  for (const [field, value] of Object.entries(said)) {
    if (stands[field] !== value)
      tell('evidence_differs', `${field} is ${String(stands[field])}, its history was told ${String(value)}`, where);
  }
}

function orderOf(deposits: Comparison['records']['deposits'], n: string | null, fields: readonly string[]): string {
  const row = n === null ? undefined : deposits.get(n);
  if (row === undefined) return canonical(null);
  return canonical(Object.fromEntries(fields.map((field) => [field, row[field as keyof typeof row]])));
}

/** Reasons of cases that doubt a credit or a decision. */
const DOUBTS: readonly string[] = ['CREDIT_IN_DOUBT', 'DECISION_IN_DOUBT'];

/**
 * Compares the reason of the case, its standing when it was opened, the doubted posting, and the operator who doubts
 * it.
 */
function compareCase(on: Comparison, input: ReviewInput, stands: CaseRecord): void {
  const { tell } = on;
  const { doubt, standing, payment } = input;
  const differs = (field: string, shown: unknown, says: unknown) =>
    shown === says ||
    tell('decision_unrecorded', `the case has ${field} ${String(shown)}, its history says ${String(says)}`);
  differs('callback', stands.inboxId, input.inboxId);
  differs('reason', stands.reason, input.reason);
  differs('posting in doubt', stands.doubted, doubt?.postingId ?? null);
  if (doubt !== undefined) {
    differs('opened by', stands.openedBy, doubt.operator);
    differs('detail', stands.detail, doubt.reason);
  } else if (input.said !== undefined) differs('detail', stands.detail, input.said);
  // Histories of v1 hold no standing.
  if (standing === undefined) return;
  // Doubted money was decided about before, so there is a posting to doubt.
  const isDecided = standing === 'credited' || standing === 'withdrawn' || standing === 'returned';
  const isUnbooked = standing === 'nothing' || standing === 'unreadable';
  if ((isDecided && doubt === undefined) || (isUnbooked && doubt !== undefined))
    tell('decision_differs', `opened as ${standing}, ${doubt ? 'in' : 'not in'} doubt`);
  if (doubt === undefined ? stands.reason === 'CREDIT_IN_DOUBT' : !DOUBTS.includes(stands.reason))
    tell('decision_differs', `opened as ${stands.reason}, ${doubt ? 'in' : 'not in'} doubt`);
  // An unreadable payment that is booked was stated by operators.
  if ((standing === 'unreadable' && payment !== null) || (standing === 'nothing' && payment === null)) {
    const reading = payment === null ? 'a callback that cannot be read' : 'a callback that can be read';
    tell('decision_differs', `opened as ${standing}, for ${reading}`);
  }
  if (standing === 'parked' && doubt === undefined && stands.parked === null)
    tell('decision_differs', `opened as ${standing}, and nothing was parked`);
  if (standing === 'elsewhere' && payment) compareElsewhere(on, payment);
}

/** The result of the workflow is the decision. */
function compareResult({ facts, tell }: Comparison, decided: CaseDecision | undefined): void {
  if (facts.end?.status !== 'completed') return;
  const { decision, postingId, decidedBy } = facts.end.result as Omit<CaseDecision, 'toOther' | 'settled'>;
  const steps = { decision: decided?.decision, postingId: decided?.postingId, decidedBy: decided?.decidedBy };
  if (canonical({ decision, postingId, decidedBy }) === canonical(steps)) return;
  const ended = `its history ended ${decision} by ${decidedBy}, posting ${postingId ?? 'none'}`;
  tell('decision_differs', `${ended}; its steps say ${canonical(steps)}`);
}

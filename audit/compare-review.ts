import { caseWorkflowId, type ReviewInput } from '../workflows/messages.ts';
import { canonical, type Compared, compareElsewhere, compareParked, comparePayment } from './comparing.ts';
import { compareGiven } from './compare-given.ts';
import { compareDecisions, type Decided } from './compare-people.ts';
import { compareReviewTimes } from './compare-times.ts';
import type { CallbackRecord, CaseRecord } from './rows.ts';

/** The history of a case of its own beside its row, its callback and its postings. */
export function compareReview(on: Compared): void {
  const { facts, records, tell } = on;
  const input = facts.input as ReviewInput;
  if (facts.workflowId !== caseWorkflowId(input))
    tell('decision_unrecorded', `its history is that of ${caseWorkflowId(input)}`);
  const callback = records.callbacks.get(input.inboxId);
  const payment = input.payment ?? null;
  if (payment !== null) comparePayment(on, payment, callback);
  if (callback === undefined) tell('callback_changed', `there is no callback ${input.inboxId}`);
  else compareAbout(on, input, callback);
  compareParked(on, 'park', payment, callback?.deposit ?? null);
  const deposit = (input.order === undefined ? input : input.order)?.externalOrderNumber ?? null;
  const reviewLimit = input.order?.settings.reviewLimit ?? '0';
  const decided = compareDecisions(on, { payment, deposit, reviewLimit });
  const stands = records.cases.get(facts.workflowId);
  if (stands === undefined) return tell('decision_unrecorded', 'there is no case');
  compareCase(on, input, stands);
  compareResult(on, decided);
  compareGiven(on, payment, null);
  compareReviewTimes(on, input, stands);
}

/** Which callback it is about, and for which deposit, as the inbox and the deposit's row have it. */
function compareAbout({ records, tell }: Compared, input: ReviewInput, callback: CallbackRecord): void {
  const where = `callback ${callback.id}`;
  const said: Record<string, unknown> = {
    externalOrderNumber: input.externalOrderNumber,
    transactionCode: input.transactionCode,
  };
  const stands: Record<string, unknown> = {
    externalOrderNumber: callback.externalOrderNumber,
    transactionCode: callback.data?.transactionCode ?? null,
  };
  // The first release told none of these, and all that came after tell all.
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

function orderOf(deposits: Compared['records']['deposits'], n: string | null, fields: readonly string[]): string {
  const row = n === null ? undefined : deposits.get(n);
  if (row === undefined) return canonical(null);
  return canonical(Object.fromEntries(fields.map((field) => [field, row[field as keyof typeof row]])));
}

/** Why it is a case, what the books held when it was opened, and who doubts what. */
function compareCase(on: Compared, input: ReviewInput, stands: CaseRecord): void {
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
  }
  // The first release did not say.
  if (standing === undefined) return;
  const isDoubt = standing === 'credited' || standing === 'withdrawn';
  if (isDoubt !== (doubt !== undefined))
    tell('decision_differs', `opened as ${standing}, ${doubt ? 'in' : 'not in'} doubt`);
  if ((standing === 'unreadable') !== (payment === null)) {
    const reading = payment === null ? 'a callback that cannot be read' : 'a callback that can be read';
    tell('decision_differs', `opened as ${standing}, for ${reading}`);
  }
  const isParked = standing === 'parked' || standing === 'withdrawn';
  if (isParked && stands.parked === null) tell('decision_differs', `opened as ${standing}, and nothing was parked`);
  if (standing === 'elsewhere' && payment) compareElsewhere(on, payment);
}

/** How it ended is how it was decided. */
function compareResult({ facts, tell }: Compared, decided: Decided | undefined): void {
  if (facts.end?.status !== 'completed') return;
  const { decision, postingId, decidedBy } = facts.end.result as Omit<Decided, 'toOther'>;
  const steps = { decision: decided?.decision, postingId: decided?.postingId, decidedBy: decided?.decidedBy };
  if (canonical({ decision, postingId, decidedBy }) === canonical(steps)) return;
  const ended = `its history ended ${decision} by ${decidedBy}, posting ${postingId ?? 'none'}`;
  tell('decision_differs', `${ended}; its steps say ${canonical(steps)}`);
}

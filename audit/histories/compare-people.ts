import { actorOf, type Decision, needsTwo, type DecisionAnswer } from '../../domain/decision.ts';
import type { Payment } from '../../domain/order.ts';
import { type Activity, activities, canonical, type Comparison, type Update } from './comparing.ts';
import { compareBroughtIn, compareMoved } from './compare-moved.ts';
import type { StatedRecord, StepRecord } from '../tables/rows.ts';

/** The subject of a case: a payment, null when it cannot be read; the deposit it claims, null when there is none. */
export interface SubjectRecord {
  readonly payment: Payment | null;
  readonly deposit: string | null;
  readonly reviewLimit: string;
  /** The newest posting of its money when the case was opened; null: none, or not known. */
  readonly tip: string | null;
}

/** The decision that closed the case. */
export interface CaseDecision {
  readonly decision: Decision;
  readonly postingId: string | null;
  readonly decidedBy: string;
  /** The money went into the wallet of another deposit than the one it was paid for. */
  readonly toOther: boolean;
  /** Older histories do not hold this, and ended as credited. */
  readonly elsewhere?: true;
  /** The other payment that the deposit was credited with. */
  readonly settled?: { readonly postingId: string; readonly transactionCode: string | null };
}

/**
 * Compares every operator's step, and every decision that was carried out: its operators with the rows, and its
 * postings. Returns the last decision, if the case was decided.
 */
export function compareDecisions(on: Comparison, subject: SubjectRecord): CaseDecision | undefined {
  const rows = on.records.steps.get(on.id) ?? [];
  const updates = on.facts.steps.filter((step): step is Update => step.kind === 'update');
  for (const update of updates) compareStep(on, update, rows);
  compareBroughtIn(on, subject, confirmedCredits(updates, rows));
  let { tip } = subject;
  let decided: CaseDecision | undefined;
  const decisions = activities(on.facts, 'decide');
  for (const [i, step] of decisions.entries()) {
    const people = peopleOf(on, step, updates, rows);
    const answer = step.result as DecisionAnswer;
    const isAskedAgain = decisions.slice(i + 1).some(({ input }) => canonical(input) === canonical(step.input));
    compareCarried(on, step, answer, isAskedAgain);
    if (people === null || answer.kind === 'refused') continue;
    compareWho(on, subject, people, answer);
    compareMoved(on, { ...subject, tip }, people, answer);
    compareSettled(on, subject, answer);
    tip = answer.postingId ?? tip;
    const { toDeposit } = people.proposal;
    const toOther = answer.kind === 'decided' && toDeposit !== null && toDeposit !== subject.deposit;
    if (answer.kind === 'decided') decided = { ...answer, toOther };
  }
  // The workflow learned the decision from the row, which is compared with the ledger elsewhere.
  for (const { result } of activities(on.facts, 'caseOutcome')) {
    const found = result as DecisionAnswer | { kind: 'open' };
    if (found.kind === 'decided') decided ??= { ...found, toOther: false };
  }
  compareLeftOut(on, updates);
  compareClosed(on, decided);
  compareShown(on, updates);
  return decided;
}

/** The proposal that an open case shows is the waiting one, as far as its history alone says so. */
function compareShown({ facts, id, records, tell }: Comparison, updates: readonly Update[]): void {
  const stands = records.cases.get(id);
  const isAnswered = updates.every(({ outcome, refusal }) => outcome !== undefined || refusal !== null);
  if (stands === undefined || stands.closedAt !== null || stands.heldBy !== null || facts.end !== null || !isAnswered)
    return;
  const last = facts.steps.findLast(
    (step) =>
      (step.kind === 'update' && step.name !== 'confirm' && !isRefused(step)) ||
      (step.kind === 'activity' && (step.name === 'decide' || step.name === 'caseOutcome')),
  );
  // After a question to the row, or a decision that was not carried out, either is possible.
  if (last?.kind === 'activity' && (last.name === 'caseOutcome' || (last.result as DecisionAnswer).kind === 'refused'))
    return;
  const waits = last?.kind === 'update' && last.name === 'propose' ? (last.input as Said).decisionId : null;
  if (stands.proposal !== waits)
    tell(
      'decision_unrecorded',
      `the case shows proposal ${stands.proposal ?? 'none'}, in its history waits ${waits ?? 'none'}`,
    );
}

/** An operator's accepted update equals the row that was stored before it. */
function compareStep({ records, tell }: Comparison, update: Update, rows: readonly StepRecord[]): void {
  // A forged step, or one that came too late: the workflow refused it, so it changed nothing.
  if (isRefused(update)) return;
  const { decisionId, proposalId = null, beside = null, onlyOrdered = false, ...said } = update.input as Said;
  const { name } = update;
  const row = rows.find(({ id }) => id === decisionId);
  if (row === undefined) return tell('decision_unrecorded', `step ${decisionId}, ${name}, is not written down`);
  for (const [field, value] of Object.entries({ step: name, proposal: proposalId, beside, onlyOrdered, ...said })) {
    const written = row[field as keyof StepRecord];
    if (written === value) continue;
    const detail = `step ${decisionId}: ${field} is written down as ${String(written)}`;
    tell('decision_unrecorded', `${detail}, its history was told ${String(value)}`);
  }
  const refusal = records.refused.get(decisionId);
  if (refusal !== undefined && update.outcome !== undefined)
    tell('decision_unrecorded', `step ${decisionId} is written down as refused, ${refusal}, and its history took it`);
}

/** Whether the update was refused: by its failure or, for a confirmation that is in no table, by its answer. */
function isRefused({ refusal, outcome }: Update): boolean {
  const answer = outcome as Partial<Extract<DecisionAnswer, { kind: 'refused' }>> | null | undefined;
  return refusal !== null || answer?.refusal === 'not_written';
}

interface Said {
  readonly decisionId: string;
  readonly proposalId?: string;
  readonly beside?: string | null;
  readonly onlyOrdered?: boolean;
  readonly [field: string]: unknown;
}

/** Two rows that name each other. */
export interface DecisionPair {
  readonly proposal: StepRecord;
  readonly confirmation: StepRecord;
}

function pairOf(rows: readonly StepRecord[], proposalId: unknown, confirmationId: unknown): DecisionPair | null {
  const proposal = rows.find((row) => row.id === proposalId && row.step === 'propose');
  const confirmation = rows.find((row) => row.id === confirmationId && row.step === 'confirm');
  if (proposal === undefined || confirmation === undefined || confirmation.proposal !== proposal.id) return null;
  return { proposal, confirmation };
}

/** Confirmed proposals to credit, whatever their result: each may have booked money. */
const confirmedCredits = (updates: readonly Update[], rows: readonly StepRecord[]): DecisionPair[] =>
  updates.flatMap((update) => {
    if (update.name !== 'confirm' || isRefused(update)) return [];
    const { proposalId, decisionId } = update.input as Said;
    const people = pairOf(rows, proposalId, decisionId);
    return people?.proposal.decision === 'credit' ? [people] : [];
  });

/**
 * The two rows that a decision names; null, with a finding: they do not exist, or the history has no such confirmation.
 */
function peopleOf(
  { id, tell }: Comparison,
  step: Activity,
  updates: readonly Update[],
  rows: readonly StepRecord[],
): DecisionPair | null {
  const { eventId, result } = step;
  const { item, proposalId, confirmationId } = itemOf(step);
  // The last of several that name the same row: the row did not exist before it.
  const confirmed = updates.findLast(
    ({ name, input: said, eventId: heardAt, refusal }) =>
      name === 'confirm' && (said as Said).decisionId === confirmationId && heardAt < eventId && refusal === null,
  );
  const asked = { workflowId: id, proposalId: (confirmed?.input as Said | undefined)?.proposalId };
  if (confirmed === undefined || canonical(item) !== canonical({ ...asked, confirmationId }))
    tell('decision_unrecorded', `event ${eventId}: what was to be decided is not what was confirmed`);
  const heard = confirmed?.outcome;
  if (heard !== undefined && canonical(heard) !== canonical(result))
    tell(
      'decision_differs',
      `event ${eventId}: who confirmed was told ${canonical(heard)}, it came to ${canonical(result)}`,
    );
  // The database refused it for this very reason: no money moved, and the missing step is a finding already.
  if ((result as DecisionAnswer).kind === 'refused') return null;
  const isProposed = updates.some(
    (update) =>
      update.name === 'propose' && !isRefused(update) && (update.input as Said).decisionId === String(proposalId),
  );
  const people = pairOf(rows, proposalId, confirmationId);
  if (people !== null && isProposed) return people;
  const detail = `decided as ${String(proposalId)} and ${String(confirmationId)}, which are not written down so`;
  tell('decision_unrecorded', detail);
  return null;
}

function itemOf({ input }: Activity): {
  readonly item: unknown;
  readonly proposalId: unknown;
  readonly confirmationId: unknown;
} {
  const [item] = (Array.isArray(input) ? input : []) as { proposalId?: unknown; confirmationId?: unknown }[];
  return { item, proposalId: item?.proposalId, confirmationId: item?.confirmationId };
}

/** Refusals without a `carried` row: the confirmation was forged, or the case was closed. */
const UNCARRIED = ['not_written', 'case_closed'];

/**
 * The result in the `carried` row equals the result in the history, for refusals too. `isAskedAgain`: a later decision
 * names the same rows, so the row is about that one.
 */
function compareCarried(on: Comparison, step: Activity, answer: DecisionAnswer, isAskedAgain: boolean): void {
  const { records, tell } = on;
  const { proposalId, confirmationId } = itemOf(step);
  const row = records.carried.get(String(proposalId));
  const isUncarried = answer.kind === 'refused' && UNCARRIED.includes(answer.refusal);
  if (isUncarried && (isAskedAgain || row?.confirmation !== confirmationId)) return;
  if (row === undefined) {
    if (isCarriedSince(on, answer))
      tell('decision_unrecorded', `proposal ${String(proposalId)} came to ${answer.kind}, which is not written down`);
    return;
  }
  const carried = { confirmation: row.confirmation, answer: row.answer };
  if (canonical(carried) === canonical({ confirmation: confirmationId, answer })) return;
  const detail = `proposal ${row.proposal} is written down as ${canonical(carried)}`;
  tell('decision_unrecorded', `${detail}, its history says ${canonical({ confirmation: confirmationId, answer })}`);
}

/** Whether code that writes `carried` rows carried it out: by its posting, or by the case's other answers. */
function isCarriedSince({ facts, postings }: Comparison, answer: DecisionAnswer): boolean {
  const posting = answer.kind === 'refused' ? undefined : postings.find(({ id }) => id === answer.postingId);
  if (posting !== undefined) return posting.key.startsWith('after:');
  const shown = activities(facts, 'recordProposal');
  return shown.length > 0 && shown.every(({ result }) => result !== null);
}

/** A history that has ended holds the result of every proposal in it. */
function compareLeftOut({ facts, records, tell }: Comparison, updates: readonly Update[]): void {
  if (facts.end?.status !== 'completed') return;
  const heard = new Set(activities(facts, 'decide').map((step) => itemOf(step).proposalId));
  for (const update of updates) {
    const { decisionId } = update.input as Said;
    if (update.name === 'propose' && records.carried.has(decisionId) && !heard.has(decisionId))
      tell(
        'decision_unrecorded',
        `proposal ${decisionId} is written down as carried out, its history knows nothing of it`,
      );
  }
}

type Carried = Exclude<DecisionAnswer, { kind: 'refused' }>;

function compareWho(
  { records, tell }: Comparison,
  { payment, reviewLimit }: SubjectRecord,
  { proposal, confirmation }: DecisionPair,
  answer: Carried,
): void {
  const amount = payment?.transactionAmount ?? null;
  if (needsTwo({ amount, reviewLimit }, proposal) && proposal.operator === confirmation.operator) {
    const what = `${proposal.operator} proposed and confirmed ${amount ?? 'an unreadable amount'} MTC`;
    const beside = proposal.beside === null ? '' : ` beside posting ${proposal.beside}`;
    tell('decided_by_one', `${what}${beside}, limit ${reviewLimit}`);
  }
  const [first, second] = [records.stated.get(proposal.id), records.stated.get(confirmation.id)];
  if (factsOf(first) !== factsOf(second))
    tell('decision_differs', `proposal ${proposal.id}: carried out, and the two people state other facts`);
  const actor = actorOf(proposal.operator, confirmation.operator);
  if (answer.decidedBy !== actor) tell('decision_differs', `decided by ${answer.decidedBy}, the rows say ${actor}`);
  if (answer.kind === 'decided' && answer.decision !== proposal.decision)
    tell('decision_differs', `decided ${answer.decision}, proposed ${proposal.decision}`);
  if (proposal.decision === 'restore') return;
  if ((proposal.decision === 'reverse' && proposal.keep) !== (answer.kind === 'withdrawn'))
    tell('decision_differs', `proposed ${proposal.keep ? 'to keep' : 'not to keep'} the money in suspense`);
}

function factsOf(stated: StatedRecord | undefined): string {
  const { decision: _, ...facts } = stated ?? {};
  return canonical(facts);
}

/** The payment that the deposit shows when its own was not credited: one that is in its wallet. */
function compareSettled({ records, tell }: Comparison, { deposit }: SubjectRecord, answer: Carried): void {
  const settled = answer.kind === 'decided' ? answer.settled : undefined;
  if (settled === undefined) return;
  const posting = records.named.get(settled.postingId);
  const row = deposit === null ? undefined : records.deposits.get(deposit);
  const stands = {
    posting: row?.postingId ?? null,
    deposit: posting?.deposit ?? null,
    wallet: posting?.credit ?? null,
    code: posting === undefined ? null : (records.named.get(posting.root)?.transactionCode ?? null),
  };
  const said = {
    posting: settled.postingId,
    deposit,
    wallet: `wallet:${row?.wallet}`,
    code: settled.transactionCode,
  };
  if (canonical(stands) === canonical(said)) return;
  tell('deposit_row_differs', `its history says credited with ${canonical(said)}, the books ${canonical(stands)}`);
}

/** Compares the case's row. Only the workflow that holds the case last decides it. */
function compareClosed({ facts, id, records, tell }: Comparison, decided: CaseDecision | undefined): void {
  const stands = records.cases.get(id);
  if (stands === undefined || facts.end?.status !== 'completed') return;
  if (stands.heldBy !== null && stands.heldBy !== facts.workflowId) return;
  const shown = { decision: stands.decision, decidedBy: stands.decidedBy, postingId: stands.postingId };
  const { decision = null, decidedBy = null, postingId = null } = decided ?? {};
  if (canonical(shown) === canonical({ decision, decidedBy, postingId })) return;
  const says = `shown as ${shown.decision ?? 'open'} by ${shown.decidedBy ?? 'nobody'}, posting ${shown.postingId ?? 'none'}`;
  const ended = `its history decided ${decision ?? 'nothing'} by ${decidedBy ?? 'nobody'}, posting ${postingId ?? 'none'}`;
  tell('decision_unrecorded', `${says}; ${ended}`);
}

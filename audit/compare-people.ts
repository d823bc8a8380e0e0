import { actorOf, type Decision, needsTwo } from '../domain/decision.ts';
import type { Payment } from '../domain/order.ts';
import type { Concluded } from '../workflows/messages.ts';
import { type Activity, activities, canonical, type Compared, expectPosting, type Update } from './comparing.ts';
import type { PostingRecord, StepRecord } from './rows.ts';

/** What is decided about: a payment, null when it cannot be read; the deposit it claims, null when there is none. */
interface Subject {
  readonly payment: Payment | null;
  readonly deposit: string | null;
  readonly reviewLimit: string;
}

/** The decision that closed the case. */
export interface Decided {
  readonly decision: Decision;
  readonly postingId: string | null;
  readonly decidedBy: string;
  /** The money went into the wallet of another deposit than the one it was paid for. */
  readonly toOther: boolean;
}

/**
 * Every step that people took, and every decision that was carried out: who it was, by the rows, and what was posted
 * for it. Answers the last decision, if the case was decided.
 */
export function compareDecisions(on: Compared, subject: Subject): Decided | undefined {
  const rows = on.records.steps.get(on.facts.workflowId) ?? [];
  const updates = on.facts.steps.filter((step): step is Update => step.kind === 'update');
  for (const update of updates) compareStep(on, update, rows);
  let decided: Decided | undefined;
  for (const step of activities(on.facts, 'decide')) {
    const people = peopleOf(on, step, updates, rows);
    const answer = step.result as Concluded;
    if (people === null || answer.kind === 'refused') continue;
    compareWho(on, subject, people, answer);
    compareMoved(on, subject, people, answer);
    const { toDeposit } = people.proposal;
    const toOther = answer.kind === 'decided' && toDeposit !== null && toDeposit !== subject.deposit;
    if (answer.kind === 'decided') decided = { ...answer, toOther };
  }
  compareClosed(on, decided);
  return decided;
}

/** What a history was told by people is what they wrote down first, word by word. */
function compareStep({ tell }: Compared, { name, input }: Update, rows: readonly StepRecord[]): void {
  const { decisionId, proposalId = null, ...said } = input as Said;
  const row = rows.find(({ id }) => id === decisionId);
  if (row === undefined) return tell('decision_unrecorded', `step ${decisionId}, ${name}, is not written down`);
  for (const [field, value] of Object.entries({ step: name, proposal: proposalId, ...said })) {
    const written = row[field as keyof StepRecord];
    if (written === value) continue;
    const detail = `step ${decisionId}: ${field} is written down as ${String(written)}`;
    tell('decision_unrecorded', `${detail}, its history was told ${String(value)}`);
  }
}

interface Said {
  readonly decisionId: string;
  readonly proposalId?: string;
  readonly [field: string]: unknown;
}

interface People {
  readonly proposal: StepRecord;
  readonly confirmation: StepRecord;
}

/** The two rows that a decision names; null, and told: they are not there, or nobody confirmed so. */
function peopleOf(
  { facts, tell }: Compared,
  { eventId, input, result }: Activity,
  updates: readonly Update[],
  rows: readonly StepRecord[],
): People | null {
  const [item] = (Array.isArray(input) ? input : []) as { proposalId?: unknown; confirmationId?: unknown }[];
  const { proposalId, confirmationId } = item ?? {};
  const confirmed = updates.find(
    ({ name, input: said }) => name === 'confirm' && (said as Said).decisionId === confirmationId,
  );
  const asked = { workflowId: facts.workflowId, proposalId: (confirmed?.input as Said | undefined)?.proposalId };
  if (confirmed === undefined || canonical(item) !== canonical({ ...asked, confirmationId }))
    tell('decision_unrecorded', `event ${eventId}: what was to be decided is not what was confirmed`);
  const heard = confirmed?.outcome;
  if (heard !== undefined && canonical(heard) !== canonical(result))
    tell(
      'decision_differs',
      `event ${eventId}: who confirmed was told ${canonical(heard)}, it came to ${canonical(result)}`,
    );
  // The books refused it for that very reason: nothing moved, and the missing step is told already.
  if ((result as Concluded).kind === 'refused') return null;
  const proposal = rows.find((row) => row.id === proposalId && row.step === 'propose');
  const confirmation = rows.find((row) => row.id === confirmationId && row.step === 'confirm');
  if (proposal !== undefined && confirmation !== undefined && confirmation.proposal === proposal.id)
    return { proposal, confirmation };
  const detail = `decided as ${String(proposalId)} and ${String(confirmationId)}, which are not written down so`;
  tell('decision_unrecorded', detail);
  return null;
}

type Carried = Exclude<Concluded, { kind: 'refused' }>;

function compareWho(
  { tell }: Compared,
  { payment, reviewLimit }: Subject,
  { proposal, confirmation }: People,
  answer: Carried,
): void {
  const amount = payment?.transactionAmount ?? null;
  if (needsTwo({ amount, reviewLimit }) && proposal.operator === confirmation.operator) {
    const what = `${proposal.operator} proposed and confirmed ${amount ?? 'an unreadable amount'} MTC`;
    tell('decided_by_one', `${what}, limit ${reviewLimit}`);
  }
  const actor = actorOf(proposal.operator, confirmation.operator);
  if (answer.decidedBy !== actor) tell('decision_differs', `decided by ${answer.decidedBy}, the rows say ${actor}`);
  const decision = answer.kind === 'withdrawn' ? 'reverse' : answer.decision;
  if (decision !== proposal.decision) tell('decision_differs', `decided ${decision}, proposed ${proposal.decision}`);
  if (proposal.keep !== (answer.kind === 'withdrawn'))
    tell('decision_differs', `proposed ${proposal.keep ? 'to keep' : 'not to keep'} the money in suspense`);
}

/** The posting of a decision: whose wallet, how much, of which posting, in whose name and why. */
function compareMoved(on: Compared, subject: Subject, { proposal, confirmation }: People, answer: Carried): void {
  const { facts, records, postings, explained, tell } = on;
  const { payment } = subject;
  if (answer.postingId === null) {
    if (proposal.decision !== 'reject')
      tell('decision_differs', `decided ${proposal.decision}, and nothing was posted`);
    return;
  }
  const stands = records.cases.get(facts.workflowId);
  const common: Partial<PostingRecord> = {
    actor: actorOf(proposal.operator, confirmation.operator),
    reason: proposal.reason,
    fee: '0',
    ...(payment === null ? {} : { fiat: payment.currencyCode, fiatAmount: payment.paymentPrice }),
  };
  const posting = expectPosting(on, answer.postingId, {
    ...common,
    ...(proposal.decision === 'credit'
      ? released(on, proposal.toDeposit ?? subject.deposit, payment)
      : { kind: 'reversal' }),
    ...(proposal.decision === 'reverse'
      ? { origin: stands?.doubted ?? null }
      : (stands?.parked ?? null) === null
        ? {}
        : { origin: stands!.parked }),
  });
  if (posting === undefined) return;
  if (payment !== null && posting.amount.replace('-', '') !== payment.transactionAmount) {
    const moved = `moved ${posting.amount} MTC, the callback says ${payment.transactionAmount}`;
    tell('posting_differs', moved, `posting ${posting.id}`);
  }
  // Money that was not parked before was parked in the same transaction.
  if (posting.origin !== null && postings.some(({ id }) => id === posting.origin)) explained.add(posting.origin);
}

function released({ records }: Compared, to: string | null, payment: Payment | null): Partial<PostingRecord> {
  const wallet = to === null ? undefined : records.deposits.get(to)?.wallet;
  return {
    kind: 'release',
    debit: 'suspense:mtpay',
    deposit: to,
    ...(wallet === undefined ? {} : { credit: `wallet:${wallet}` }),
    ...(payment === null ? {} : { amount: payment.transactionAmount }),
  };
}

/** The case as it is shown. */
function compareClosed({ facts, records, tell }: Compared, decided: Decided | undefined): void {
  const stands = records.cases.get(facts.workflowId);
  if (stands === undefined || facts.end?.status !== 'completed') return;
  const shown = { decision: stands.decision, decidedBy: stands.decidedBy, postingId: stands.postingId };
  const { decision = null, decidedBy = null, postingId = null } = decided ?? {};
  if (canonical(shown) === canonical({ decision, decidedBy, postingId })) return;
  const says = `shown as ${shown.decision ?? 'open'} by ${shown.decidedBy ?? 'nobody'}, posting ${shown.postingId ?? 'none'}`;
  const ended = `its history decided ${decision ?? 'nothing'} by ${decidedBy ?? 'nobody'}, posting ${postingId ?? 'none'}`;
  tell('decision_unrecorded', `${says}; ${ended}`);
}

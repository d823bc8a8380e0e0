import { ApplicationFailure, condition, patched, setHandler } from '@temporalio/workflow';
import {
  type CaseState,
  type Confirmation,
  confirmationFault,
  type DecisionFault,
  DECISIONS,
  type Proposal,
  proposalFault,
  type Standing,
  withdrawalFault,
  type DecisionAnswer,
} from '../domain/decision.ts';
import { caseOutcome, decide, recordProposal } from './activity-calls.ts';
import { confirm, propose, withdraw } from './messages.ts';

/** The case as it is when it opens. */
export type CaseSubject = Omit<CaseState, 'open' | 'proposal'>;

/** The visible state of an open case: its current standing in the books and the waiting proposal. */
export type CaseProgress = Pick<CaseState, 'standing' | 'proposal'>;

type Decided = Extract<DecisionAnswer, { kind: 'decided' }>;

/** A case that operators may see already, and may decide as soon as this workflow holds it. */
export interface People {
  /**
   * Holds the case until operators have decided, by the rules of domain/decision.ts, and the decision was carried out.
   * Calls `changed` whenever there is a new state to show.
   */
  decide(opened: CaseSubject, changed: (progress: CaseProgress) => void): Promise<Decided>;
  /**
   * Makes the workflow read the case's row, which may be closed already after Temporal was restored to an older state.
   */
  lookAgain(): void;
  /** There is no case after all: waiting steps are refused, and so is every later one. */
  dismiss(): void;
}

/** The state of a workflow's case and of the operators' steps. */
interface Hearing {
  readonly workflowId: string;
  held: { readonly subject: CaseSubject; readonly changed: (progress: CaseProgress) => void } | null;
  standing: Standing;
  proposal: Proposal | null;
  confirmation: Confirmation | null;
  decided: boolean;
  dismissed: boolean;
  /** The case's row is to be read. */
  look: boolean;
  /** Counts the operators' steps, to detect that a result about the row is older than the newest step. */
  changes: number;
  /** The results of confirmations, by the id of their step. */
  readonly concluded: Map<string, DecisionAnswer>;
}

/**
 * Registers the update handlers early: operators can see the case as soon as its row exists, and Temporal rejects an
 * update without a handler. Updates wait until `decide()` is called.
 */
export function hearPeople(workflowId: string): People {
  const hearing: Hearing = {
    workflowId,
    held: null,
    standing: 'nothing',
    proposal: null,
    confirmation: null,
    decided: false,
    dismissed: false,
    look: false,
    changes: 0,
    concluded: new Map(),
  };
  setHandler(propose, (message) => takeProposal(hearing, message), {
    validator: (message) => (isProposal(message) ? check(hearing, proposalFault, message) : malformed()),
  });
  setHandler(confirm, (message) => takeConfirmation(hearing, message), {
    validator: (message) => (isStep(message) ? check(hearing, confirmationFault, message) : malformed()),
  });
  setHandler(withdraw, (message) => takeWithdrawal(hearing, message), {
    validator: (message) => (isStep(message) ? check(hearing, withdrawalFault, message) : malformed()),
  });
  return {
    decide(subject, changed) {
      hearing.held = { subject, changed };
      hearing.standing = subject.standing;
      return untilDecided(hearing);
    },
    lookAgain() {
      hearing.look = true;
    },
    dismiss() {
      hearing.dismissed = true;
    },
  };
}

// The handlers repeat the checks of their validators: of two updates in one task the second was accepted before the
// first was handled. Nothing may be awaited between this check and its consequence, or both would pass.

async function takeProposal(hearing: Hearing, message: Proposal): Promise<void> {
  if (!isHeld(hearing)) await condition(() => isHeld(hearing));
  check(hearing, proposalFault, message);
  hearing.proposal = message;
  show(hearing);
  if (await recorded(hearing, message.decisionId, message)) return;
  // The step is in no table, so no operator proposed it.
  if (hearing.proposal === message) hearing.proposal = null;
  show(hearing);
  refuse('not_written');
}

async function takeConfirmation(hearing: Hearing, message: Confirmation): Promise<DecisionAnswer> {
  const { concluded } = hearing;
  if (!isHeld(hearing)) await condition(() => isHeld(hearing));
  check(hearing, confirmationFault, message);
  // After a restore PostgreSQL assigns ids of rows again: the result of an earlier step with this id is not the result
  // of this one.
  if (concluded.has(message.decisionId) && patched('answer-anew')) concluded.delete(message.decisionId);
  hearing.confirmation = message;
  await condition(() => concluded.has(message.decisionId));
  return concluded.get(message.decisionId)!;
}

async function takeWithdrawal(hearing: Hearing, message: Step): Promise<void> {
  if (!isHeld(hearing)) await condition(() => isHeld(hearing));
  check(hearing, withdrawalFault, message);
  const withdrawn = hearing.proposal;
  hearing.proposal = null;
  show(hearing);
  if (await recorded(hearing, null, message)) return;
  // The withdrawal is in no table: the proposal waits again, unless operators have taken another step meanwhile.
  if (isOpen(hearing)) hearing.proposal ??= withdrawn;
  show(hearing);
  refuse('not_written');
}

/** Carries out each confirmation, until one decides the case or its row turns out to be decided. */
async function untilDecided(hearing: Hearing): Promise<Decided> {
  const { workflowId } = hearing;
  for (;;) {
    show(hearing);
    await condition(() => hearing.confirmation !== null || hearing.look);
    if (hearing.confirmation === null) {
      hearing.look = false;
      const outcome = await lookAtCase(hearing);
      if (outcome === null) continue;
      closeAsDecided(hearing);
      return outcome;
    }
    const { proposalId, decisionId: confirmationId } = hearing.confirmation;
    const answer = await decide({ workflowId, proposalId, confirmationId });
    conclude(hearing, answer);
    if (answer.kind === 'refused' && !isForged(answer)) await recordProposal(workflowId, null);
    hearing.concluded.set(confirmationId, answer);
    if (answer.kind === 'decided') return answer;
  }
}

/** Returns how the case was decided; null: it is open, and the workflow has taken over the row's current state. */
async function lookAtCase(hearing: Hearing): Promise<Decided | null> {
  const before = hearing.changes;
  const row = await caseOutcome(hearing.workflowId);
  if (row.kind === 'decided') return row;
  // An even count: no step is being recorded.
  const isStale = hearing.changes !== before || hearing.changes % 2 !== 0 || hearing.confirmation !== null;
  if (row.standing === null || isStale) return null;
  hearing.standing = row.standing;
  if (hearing.proposal !== null && hearing.proposal.decisionId !== row.proposalId) hearing.proposal = null;
  return null;
}

/** The row is decided; another update may have confirmed meanwhile and wait for its result. */
function closeAsDecided(hearing: Hearing): void {
  hearing.decided = true;
  if (hearing.confirmation !== null) hearing.concluded.set(hearing.confirmation.decisionId, CLOSED);
}

function conclude(hearing: Hearing, answer: DecisionAnswer): void {
  hearing.decided = answer.kind === 'decided';
  hearing.standing = standingAfter(answer, hearing.standing);
  if (!isForged(answer)) hearing.proposal = null;
  hearing.confirmation = null;
}

/** A confirmation that is in no table does not remove the proposal: it waits on for a genuine one. */
const isForged = (answer: DecisionAnswer): boolean => answer.kind === 'refused' && answer.refusal === 'not_written';

async function recorded(hearing: Hearing, ...told: [string | null, Proposal | Step]): Promise<boolean> {
  hearing.changes += 1;
  const stands = await recordProposal(hearing.workflowId, ...told);
  hearing.changes += 1;
  return stands;
}

/** Refuses a step that the rules forbid in the currently known state. */
function check<S>(hearing: Hearing, rule: (state: CaseState, step: S) => DecisionFault | null, step: S): void {
  const { held, dismissed, standing, proposal } = hearing;
  if (dismissed) refuse('case_closed');
  if (held === null) return;
  refuse(rule({ ...held.subject, standing, proposal, open: isOpen(hearing) }, step));
}

const isHeld = ({ held, dismissed }: Hearing): boolean => held !== null || dismissed;
const isOpen = ({ decided, confirmation }: Hearing): boolean => !decided && confirmation === null;
const show = ({ held, standing, proposal }: Hearing): void => held?.changed({ standing, proposal });

const CLOSED: DecisionAnswer = { kind: 'refused', refusal: 'case_closed', detail: 'the case was decided before' };

type Step = Confirmation & { readonly reason: string };

function standingAfter(answer: DecisionAnswer, before: Standing): Standing {
  if (answer.kind !== 'decided' && answer.standing !== undefined) return answer.standing;
  if (answer.kind === 'withdrawn') return 'withdrawn';
  const taken = answer.kind === 'refused' && answer.refusal === 'code_stands' && before === 'nothing';
  return taken ? 'elsewhere' : before;
}

function refuse(fault: DecisionFault | null): void {
  if (fault !== null) throw ApplicationFailure.nonRetryable(`the step is refused: ${fault}`, fault);
}

/** Rejects an update that the API did not send: it has another shape. */
function malformed(): never {
  throw ApplicationFailure.nonRetryable('not a step as the API sends it', 'malformed');
}

function isProposal(value: Proposal): boolean {
  const { decisionId, decision, reason, operator, keep, toDeposit, beside, onlyOrdered } = (value ?? {}) as Partial<
    Record<keyof Proposal, unknown>
  >;
  return (
    areTexts(decisionId, reason, operator) &&
    (DECISIONS as readonly unknown[]).includes(decision) &&
    typeof keep === 'boolean' &&
    (toDeposit === null || areTexts(toDeposit)) &&
    (beside === undefined || beside === null || areTexts(beside)) &&
    (onlyOrdered === undefined || typeof onlyOrdered === 'boolean')
  );
}

function isStep(value: Confirmation): boolean {
  const { decisionId, proposalId, operator } = (value ?? {}) as Partial<Record<keyof Confirmation, unknown>>;
  return areTexts(decisionId, proposalId, operator);
}

const areTexts = (...values: unknown[]): boolean => values.every((value) => typeof value === 'string' && value !== '');

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
import { caseOutcome, decide, recordProposal } from './effects.ts';
import { confirm, propose, withdraw } from './messages.ts';

/** What is decided about, as it is when the case opens. */
export type CaseSubject = Omit<CaseState, 'open' | 'proposal'>;

/** What people see of a case on the way: what the books hold by now, and which proposal waits. */
export type CaseProgress = Pick<CaseState, 'standing' | 'proposal'>;

/** A case that people may see already, and that is theirs to decide once it is held. */
export interface People {
  /**
   * Holds the case until they have decided, by the rules of domain/decision.ts, and their decision was carried out.
   * `changed` is told when there is something new to show.
   */
  decide(
    opened: CaseSubject,
    changed: (progress: CaseProgress) => void,
  ): Promise<Extract<DecisionAnswer, { kind: 'decided' }>>;
  /** The case's row may be closed already, because Temporal was restored to an older state: look. */
  lookAgain(): void;
  /** There is no case after all: steps that wait for it are refused, and so is every later one. */
  dismiss(): void;
}

/**
 * Listens to people from now on: their case can be seen as soon as its row is written, and until it is held their steps
 * wait. Temporal refuses an update that nobody listens to.
 */
export function hearPeople(workflowId: string): People {
  let held: { readonly subject: CaseSubject; readonly changed: (progress: CaseProgress) => void } | null = null;
  let standing: Standing = 'nothing';
  let proposal: Proposal | null = null;
  let confirmation: Confirmation | null = null;
  let decided = false;
  let dismissed = false;
  let look = false;
  /** Counts what people did, so that an answer about the row is known to be of before. */
  let changes = 0;
  const concluded = new Map<string, DecisionAnswer>();
  const show = () => held?.changed({ standing, proposal });

  /** Refuses a step that the rules forbid, as far as is known by now. */
  function check<Step>(rule: (state: CaseState, step: Step) => DecisionFault | null, step: Step): void {
    if (dismissed) refuse('case_closed');
    if (held === null) return;
    const open = !decided && confirmation === null;
    refuse(rule({ ...held.subject, standing, proposal, open }, step));
  }

  async function recorded(...told: [string | null, Proposal | Step]): Promise<boolean> {
    changes += 1;
    const stands = await recordProposal(workflowId, ...told);
    changes += 1;
    return stands;
  }

  /** How the case was decided; null: it is open, and what the row says of it by now holds here too. */
  async function lookAtCase(): Promise<Extract<DecisionAnswer, { kind: 'decided' }> | null> {
    const before = changes;
    const row = await caseOutcome(workflowId);
    if (row.kind === 'decided') return row;
    // An even count: nobody's step is being recorded.
    if (row.standing === null || changes !== before || changes % 2 !== 0 || confirmation !== null) return null;
    standing = row.standing;
    if (proposal !== null && proposal.decisionId !== row.proposalId) proposal = null;
    return null;
  }

  const confirmed = (): Confirmation | null => confirmation;
  const isHeld = () => held !== null || dismissed;

  // Checked once more when it is its turn: of two in one task the second was accepted before the first was heard. Nothing
  // may be awaited between that check and what follows from it, or both would pass.
  setHandler(
    propose,
    async (message) => {
      if (!isHeld()) await condition(isHeld);
      check(proposalFault, message);
      proposal = message;
      show();
      if (await recorded(message.decisionId, message)) return;
      // Nobody wrote it down, so nobody of ours proposed it.
      if (proposal === message) proposal = null;
      show();
      refuse('not_written');
    },
    { validator: (message) => (isProposal(message) ? check(proposalFault, message) : malformed()) },
  );
  setHandler(
    confirm,
    async (message) => {
      if (!isHeld()) await condition(isHeld);
      check(confirmationFault, message);
      // PostgreSQL was restored and has given a row's id again: what was answered to the one before says nothing of this.
      if (concluded.has(message.decisionId) && patched('answer-anew')) concluded.delete(message.decisionId);
      confirmation = message;
      await condition(() => concluded.has(message.decisionId));
      return concluded.get(message.decisionId)!;
    },
    { validator: (message) => (isStep(message) ? check(confirmationFault, message) : malformed()) },
  );
  setHandler(
    withdraw,
    async (message) => {
      if (!isHeld()) await condition(isHeld);
      check(withdrawalFault, message);
      const withdrawn = proposal;
      proposal = null;
      show();
      if (await recorded(null, message)) return;
      // Nobody wrote it down: what waited waits again, unless people have gone on meanwhile.
      if (!decided && confirmation === null) proposal ??= withdrawn;
      show();
      refuse('not_written');
    },
    { validator: (message) => (isStep(message) ? check(withdrawalFault, message) : malformed()) },
  );

  return {
    async decide(subject, changed) {
      held = { subject, changed };
      standing = subject.standing;
      for (;;) {
        show();
        await condition(() => confirmation !== null || look);
        if (confirmation === null) {
          look = false;
          const outcome = await lookAtCase();
          if (outcome === null) continue;
          decided = true;
          // Somebody may have confirmed meanwhile, and waits for the answer.
          const waiting = confirmed();
          if (waiting !== null) concluded.set(waiting.decisionId, CLOSED);
          return outcome;
        }
        const { proposalId, decisionId: confirmationId } = confirmation;
        const answer = await decide({ workflowId, proposalId, confirmationId });
        decided = answer.kind === 'decided';
        standing = standingAfter(answer, standing);
        // A confirmation that nobody wrote down takes nothing away: the proposal waits on for a true one.
        const isForged = answer.kind === 'refused' && answer.refusal === 'not_written';
        if (!isForged) proposal = null;
        confirmation = null;
        if (answer.kind === 'refused' && !isForged) await recordProposal(workflowId, null);
        concluded.set(confirmationId, answer);
        if (answer.kind === 'decided') return answer;
      }
    },
    lookAgain() {
      look = true;
    },
    dismiss() {
      dismissed = true;
    },
  };
}

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

/** Somebody's own update, not the API's: there is nothing to say beyond that. */
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

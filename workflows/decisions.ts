import { ApplicationFailure, condition, setHandler } from '@temporalio/workflow';
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
} from '../domain/decision.ts';
import { decide, recordProposal } from './effects.ts';
import { type Concluded, confirm, propose, withdraw } from './messages.ts';

/** What is decided about, as it is when the case opens. */
export type Subject = Omit<CaseState, 'open' | 'proposal'>;

/** What people see of a case on the way: what the books hold by now, and which proposal waits. */
export type Progress = Pick<CaseState, 'standing' | 'proposal'>;

/** A case that people may see already, and that is theirs to decide once it is held. */
export interface People {
  /**
   * Holds the case until they have decided, by the rules of domain/decision.ts, and their decision was carried out.
   * `changed` is told when there is something new to show.
   */
  decide(opened: Subject, changed: (progress: Progress) => void): Promise<Extract<Concluded, { kind: 'decided' }>>;
}

/**
 * Listens to people from now on: their case can be seen as soon as its row is written, and until it is held their steps
 * wait. Temporal refuses an update that nobody listens to.
 */
export function hearPeople(workflowId: string): People {
  let held: { readonly subject: Subject; readonly changed: (progress: Progress) => void } | null = null;
  let standing: Standing = 'nothing';
  let proposal: Proposal | null = null;
  let confirmation: Confirmation | null = null;
  let decided = false;
  const concluded = new Map<string, Concluded>();
  const show = () => held?.changed({ standing, proposal });

  /** Refuses a step that the rules forbid, as far as is known by now. */
  function check<Step>(rule: (state: CaseState, step: Step) => DecisionFault | null, step: Step): void {
    if (held === null) return;
    const open = !decided && confirmation === null;
    refuse(rule({ ...held.subject, standing, proposal, open }, step));
  }

  const isHeld = () => held !== null;

  // Checked once more when it is its turn: of two in one task the second was accepted before the first was heard. Nothing
  // may be awaited between that check and what follows from it, or both would pass.
  setHandler(
    propose,
    async (message) => {
      if (!isHeld()) await condition(isHeld);
      check(proposalFault, message);
      proposal = message;
      show();
      await recordProposal(workflowId, message.decisionId);
    },
    { validator: (message) => (isProposal(message) ? check(proposalFault, message) : malformed()) },
  );
  setHandler(
    confirm,
    async (message) => {
      if (!isHeld()) await condition(isHeld);
      check(confirmationFault, message);
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
      proposal = null;
      show();
      await recordProposal(workflowId, null);
    },
    { validator: (message) => (isStep(message) ? check(withdrawalFault, message) : malformed()) },
  );

  return {
    async decide(subject, changed) {
      held = { subject, changed };
      standing = subject.standing;
      for (;;) {
        show();
        await condition(() => confirmation !== null);
        const { proposalId, decisionId: confirmationId } = confirmation!;
        const answer = await decide({ workflowId, proposalId, confirmationId });
        decided = answer.kind === 'decided';
        standing = standingAfter(answer, standing);
        proposal = null;
        confirmation = null;
        if (answer.kind === 'refused') await recordProposal(workflowId, null);
        concluded.set(confirmationId, answer);
        if (answer.kind === 'decided') return answer;
      }
    },
  };
}

function standingAfter(answer: Concluded, before: Standing): Standing {
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
  const { decisionId, decision, reason, operator, keep, toDeposit } = (value ?? {}) as Partial<
    Record<keyof Proposal, unknown>
  >;
  return (
    areTexts(decisionId, reason, operator) &&
    (DECISIONS as readonly unknown[]).includes(decision) &&
    typeof keep === 'boolean' &&
    (toDeposit === null || areTexts(toDeposit))
  );
}

function isStep(value: Confirmation): boolean {
  const { decisionId, proposalId, operator } = (value ?? {}) as Partial<Record<keyof Confirmation, unknown>>;
  return areTexts(decisionId, proposalId, operator);
}

const areTexts = (...values: unknown[]): boolean => values.every((value) => typeof value === 'string' && value !== '');

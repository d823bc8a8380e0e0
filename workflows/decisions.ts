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

/**
 * Holds a case until people have decided, by the rules of domain/decision.ts, and their decision was carried out.
 * `changed` is told when there is something new to show. An update that comes before the case is held waits for it.
 */
export async function holdCase(
  workflowId: string,
  opened: Subject,
  changed: (progress: Progress) => void,
): Promise<Extract<Concluded, { kind: 'decided' }>> {
  let standing = opened.standing;
  let proposal: Proposal | null = null;
  let confirmation: Confirmation | null = null;
  let decided = false;
  const concluded = new Map<string, Concluded>();
  const state = (): CaseState => ({ ...opened, standing, proposal, open: !decided && confirmation === null });
  const show = () => changed({ standing, proposal });

  setHandler(
    propose,
    async (message) => {
      // Two in one task: the second was accepted before the first was heard.
      refuse(proposalFault(state(), message));
      proposal = message;
      show();
      await recordProposal(workflowId, message.decisionId);
    },
    { validator: (message) => (isProposal(message) ? refuse(proposalFault(state(), message)) : malformed()) },
  );
  setHandler(
    confirm,
    async (message) => {
      refuse(confirmationFault(state(), message));
      confirmation = message;
      await condition(() => concluded.has(message.decisionId));
      return concluded.get(message.decisionId)!;
    },
    { validator: (message) => (isStep(message) ? refuse(confirmationFault(state(), message)) : malformed()) },
  );
  setHandler(
    withdraw,
    async (message) => {
      refuse(withdrawalFault(state(), message));
      proposal = null;
      show();
      await recordProposal(workflowId, null);
    },
    { validator: (message) => (isStep(message) ? refuse(withdrawalFault(state(), message)) : malformed()) },
  );

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

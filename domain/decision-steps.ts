import { actorOf } from './decision.ts';

/** The outcome of each step that an operator took in a case (docs/guides/reviews.md#steps). Pure. */

/**
 * `waiting`: a proposal that nobody has confirmed, or a confirmation that is being carried out. `withdrawn`: a proposal
 * that an operator withdrew.
 */
export const STEP_OUTCOMES = ['carried', 'refused', 'withdrawn', 'waiting'] as const;
export interface StepOutcome {
  readonly outcome: (typeof STEP_OUTCOMES)[number];
  /** The reason for a refused step; otherwise null. */
  readonly refusal: string | null;
}

export interface DecisionStep {
  readonly id: string;
  readonly step: 'propose' | 'confirm' | 'withdraw';
  /** Id of the proposal that is confirmed or withdrawn. */
  readonly proposal: string | null;
  readonly operator: string;
}

/** The result of a confirmed proposal; `refusal`: why no money moved. */
export interface ProposalOutcome {
  readonly confirmation: string;
  readonly outcome: 'decided' | 'withdrawn' | 'refused';
  readonly refusal: string | null;
}

/** A case's steps, the rows about them, and the state of the case. */
export interface CaseSteps {
  readonly steps: readonly DecisionStep[];
  /** By proposal. */
  readonly carried: ReadonlyMap<string, ProposalOutcome>;
  /** Steps that the case's workflow refused, with the reason. */
  readonly refused: ReadonlyMap<string, string>;
  /** The proposal that waits. In a closed case from before `carried` rows: the one that was decided. */
  readonly proposal: string | null;
  /** Everybody who decided, as postings name them; null: the case is open. */
  readonly decidedBy: string | null;
}

const CARRIED: StepOutcome = { outcome: 'carried', refusal: null };
const WAITING: StepOutcome = { outcome: 'waiting', refusal: null };
const WITHDRAWN: StepOutcome = { outcome: 'withdrawn', refusal: null };
const refused = (refusal: string): StepOutcome => ({ outcome: 'refused', refusal });

/** Returns the outcome of one of `known.steps`. */
export function stepOutcome(known: CaseSteps, step: DecisionStep): StepOutcome {
  if (step.step === 'propose') return ofProposal(known, step);
  return step.step === 'confirm' ? ofConfirmation(known, step) : ofWithdrawal(known, step);
}

function ofProposal(known: CaseSteps, step: DecisionStep): StepOutcome {
  const carried = known.carried.get(step.id);
  if (carried?.refusal === 'withdrawn') return WITHDRAWN;
  if (carried !== undefined) return carried.outcome === 'refused' ? refused(carried.refusal ?? 'unproven') : CARRIED;
  if (wasDecided(known, step.id)) return CARRIED;
  const why = known.refused.get(step.id);
  if (why !== undefined) return refused(why);
  if (takenBack(known, step.id)) return WITHDRAWN;
  return stillWaiting(known, step.id);
}

const takenBack = (known: CaseSteps, proposal: string): boolean =>
  known.steps.some(
    (other) =>
      other.step === 'withdraw' && other.proposal === proposal && ofWithdrawal(known, other).outcome === 'carried',
  );

/** The step is stored and neither accepted nor refused: it waits, is on its way to the workflow, or came too late. */
function stillWaiting({ decidedBy, proposal }: CaseSteps, id: string): StepOutcome {
  if (decidedBy !== null) return refused('case_closed');
  return proposal === null || proposal === id ? WAITING : refused('other_proposal');
}

function ofConfirmation(known: CaseSteps, step: DecisionStep): StepOutcome {
  const carried = known.carried.get(step.proposal!);
  if (carried?.confirmation === step.id) {
    return carried.outcome === 'refused' ? refused(carried.refusal ?? 'unproven') : CARRIED;
  }
  const why = known.refused.get(step.id);
  if (why !== undefined) return refused(why);
  if (carried !== undefined) return refused(tooLate(carried));
  if (wasDecided(known, step.proposal)) return decidedWith(known) === step.id ? CARRIED : refused('case_closed');
  if (takenBack(known, step.proposal!)) return refused('no_proposal');
  return stillWaiting(known, step.proposal!);
}

/** For a case from before `carried` rows. */
const wasDecided = ({ decidedBy, proposal }: CaseSteps, id: string | null): boolean =>
  decidedBy !== null && proposal !== null && proposal === id;

/** The confirmation that decided a case from before `carried` rows: the first by the other of the two named people. */
function decidedWith({ steps, proposal, decidedBy }: CaseSteps): string | undefined {
  const proposer = steps.find((step) => step.id === proposal)?.operator ?? '';
  const confirms = steps.filter((step) => step.step === 'confirm' && step.proposal === proposal);
  return confirms.find((step) => actorOf(proposer, step.operator) === decidedBy)?.id;
}

function ofWithdrawal(known: CaseSteps, step: DecisionStep): StepOutcome {
  const carried = known.carried.get(step.proposal!);
  // The database saw the withdrawal before it moved any money; the workflow's response does not matter.
  if (carried?.refusal === 'withdrawn') return CARRIED;
  const why = known.refused.get(step.id);
  if (why !== undefined) return refused(why);
  if (carried !== undefined) return refused(tooLate(carried));
  return wasDecided(known, step.proposal) ? refused('case_closed') : CARRIED;
}

/** The proposal had a result before this step could count. */
const tooLate = (carried: ProposalOutcome): string => (carried.outcome === 'decided' ? 'case_closed' : 'no_proposal');

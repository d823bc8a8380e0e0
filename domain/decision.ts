import { known, parseFraction, parseMtc } from './money.ts';

/**
 * What people may decide about a case, and who may decide it. One rule for all of them: a decision is proposed with a
 * reason and confirmed; above the limit by two different people (lifecycle.md, step 7). Pure; the API asks it before a
 * decision is written down, the workflow before it is accepted, and the books once more before money moves.
 */

export const DECISIONS = ['credit', 'reject', 'reverse'] as const;
export type Decision = (typeof DECISIONS)[number];

/**
 * What the books hold for the case's callback:
 * `nothing`; `parked`: in suspense, waiting; `credited`: in a wallet, and that is in doubt; `withdrawn`: taken out of a
 * wallet into suspense; `elsewhere`: its code stands with another posting; `unreadable`: there is no amount to post.
 */
export const STANDINGS = ['nothing', 'parked', 'credited', 'withdrawn', 'elsewhere', 'unreadable'] as const;
export type Standing = (typeof STANDINGS)[number];

/** What each decision would do to the money; null: it cannot be decided. */
const EFFECTS: Readonly<Record<Standing, Readonly<Record<Decision, string | null>>>> = {
  nothing: { credit: 'post to the wallet', reject: 'nothing is posted', reverse: null },
  parked: { credit: 'from suspense to the wallet', reject: 'from suspense back to the provider', reverse: null },
  credited: { credit: null, reject: 'the credit stays', reverse: 'from the wallet back, or into suspense' },
  withdrawn: { credit: 'from suspense to a wallet', reject: 'back to the wallet it came from', reverse: null },
  elsewhere: { credit: null, reject: 'nothing is posted', reverse: null },
  unreadable: { credit: null, reject: 'nothing is posted', reverse: null },
};

export const allowedDecisions = (standing: Standing): readonly Decision[] =>
  DECISIONS.filter((decision) => EFFECTS[standing][decision] !== null);

export interface Proposal {
  /** The row of the append-only table, written by the API for the holder of a personal key. */
  readonly decisionId: string;
  readonly decision: Decision;
  readonly reason: string;
  /** The name of the personal key. */
  readonly operator: string;
  /** Reverse only: the money is ours and sat in the wrong wallet, so it goes to suspense and not to the provider. */
  readonly keep: boolean;
  /** Credit only: the deposit whose wallet gets the money, when it is not the one the callback claims. */
  readonly toDeposit: string | null;
}

export interface Confirmation {
  readonly decisionId: string;
  /** The proposal the operator has read. */
  readonly proposalId: string;
  readonly operator: string;
}

/** What the rules look at. */
export interface CaseState {
  /** False before the case is opened, while a confirmed decision is carried out, and once it is decided. */
  readonly open: boolean;
  readonly standing: Standing;
  /** The deposit that gets the money unless the proposal names another; null: the callback's order is unknown. */
  readonly deposit: string | null;
  /** Received MTC, canonical decimal; null when the callback could not be read. */
  readonly amount: string | null;
  /** Frozen in the deposit; `"0"` where there is none: then it always takes two. */
  readonly reviewLimit: string;
  readonly proposal: Proposal | null;
}

/** Why a step is refused; closed, and the same words in the workflow, the API and the terminal. */
export const DECISION_FAULTS = [
  'case_closed',
  'proposal_open',
  'no_proposal',
  'other_proposal',
  'same_operator',
  'decision_not_allowed',
  'code_stands',
  'reason_required',
  'deposit_required',
] as const;
export type DecisionFault = (typeof DECISION_FAULTS)[number];

/** Between 3 and 1000 characters that can be printed: it is shown for years. */
export const isReason = (text: string): boolean =>
  text.trim().length >= 3 && text.length <= 1000 && !/[\p{Cc}\p{Cs}\p{Bidi_Control}]/u.test(text);

/** Whether one person's word is not enough. Unreadable money counts as above every limit. */
export function needsTwo(state: Pick<CaseState, 'amount' | 'reviewLimit'>): boolean {
  if (state.amount === null) return true;
  return known(parseMtc(state.amount), 'amount') > known(parseFraction(state.reviewLimit), 'review limit');
}

export function proposalFault(state: CaseState, proposal: Omit<Proposal, 'decisionId'>): DecisionFault | null {
  if (!state.open) return 'case_closed';
  if (!isReason(proposal.reason)) return 'reason_required';
  if (proposal.decision === 'credit' && state.standing === 'elsewhere') return 'code_stands';
  if (EFFECTS[state.standing][proposal.decision] === null) return 'decision_not_allowed';
  if (proposal.keep && proposal.decision !== 'reverse') return 'decision_not_allowed';
  if (proposal.toDeposit !== null && proposal.decision !== 'credit') return 'decision_not_allowed';
  if (proposal.decision === 'credit' && proposal.toDeposit === null && targetOf(state) === null) {
    return 'deposit_required';
  }
  return state.proposal === null ? null : 'proposal_open';
}

/** What was taken out of a wallet goes to another only when that one is named. */
const targetOf = (state: CaseState): string | null => (state.standing === 'withdrawn' ? null : state.deposit);

export function confirmationFault(state: CaseState, confirmation: Confirmation): DecisionFault | null {
  const fault = aboutProposal(state, confirmation.proposalId);
  if (fault !== null) return fault;
  return needsTwo(state) && state.proposal?.operator === confirmation.operator ? 'same_operator' : null;
}

/** Anybody who may decide may withdraw: nothing moves. */
export function withdrawalFault(state: CaseState, withdrawal: { readonly proposalId: string }): DecisionFault | null {
  return aboutProposal(state, withdrawal.proposalId);
}

/** Who confirms or withdraws means the proposal they have read, not the one that stands by now. */
function aboutProposal(state: CaseState, proposalId: string): DecisionFault | null {
  if (!state.open) return 'case_closed';
  if (state.proposal === null) return 'no_proposal';
  return state.proposal.decisionId === proposalId ? null : 'other_proposal';
}

/** Everybody who decided, as a posting names them: `alice+bob`. */
export const actorOf = (proposer: string, confirmer: string): string =>
  proposer === confirmer ? proposer : `${proposer}+${confirmer}`;

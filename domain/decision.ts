import { formatUnits, known, parseFraction, parseMtc } from './money.ts';

/**
 * What people may decide about a case, and who may decide it. One rule for all of them: a decision is proposed with a
 * reason and confirmed; above the limit by two different people (docs/guides/reviews.md#two-people). Pure; the API asks it before a
 * decision is written down, the workflow before it is accepted, and the books once more before money moves.
 */

export const DECISIONS = ['credit', 'reject', 'reverse', 'restore'] as const;
export type Decision = (typeof DECISIONS)[number];

/**
 * Where the money of the case's callback is now: the tip of its chain of postings.
 * `nothing`: not booked; `parked`: in suspense, waiting; `credited`: in a wallet, and that is in doubt; `withdrawn`: in
 * suspense, taken out of a wallet; `returned`: back at the provider; `elsewhere`: its code belongs to another callback's
 * case; `unreadable`: not booked, and there is no amount to post unless two people state it.
 */
export const STANDINGS = ['nothing', 'parked', 'credited', 'withdrawn', 'returned', 'elsewhere', 'unreadable'] as const;
export type Standing = (typeof STANDINGS)[number];

/** What each decision would do to the money; null: it cannot be decided. */
const EFFECTS: Readonly<Record<Standing, Readonly<Record<Decision, string | null>>>> = {
  nothing: { credit: 'post to the wallet', reject: 'nothing is posted', reverse: null, restore: null },
  parked: {
    credit: 'from suspense to the wallet',
    reject: 'from suspense to the provider',
    reverse: null,
    restore: null,
  },
  credited: { credit: null, reject: 'the credit stays', reverse: 'to the provider, or into suspense', restore: null },
  withdrawn: {
    credit: 'from suspense to a wallet',
    // The doubt is rejected; `restore` says the same by the name of its effect.
    reject: 'back to the wallet it came from',
    reverse: 'from suspense to the provider',
    restore: 'back to the wallet it came from',
  },
  returned: { credit: null, reject: 'stays with the provider', reverse: null, restore: 'back to where it came from' },
  elsewhere: { credit: null, reject: 'nothing is posted', reverse: null, restore: null },
  unreadable: { credit: 'post what two people state', reject: 'nothing is posted', reverse: null, restore: null },
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
  /**
   * Into a wallet only: the posting of the deposit's newest credit that stands, as the operator was shown it. A payment
   * beside another always takes two people. Absent: the deposit has none.
   */
  readonly beside?: string | null;
  /** Credit only, where more was received than was ordered in MTC: the wallet gets what was ordered, the rest waits. */
  readonly onlyOrdered?: boolean;
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
  'credited_meanwhile',
  'facts_required',
  'not_written',
] as const;
export type DecisionFault = (typeof DECISION_FAULTS)[number];

/** Between 3 and 1000 characters that can be printed: it is shown for years. */
export const isReason = (text: string): boolean =>
  text.trim().length >= 3 && text.length <= 1000 && !/[\p{Cc}\p{Cs}\p{Bidi_Control}]/u.test(text);

/** Whether one person's word is not enough. What cannot be read, and what goes beside a credit, is above every limit. */
export function needsTwo(
  state: Pick<CaseState, 'amount' | 'reviewLimit'>,
  proposal: Pick<Proposal, 'beside'> | null = null,
): boolean {
  if (state.amount === null || (proposal?.beside ?? null) !== null) return true;
  return known(parseMtc(state.amount), 'amount') > known(parseFraction(state.reviewLimit), 'review limit');
}

export function proposalFault(state: CaseState, proposal: Omit<Proposal, 'decisionId'>): DecisionFault | null {
  if (!state.open) return 'case_closed';
  if (!isReason(proposal.reason)) return 'reason_required';
  if (proposal.decision === 'credit' && state.standing === 'elsewhere') return 'code_stands';
  if (EFFECTS[state.standing][proposal.decision] === null) return 'decision_not_allowed';
  if (proposal.keep && (proposal.decision !== 'reverse' || state.standing !== 'credited'))
    return 'decision_not_allowed';
  if ((proposal.beside ?? null) !== null && !entersWallet(state.standing, proposal.decision))
    return 'decision_not_allowed';
  if (proposal.toDeposit !== null && proposal.decision !== 'credit') return 'decision_not_allowed';
  if (proposal.onlyOrdered === true && (proposal.decision !== 'credit' || proposal.toDeposit !== null))
    return 'decision_not_allowed';
  if (proposal.decision === 'credit' && proposal.toDeposit === null && targetOf(state) === null) {
    return 'deposit_required';
  }
  return state.proposal === null ? null : 'proposal_open';
}

/**
 * Whether a decision puts money into a wallet: there it needs the deposit's slot, or two people beside the credit that
 * has it. What was returned may have come from suspense; the books say so when it is posted.
 */
export const entersWallet = (standing: Standing, decision: Decision): boolean =>
  decision === 'credit' || decision === 'restore' || (decision === 'reject' && standing === 'withdrawn');

/** What was taken out of a wallet goes to another only when that one is named. */
const targetOf = (state: CaseState): string | null => (state.standing === 'withdrawn' ? null : state.deposit);

export function confirmationFault(state: CaseState, confirmation: Confirmation): DecisionFault | null {
  const fault = aboutProposal(state, confirmation.proposalId);
  if (fault !== null) return fault;
  return needsTwo(state, state.proposal) && state.proposal?.operator === confirmation.operator ? 'same_operator' : null;
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

/**
 * What stays in suspense when people credit what was ordered and no more: only where MTC were ordered and more came.
 * Null: that is not so. Canonical decimal.
 */
export function restOf(mtcAmount: string | null, amount: string | null): string | null {
  if (mtcAmount === null || amount === null) return null;
  const rest = known(parseMtc(amount), 'amount') - known(parseMtc(mtcAmount), 'mtcAmount');
  return rest > 0n ? formatUnits(rest) : null;
}

/**
 * What a confirmed decision came to. `withdrawn`: the money is in suspense and the case goes on. `refused`: nothing was
 * moved, and the case goes on. What is optional is missing in histories of before.
 */
export type DecisionAnswer<Refusal extends string = string> =
  | {
      readonly kind: 'decided';
      readonly decision: Decision;
      readonly postingId: string | null;
      readonly decidedBy: string;
      /** The deposit's own payment was not credited, and another payment of it lies in its wallet. */
      readonly settled?: { readonly postingId: string; readonly transactionCode: string | null };
      /** The money went into the wallet of another deposit than the one it was paid for. */
      readonly elsewhere?: true;
    }
  | {
      readonly kind: 'withdrawn';
      readonly postingId: string;
      readonly decidedBy: string;
      readonly standing?: Standing;
    }
  | { readonly kind: 'refused'; readonly refusal: Refusal; readonly detail: string; readonly standing?: Standing };

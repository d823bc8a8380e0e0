import { formatUnits, known, parseFraction, parseMtc } from './money.ts';

/**
 * The decisions that a case allows, and who may take them. A decision is proposed with a reason and confirmed; above
 * the limit by two different people (docs/guides/reviews.md#two-people). Pure. The API applies these rules before it
 * stores a step, the workflow before it accepts one, and the database again before money moves.
 */

export const DECISIONS = ['credit', 'reject', 'reverse', 'restore'] as const;
export type Decision = (typeof DECISIONS)[number];

/**
 * Where the money of the case's callback is now, by the newest posting of its chain:
 * - `nothing`: not booked;
 * - `parked`: in suspense, until operators decide;
 * - `credited`: in a wallet, and doubted;
 * - `withdrawn`: in suspense, taken out of a wallet;
 * - `returned`: back at the provider;
 * - `elsewhere`: its code belongs to another callback's case;
 * - `unreadable`: not booked, and without an amount to post unless two people state it.
 */
export const STANDINGS = ['nothing', 'parked', 'credited', 'withdrawn', 'returned', 'elsewhere', 'unreadable'] as const;
export type Standing = (typeof STANDINGS)[number];

/** The effect of each decision on the money; null: the decision is not possible. */
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
    // The doubt is rejected; `restore` has the same effect.
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
  /** Id of the step's row in the append-only table, written by the API for the holder of a personal key. */
  readonly decisionId: string;
  readonly decision: Decision;
  readonly reason: string;
  /** The name of the personal key. */
  readonly operator: string;
  /**
   * Reverse only: the payment is genuine but in the wrong wallet, so it goes to suspense instead of to the provider.
   */
  readonly keep: boolean;
  /** Credit only: the deposit whose wallet gets the money, when it is not the one the callback claims. */
  readonly toDeposit: string | null;
  /**
   * Into a wallet only: the posting of the deposit's newest credit, as the operator's case showed it. A payment beside
   * another always takes two people. Absent: the deposit has no credit.
   */
  readonly beside?: string | null;
  /**
   * Credit only, where more MTC were received than ordered: the wallet gets the ordered amount, the rest stays in
   * suspense.
   */
  readonly onlyOrdered?: boolean;
}

export interface Confirmation {
  readonly decisionId: string;
  /** Id of the proposal that the operator has read. */
  readonly proposalId: string;
  readonly operator: string;
}

/** The input of the rules. */
export interface CaseState {
  /** False before the case is opened, while a confirmed decision is carried out, and once it is decided. */
  readonly open: boolean;
  readonly standing: Standing;
  /** The deposit that gets the money unless the proposal names another; null: the callback's order is unknown. */
  readonly deposit: string | null;
  /** Received MTC, canonical decimal; null when the callback could not be read. */
  readonly amount: string | null;
  /** MTC, frozen in the deposit; `"0"` where there is no deposit: then it always takes two people. */
  readonly reviewLimit: string;
  readonly proposal: Proposal | null;
}

/** Why a step is refused: a closed list of codes, the same in the workflow, the API and the terminal. */
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

/** Between 3 and 1000 printable characters, because the reason is shown for years. */
export const isReason = (text: string): boolean =>
  text.trim().length >= 3 && text.length <= 1000 && !/[\p{Cc}\p{Cs}\p{Bidi_Control}]/u.test(text);

/** Whether a decision takes two people. An unreadable callback, and a payment beside a credit, always do. */
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
 * Whether a decision puts money into a wallet, which needs the deposit's free slot, or two people beside the credit
 * that has it. Restored money may have been in suspense before; only the ledger knows, when it posts.
 */
export const entersWallet = (standing: Standing, decision: Decision): boolean =>
  decision === 'credit' || decision === 'restore' || (decision === 'reject' && standing === 'withdrawn');

/** Money that was taken out of a wallet goes to another one only if the proposal names it. */
const targetOf = (state: CaseState): string | null => (state.standing === 'withdrawn' ? null : state.deposit);

export function confirmationFault(state: CaseState, confirmation: Confirmation): DecisionFault | null {
  const fault = aboutProposal(state, confirmation.proposalId);
  if (fault !== null) return fault;
  return needsTwo(state, state.proposal) && state.proposal?.operator === confirmation.operator ? 'same_operator' : null;
}

/** Everybody who may decide may withdraw a proposal, because no money moves. */
export function withdrawalFault(state: CaseState, withdrawal: { readonly proposalId: string }): DecisionFault | null {
  return aboutProposal(state, withdrawal.proposalId);
}

/** A confirmation or a withdrawal applies to the proposal that the operator has read, not to a newer one. */
function aboutProposal(state: CaseState, proposalId: string): DecisionFault | null {
  if (!state.open) return 'case_closed';
  if (state.proposal === null) return 'no_proposal';
  return state.proposal.decisionId === proposalId ? null : 'other_proposal';
}

/** Everybody who decided, as a posting names them: `alice+bob`. */
export const actorOf = (proposer: string, confirmer: string): string =>
  proposer === confirmer ? proposer : `${proposer}+${confirmer}`;

/**
 * Returns the part that stays in suspense when operators credit only the ordered amount, MTC, canonical decimal. Null:
 * no MTC were ordered, or no more were received.
 */
export function restOf(mtcAmount: string | null, amount: string | null): string | null {
  if (mtcAmount === null || amount === null) return null;
  const rest = known(parseMtc(amount), 'amount') - known(parseMtc(mtcAmount), 'mtcAmount');
  return rest > 0n ? formatUnits(rest) : null;
}

/**
 * The result of a confirmed decision. `withdrawn`: the money is in suspense and the case stays open. `refused`: no
 * money moved, and the case stays open. Optional fields are missing in older histories.
 */
export type DecisionAnswer<Refusal extends string = string> =
  | {
      readonly kind: 'decided';
      readonly decision: Decision;
      readonly postingId: string | null;
      readonly decidedBy: string;
      /** The deposit's own payment was not credited, and another payment of it is in its wallet. */
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

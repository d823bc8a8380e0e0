import type { Proposal } from './decision.ts';

/**
 * The content that an operator signs on their own device: one step, with every fact that distinguishes it from another.
 * The API builds the same text before it stores the step, the worker before money moves, and the audit. Pure.
 */
export interface SignedStep {
  readonly step: 'propose' | 'confirm' | 'withdraw';
  readonly case: string;
  /** Content hash of the callback: sha256, lower-case hex. */
  readonly contentHash: string;
  /** MTC in the callback, canonical; null: it cannot be read. */
  readonly amount: string | null;
  /** The proposal that is made, confirmed or withdrawn. */
  readonly proposed: ProposedStep;
  /**
   * The signature of the confirmed or withdrawn proposal, base64url; null: this step is a proposal, or that one has no
   * signature.
   */
  readonly proposalSignature: string | null;
  /** Why it is withdrawn; null with every other step. */
  readonly reason: string | null;
  /** The facts that this operator reads in the statement, where the callback cannot be read. Decimals canonical. */
  readonly facts: SignedFacts | null;
  /** 16 random bytes, base64url; unique among steps. */
  readonly nonce: string;
}

export interface ProposedStep extends Required<Omit<Proposal, 'decisionId'>> {
  /** The wallet that a credit goes to; null for other decisions. */
  readonly wallet: string | null;
}

export interface SignedFacts {
  readonly transactionCode: string;
  readonly amount: string;
  readonly currencyCode: string;
  readonly paymentPrice: string;
  readonly statementLine: string | null;
}

/** The signed text: a JSON array, so that two steps never have the same. */
export const signedText = (of: SignedStep): string => {
  const { proposed: p, facts: f } = of;
  return JSON.stringify([
    'deposit-engine step v1',
    of.step,
    of.case,
    of.contentHash,
    of.amount,
    [p.operator, p.decision, p.reason, p.keep, p.toDeposit, p.wallet, p.beside, p.onlyOrdered],
    of.proposalSignature,
    of.reason,
    f === null ? null : [f.transactionCode, f.amount, f.currencyCode, f.paymentPrice, f.statementLine],
    of.nonce,
  ]);
};

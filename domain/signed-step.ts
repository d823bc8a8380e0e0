import type { Decision } from './decision.ts';

/**
 * What an operator signs on his own device: one step, and everything that would make it another one. The same text is made
 * again by the API before it writes the step down, by the worker before money moves, and by the audit. Pure.
 */
export interface SignedStep {
  readonly step: 'propose' | 'confirm' | 'withdraw';
  readonly case: string;
  /** sha256 of what the callback says, lower-case hex. */
  readonly contentHash: string;
  /** MTC that the callback says, canonical; null: it cannot be read. */
  readonly amount: string | null;
  /** What is proposed, confirmed or withdrawn. */
  readonly proposed: ProposedStep;
  /** The signature of the proposal that is confirmed or withdrawn, base64url; null: this is one, or it has none. */
  readonly proposalSignature: string | null;
  /** Why it is withdrawn; null with every other step. */
  readonly reason: string | null;
  /** What this operator reads in the statement, where the callback cannot be read. Decimals canonical. */
  readonly facts: SignedFacts | null;
  /** 16 random bytes, base64url: no two steps have one. */
  readonly nonce: string;
}

export interface ProposedStep {
  readonly operator: string;
  readonly decision: Decision;
  readonly reason: string;
  readonly keep: boolean;
  readonly toDeposit: string | null;
  /** Of a credit: whose wallet gets the money. */
  readonly wallet: string | null;
  readonly beside: string | null;
  readonly onlyOrdered: boolean;
}

export interface SignedFacts {
  readonly transactionCode: string;
  readonly amount: string;
  readonly currencyCode: string;
  readonly paymentPrice: string;
  readonly statementLine: string | null;
}

/** The text itself. A list in JSON, so that two steps never share a text. */
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

import type { CaseRow, ProposalRow } from '../database/cases.ts';
import type { DecisionRow } from '../database/decisions.ts';
import { allowedDecisions, needsTwo } from '../domain/decision.ts';

/** A case as people see it before they decide: what came, what the books hold, what may be decided, what is proposed. */
export function showCase(found: CaseRow) {
  const open = found.closedAt === null;
  return {
    id: found.workflowId,
    state: open ? ('open' as const) : ('closed' as const),
    reason: found.reason,
    detail: found.detail,
    openedAt: found.openedAt.toISOString(),
    openedBy: found.openedBy,
    inboxId: found.inboxId,
    externalOrderNumber: found.externalOrderNumber,
    wallet: found.wallet,
    receivedAt: found.receivedAt.toISOString(),
    transactionCode: found.transactionCode,
    transactionAmount: found.amount,
    currencyCode: found.currencyCode,
    paymentPrice: found.paymentPrice,
    standing: open ? found.standing : null,
    allowed: open ? allowedDecisions(found.standing) : [],
    needsTwo: needsTwo(found),
    reviewLimit: found.reviewLimit,
    proposal: !open || found.proposal === null ? null : showProposal(found.proposal),
    decision: found.decision,
    decidedBy: found.decidedBy,
    decidedAt: found.closedAt?.toISOString() ?? null,
    postingId: found.posting,
  };
}

const showProposal = (proposal: ProposalRow) => ({
  id: proposal.decisionId,
  decision: proposal.decision,
  reason: proposal.reason,
  operator: proposal.operator,
  keep: proposal.keep,
  toDeposit: proposal.toDeposit,
  at: proposal.at.toISOString(),
});

/** Every step somebody took, those that were refused too: what counted stands in the case's history. */
export const showSteps = (steps: readonly DecisionRow[]) =>
  steps.map((step) => ({
    id: step.id,
    step: step.step,
    decision: step.decision,
    proposal: step.proposal,
    keep: step.keep,
    toDeposit: step.toDeposit,
    reason: step.reason,
    operator: step.operator,
    at: step.at.toISOString(),
  }));

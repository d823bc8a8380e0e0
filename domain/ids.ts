import type { ProviderName } from './order.ts';

/** Names that tables, histories and the audit have in common: made here and nowhere else. They never change. */

export const depositWorkflowId = (externalOrderNumber: string) => `deposit:${externalOrderNumber}`;
/**
 * The case of a callback. The row's id alone is given out again after PostgreSQL was restored to an older state, and
 * Temporal remembers it; rows of before have no uid.
 */
export const reviewWorkflowId = ({ id, uid }: { readonly id: string; readonly uid: string | null }) =>
  uid === null ? `review:${id}` : `review:${id}-${uid.slice(0, 8)}`;
/** A credit may be doubted again when it was found right before: the k-th case of this callback. */
export const reversalWorkflowId = (callback: { readonly id: string; readonly uid: string | null }, k: number) =>
  `${reviewWorkflowId(callback)}:reversal:${k}`;
/** A case whose workflow has ended before its row, for the k-th time. */
export const heldAgainWorkflowId = (workflowId: string, k: number) => `${workflowId}:again:${k}`;
/** Which case a workflow holds. */
export const caseWorkflowId = ({ inboxId, workflowId }: { readonly inboxId: string; readonly workflowId?: string }) =>
  workflowId ?? reviewWorkflowId({ id: inboxId, uid: null });

/** What an inbox row came to: a case, or the posting that booked it. */
export const reviewOutcome = (workflowId: string) => `review:${workflowId}`;
export const postingOutcome = (postingId: string | null | undefined) => `posting:${postingId}`;

/** Of the one posting that a machine makes for a deposit. */
export const creditKey = (externalOrderNumber: string) => `${depositWorkflowId(externalOrderNumber)}:credit`;

/** Accounts and keys of a provider's money: what it owes us, what waits for people, and the one posting of a code there. */
export const clearingOf = (provider: ProviderName) => `clearing:${provider}`;
export const suspenseOf = (provider: ProviderName) => `suspense:${provider}`;
export const parkKey = (provider: ProviderName, transactionCode: string) =>
  `${suspenseOf(provider)}:${transactionCode}`;

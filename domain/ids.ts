import type { ProviderName } from './order.ts';

/** Ids that tables, histories and the audit share. They are made only here and never change. */

export const depositWorkflowId = (externalOrderNumber: string) => `deposit:${externalOrderNumber}`;
/**
 * The case of a callback. After a restore PostgreSQL assigns the row's id again, while Temporal still has the old
 * workflow: hence the uid. Older rows have none.
 */
export const reviewWorkflowId = ({ id, uid }: { readonly id: string; readonly uid: string | null }) =>
  uid === null ? `review:${id}` : `review:${id}-${uid.slice(0, 8)}`;
/** The k-th case of this callback, because a credit may be doubted again after it was confirmed. */
export const reversalWorkflowId = (callback: { readonly id: string; readonly uid: string | null }, k: number) =>
  `${reviewWorkflowId(callback)}:reversal:${k}`;
/** The k-th workflow of a case whose previous workflow ended before its row was closed. */
export const heldAgainWorkflowId = (workflowId: string, k: number) => `${workflowId}:again:${k}`;
/** The case that a workflow holds. */
export const caseWorkflowId = ({ inboxId, workflowId }: { readonly inboxId: string; readonly workflowId?: string }) =>
  workflowId ?? reviewWorkflowId({ id: inboxId, uid: null });

/** Whether a workflow's value has the form of our ids and may be quoted: somebody may have written it by hand. */
export const isPlain = (value: unknown): value is string => typeof value === 'string' && /^[\w.:-]{1,64}$/.test(value);
/** Returns a workflow's id in a form that is safe to show, at most 100 characters; ours stay unchanged. */
export const plainName = (id: string): string => id.replaceAll(/[^\w.:-]/g, '?').slice(0, 100);

/** The outcome of an inbox row: a case, or the posting that booked it. */
export const reviewOutcome = (workflowId: string) => `review:${workflowId}`;
export const postingOutcome = (postingId: string | null | undefined) => `posting:${postingId}`;

/** The key of the one posting that a machine makes for a deposit. */
export const creditKey = (externalOrderNumber: string) => `${depositWorkflowId(externalOrderNumber)}:credit`;

/**
 * Accounts and keys of a provider's money: clearing, suspense, and the one posting of a transaction code into suspense.
 */
export const clearingOf = (provider: ProviderName) => `clearing:${provider}`;
export const suspenseOf = (provider: ProviderName) => `suspense:${provider}`;
export const parkKey = (provider: ProviderName, transactionCode: string) =>
  `${suspenseOf(provider)}:${transactionCode}`;

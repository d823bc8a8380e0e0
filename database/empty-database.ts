import type { Client } from '@temporalio/client';

/** The database is empty and Temporal is not: one of the two is the wrong one. A retry does not help. */
export class ForgottenError extends Error {}

/**
 * Throws {@link ForgottenError} for an empty database beside a Temporal that knows deposits, unless that is meant.
 * Otherwise a merchant who repeats an order would be answered as if it were new (docs/guides/restore.md). Refuses
 * nothing while one of the two is away.
 */
export async function refuseIfForgotten(
  isEmpty: () => Promise<boolean>,
  client: Pick<Client, 'workflow'>,
  isMeant: boolean,
): Promise<void> {
  if (isMeant || !(await isEmpty().catch(() => false))) return;
  const { count } = await client.workflow.count(`WorkflowType = 'deposit'`).catch(() => ({ count: 0 }));
  if (count === 0) return;
  throw new ForgottenError(
    `the database holds no deposit and Temporal knows ${count}: restore the database, or set RESTORED_FROM_EMPTY=1 (docs/guides/restore.md)`,
  );
}

import type { Client } from '@temporalio/client';

/** The database is empty and Temporal is not: one of the two is not what it should be. Starting again does not help. */
export class ForgottenError extends Error {}

/**
 * Refuses to start on an empty database beside a Temporal that knows deposits, unless that is meant: a merchant who
 * repeats an order would otherwise be answered as if it were new (docs/guides/restore.md). What cannot be asked is not refused.
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

import { type Client, WorkflowExecutionAlreadyStartedError, WorkflowNotFoundError } from '@temporalio/client';
import { unopened } from '../config/temporal.ts';
import type { DepositRow } from '../database/queries/rows.ts';
import { depositStart, type DepositInput, type ReviewInput, reviewStart } from '../workflows/messages.ts';

const RPC_TIMEOUT_MS = 5_000;

/** Makes one call to Temporal; after five seconds Temporal counts as away. */
export const inTime = <T>(client: Client, call: () => Promise<T>): Promise<T> =>
  client.withDeadline(Date.now() + RPC_TIMEOUT_MS, call);

/** Reads where a workflow is, and none of its data. Throws `WorkflowNotFoundError`, and when Temporal is away. */
export const describeInTime = (client: Client, workflowId: string) =>
  inTime(client, () => unopened(client).getHandle(workflowId).describe());

/** A workflow that has ended meanwhile needs no signal. */
export function unlessGone(error: unknown): void {
  if (!(error instanceof WorkflowNotFoundError)) throw error;
}

/**
 * Starts `deposit:<n>`, or finds it running; idempotent. `reuse`: whether the id of a stopped run may be used once
 * more. False: its run has ended, and nobody owns the deposit. Throws when Temporal is away; the start may have been
 * accepted.
 */
export const startDeposit = (
  client: Client,
  row: DepositRow,
  reuse: 'REJECT_DUPLICATE' | 'ALLOW_DUPLICATE_FAILED_ONLY' = 'REJECT_DUPLICATE',
): Promise<boolean> =>
  isStarted(client, () =>
    client.workflow.start('deposit', {
      ...depositStart({ ...depositInput(row), reservedAt: row.createdAt.toISOString() }),
      workflowIdReusePolicy: reuse,
    }),
  );

/** The input of a workflow from a deposit's row: what was requested, and what was frozen. */
export const depositInput = (row: DepositRow): DepositInput => ({
  externalOrderNumber: row.externalOrderNumber,
  wallet: row.wallet,
  buyCoinMode: row.buyCoinMode,
  mtcAmount: row.mtcAmount,
  totalPrice: row.totalPrice,
  currencyCode: row.currencyCode,
  settings: row.settings,
  provider: row.provider,
});

/** Starts `review:<inboxId>`, or finds it; idempotent. Throws when Temporal is away. */
export async function startReview(client: Client, input: ReviewInput): Promise<void> {
  await isStarted(client, () => client.workflow.start('review', reviewStart(input)));
}

async function isStarted(client: Client, start: () => Promise<unknown>): Promise<boolean> {
  try {
    await inTime(client, start);
    return true;
  } catch (error) {
    if (!(error instanceof WorkflowExecutionAlreadyStartedError)) throw error;
    return false;
  }
}

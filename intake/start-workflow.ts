import { type Client, WorkflowExecutionAlreadyStartedError } from '@temporalio/client';
import type { DepositRow } from '../database/queries/rows.ts';
import { depositStart, type DepositInput, type ReviewInput, reviewStart } from '../workflows/messages.ts';

/** The deadline of one call to Temporal, in ms; after it Temporal counts as away. */
export const RPC_TIMEOUT_MS = 5_000;

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
    await client.withDeadline(Date.now() + RPC_TIMEOUT_MS, start);
    return true;
  } catch (error) {
    if (!(error instanceof WorkflowExecutionAlreadyStartedError)) throw error;
    return false;
  }
}

import { type Client, WorkflowExecutionAlreadyStartedError } from '@temporalio/client';
import type { DepositRow } from '../database/rows.ts';
import { depositStart, type DepositInput, type ReviewInput, reviewStart } from '../workflows/messages.ts';

/** Beyond this Temporal counts as away. */
const RPC_TIMEOUT_MS = 5_000;

/**
 * Starts `deposit:<n>` or finds it running or closed; whichever, it exists afterwards. Throws when Temporal is away:
 * the start may have been accepted, and repeating it is harmless.
 */
export async function startDeposit(client: Client, row: DepositRow): Promise<void> {
  await unlessStarted(client, () => client.workflow.start('deposit', depositStart(depositInput(row))));
}

/** What a workflow knows of a deposit from its row: what was asked, and what was frozen. */
export const depositInput = (row: DepositRow): DepositInput => ({
  externalOrderNumber: row.externalOrderNumber,
  wallet: row.wallet,
  buyCoinMode: row.buyCoinMode,
  mtcAmount: row.mtcAmount,
  totalPrice: row.totalPrice,
  currencyCode: row.currencyCode,
  settings: row.settings,
});

/** Starts `review:<inboxId>` or finds it. Throws when Temporal is away; repeating it is harmless. */
export async function startReview(client: Client, input: ReviewInput): Promise<void> {
  await unlessStarted(client, () => client.workflow.start('review', reviewStart(input)));
}

async function unlessStarted(client: Client, start: () => Promise<unknown>): Promise<void> {
  try {
    await client.withDeadline(Date.now() + RPC_TIMEOUT_MS, start);
  } catch (error) {
    if (!(error instanceof WorkflowExecutionAlreadyStartedError)) throw error;
  }
}

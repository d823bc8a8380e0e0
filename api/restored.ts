import { createHash } from 'node:crypto';
import { type Client, WorkflowNotFoundError } from '@temporalio/client';
import { raiseAlarm } from '../config/log.ts';
import { insertRestored } from '../database/callbacks.ts';
import { casesWithoutRow, decidedLongAgo } from '../database/cases.ts';
import { adoptDeposit, endedOrMissing, openDepositsAfter, type PageEnd } from '../database/deposits.ts';
import { inTransaction } from '../database/pool.ts';
import type { DepositRow } from '../database/rows.ts';
import { depositWorkflowId, lookAgain } from '../workflows/messages.ts';
import { saidBy, whereIs } from './open-case.ts';
import { look, raise, type RaiseDependencies } from './raise.ts';
import { startDeposit } from './start-deposit.ts';

/**
 * What the engine does by itself after PostgreSQL or Temporal was restored to an older state (docs/restore.md). Nothing
 * moves by the word of a history: where the two differ about money, people decide.
 */

/** A reservation that waits: its workflow is started, or looks at the row, or has ended before the row was written. */
export async function startOrAdopt(deps: RaiseDependencies, deposit: DepositRow, lagMs: number): Promise<void> {
  await startDeposit(deps.client, deposit);
  try {
    await look(deps.client, deposit.externalOrderNumber);
  } catch (error) {
    if (!(error instanceof WorkflowNotFoundError)) throw error;
    await adopt(deps, deposit, lagMs);
  }
}

/** The workflow of an open row has ended: people see what its history says, and decide. Idempotent. */
async function adopt(
  deps: RaiseDependencies,
  { externalOrderNumber, boundCallback }: DepositRow,
  lagMs: number,
): Promise<void> {
  const workflowId = depositWorkflowId(externalOrderNumber);
  if ((await whereIs(deps.client, workflowId, lagMs)) !== 'ended') return;
  // What is bound has a case, or is raised until it has one.
  if (boundCallback !== null) return;
  const said = await saidBy(deps.client, workflowId);
  const hash = createHash('sha256').update(`restored|${said}`).digest();
  const row = await inTransaction(deps.pool, async (client) => {
    await adoptDeposit(client, externalOrderNumber);
    return insertRestored(client, externalOrderNumber, hash, said);
  });
  if (row === null) return;
  raiseAlarm(deps.log, 'deposit_adopted', { deposit: externalOrderNumber, inboxId: row.id });
  await raise(deps, row);
}

const AT_A_TIME = 100;

/**
 * Looks after open deposits in turns: one whose workflow is gone is started again (its attempts forbid a second order),
 * one whose workflow has ended is for people. Answers where the next turn begins; null: at the beginning.
 */
export async function mendDeposits(
  deps: RaiseDependencies,
  after: PageEnd | null,
  lagMs: number,
): Promise<PageEnd | null> {
  let at = after;
  for (;;) {
    const deposits = await openDepositsAfter(deps.pool, at, 2 * lagMs, AT_A_TIME);
    let mended = 0;
    for (const deposit of deposits) {
      const where = await whereIs(deps.client, depositWorkflowId(deposit.externalOrderNumber), lagMs);
      if (where === 'running' || where === 'stopped') continue;
      mended += 1;
      if (where === 'ended') await adopt(deps, deposit, lagMs);
      else {
        raiseAlarm(deps.log, 'workflow_gone', { deposit: deposit.externalOrderNumber });
        await startOrAdopt(deps, deposit, lagMs);
      }
    }
    const last = deposits.at(-1);
    if (last === undefined || deposits.length < AT_A_TIME) return null;
    at = { createdAt: last.createdAt.toISOString(), externalOrderNumber: last.externalOrderNumber };
    // Nothing to mend: the rest waits for its turn.
    if (mended === 0) return at;
  }
}

const CHUNK = 500;

/**
 * At the start: workflows that run although their rows have ended, because Temporal was restored to an older
 * state, are told to look; those without a row are reported, because PostgreSQL was.
 */
export async function wakeOutdated(deps: RaiseDependencies, lagMs: number, stop: AbortSignal): Promise<void> {
  const { client, pool, log } = deps;
  const wake = async (workflowId: string) =>
    client.workflow
      .getHandle(workflowId)
      .signal(lookAgain)
      .catch((error: unknown) => {
        if (!(error instanceof WorkflowNotFoundError)) throw error;
      });
  await inChunks(client, 'deposit', stop, async (workflowIds) => {
    const { ended, missing } = await endedOrMissing(
      pool,
      workflowIds.map((id) => id.replace(/^deposit:/, '')),
      lagMs,
    );
    for (const n of ended) await wake(depositWorkflowId(n));
    for (const n of missing) raiseAlarm(log, 'deposit_row_missing', { deposit: n });
  });
  await inChunks(client, 'review', stop, async (workflowIds) => {
    const heldBy = new Map(workflowIds.map((id) => [id.replace(/:again:\d+$/, ''), id]));
    for (const id of await decidedLongAgo(pool, [...heldBy.keys()], lagMs)) await wake(heldBy.get(id)!);
    for (const id of await casesWithoutRow(pool, [...heldBy.keys()])) raiseAlarm(log, 'case_row_missing', { case: id });
  });
}

async function inChunks(
  client: Client,
  type: 'deposit' | 'review',
  stop: AbortSignal,
  work: (workflowIds: string[]) => Promise<void>,
): Promise<void> {
  let chunk: string[] = [];
  for await (const { workflowId } of client.workflow.list({
    query: `WorkflowType = '${type}' AND ExecutionStatus = 'Running'`,
  })) {
    if (stop.aborted) return;
    chunk.push(workflowId);
    if (chunk.length < CHUNK) continue;
    await work(chunk);
    chunk = [];
  }
  if (chunk.length > 0) await work(chunk);
}

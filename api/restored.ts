import { createHash } from 'node:crypto';
import { type Client, WorkflowNotFoundError } from '@temporalio/client';
import { openHistory, valueOf } from '../archive/history.ts';
import { raiseAlarm } from '../config/log.ts';
import { insertRestored } from '../database/callbacks.ts';
import { casesWithoutRow, decidedLongAgo } from '../database/cases.ts';
import { adoptDeposit, endedOrMissing, openDepositsAfter, type PageEnd } from '../database/deposits.ts';
import { wasRestoredSince } from '../database/placements.ts';
import { inTransaction } from '../database/pool.ts';
import type { DepositRow } from '../database/rows.ts';
import { IDENTIFIER } from '../domain/order.ts';
import { depositWorkflowId, lookAgain, type ReviewInput } from '../workflows/messages.ts';
import { saidBy, whereIs } from './open-case.ts';
import { look, raise, type RaiseDependencies } from './raise.ts';
import type { Sealer } from '../config/inbox-seal.ts';
import { startDeposit } from './start-deposit.ts';

/**
 * What the engine does by itself after PostgreSQL or Temporal was restored to an older state (docs/restore.md). Nothing
 * moves by the word of a history: where the two differ about money, people decide.
 */

export interface RestoreDependencies extends RaiseDependencies {
  /** Seals the rows of what is opened anew. */
  readonly seal: Sealer;
}

/** A reservation that waits: its workflow is started, or looks at the row, or has ended before the row was written. */
export async function startOrAdopt(deps: RestoreDependencies, deposit: DepositRow, lagMs: number): Promise<void> {
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
  deps: RestoreDependencies,
  { externalOrderNumber, boundCallback }: DepositRow,
  lagMs: number,
): Promise<void> {
  const workflowId = depositWorkflowId(externalOrderNumber);
  if ((await whereIs(deps.client, workflowId, lagMs)) !== 'ended') return;
  // What is bound has a case, or is raised until it has one.
  if (boundCallback !== null) return;
  const said = await saidBy(deps.client, workflowId);
  const row = await inTransaction(deps.pool, async (client) => {
    await adoptDeposit(client, externalOrderNumber);
    return insertRestored(client, externalOrderNumber, restoredHash(said), said, deps.seal);
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
  deps: RestoreDependencies,
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
 * state, are told to look; those without a row are reported, or opened anew, because
 * PostgreSQL was.
 */
export async function wakeOutdated(deps: RestoreDependencies, lagMs: number, stop: AbortSignal): Promise<void> {
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
    for (const id of await casesWithoutRow(pool, [...heldBy.keys()])) await rebuildCase(deps, heldBy.get(id)!);
  });
}

/**
 * A case runs and its row is lost: its callback was acknowledged and does not come again. When the database was restored
 * after it began, people get another case, which shows what the first was about; what they credit they state for
 * themselves. Idempotent.
 */
async function rebuildCase(deps: RestoreDependencies, workflowId: string): Promise<void> {
  const handle = deps.client.workflow.getHandle(workflowId);
  const { startTime } = await handle.describe();
  const about = (await wasRestoredSince(deps.pool, startTime)) ? await subjectOf(deps.client, workflowId) : null;
  if (about === null) return raiseAlarm(deps.log, 'case_row_missing', { case: workflowId });
  const row = await inTransaction(deps.pool, (client) =>
    insertRestored(client, about.externalOrderNumber, restoredHash(about.said), about.said, deps.seal),
  );
  raiseAlarm(deps.log, 'case_rebuilt', { case: workflowId, deposit: about.externalOrderNumber, inboxId: row?.id });
  if (row !== null) await raise(deps, row);
  await handle.terminate('its row was lost with the database, and another case holds what it was about');
}

const restoredHash = (said: string): Buffer => createHash('sha256').update(`restored|${said}`).digest();

/** What a running case was started with, in words; null: it is none of ours. */
async function subjectOf(
  client: Client,
  workflowId: string,
): Promise<{ readonly externalOrderNumber: string; readonly said: string } | null> {
  const sealed = await client.workflow.getHandle(workflowId).fetchHistory();
  const { events } = await openHistory(sealed, client.options.loadedDataConverter.payloadCodecs);
  const started = events?.[0]?.workflowExecutionStartedEventAttributes;
  const { externalOrderNumber, reason, inboxId, transactionCode, payment } = (valueOf(started?.input?.payloads?.[0]) ??
    {}) as Partial<ReviewInput>;
  if (!IDENTIFIER.test(String(externalOrderNumber))) return null;
  const facts = {
    reason,
    'inbox row': inboxId,
    transaction: transactionCode,
    amount: payment?.transactionAmount,
    currency: payment?.currencyCode,
    price: payment?.paymentPrice,
    received: payment?.receivedAt,
  };
  // Somebody may have started it by hand: words of a plain kind, and few.
  const told = Object.entries(facts).filter(([, value]) => typeof value === 'string' && PLAIN.test(value));
  const said = `${workflowId} runs without a row: ${told.map(([name, value]) => `${name} ${value}`).join(', ')}`;
  return { externalOrderNumber: externalOrderNumber!, said };
}

const PLAIN = /^[\w.:-]{1,64}$/;

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

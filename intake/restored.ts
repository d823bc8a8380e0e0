import type { Client } from '@temporalio/client';
import type { PayloadCodec } from '@temporalio/common';
import type { History } from '@temporalio/common/lib/proto-utils.js';
import { HistoryUnreadable, openHistory, valueOf } from '../archive/history.ts';
import { unopened } from '../config/temporal.ts';
import { inLanes } from '../telemetry/lanes.ts';
import { raiseAlarm } from '../telemetry/alarms.ts';
import { findCallback, insertRestored } from '../database/queries/callbacks.ts';
import { casesWithoutRow, decidedLongAgo, regainCase } from '../database/queries/cases.ts';
import { type OpenDeposit, type WithoutCase, withoutCaseOf } from '../database/queries/due-rows.ts';
import { adoptDeposit, endedOrMissing } from '../database/queries/deposits.ts';
import { wasRestoredSince } from '../database/queries/placements.ts';
import { inTransaction } from '../database/pool.ts';
import { readClocks } from '../database/queries/provider-clock.ts';
import type { DepositRow } from '../database/queries/rows.ts';
import { IDENTIFIER } from '../domain/order.ts';
import { lookAgain, type ReviewInput } from '../workflows/messages.ts';
import { saidBy, whereIs } from './open-case.ts';
import { signalLookAgain, signalCallback, type SignalDependencies } from './signal-workflow.ts';
import type { Sealer } from '../config/keys/inbox-seal.ts';
import { describeInTime, inTime, startDeposit, unlessGone } from './start-workflow.ts';
import { depositWorkflowId, isPlain, plainName } from '../domain/ids.ts';

/**
 * The repairs that the engine makes by itself after PostgreSQL or Temporal was restored to an older state
 * (docs/guides/restore.md). No money moves because a history says so: where the two differ about money, operators
 * decide.
 */

export interface RestoreDependencies extends SignalDependencies {
  /** Seals the inbox rows of cases that are opened after a restore. */
  readonly seal: Sealer;
}

/** A row and its workflow may contradict each other for this long, in ms: one only lags behind the other. */
export const LAG_MS = 60_000;

/**
 * Gives an open row an owner. False: there was nothing to do. Throws when Temporal or the database is away; idempotent.
 * - Its workflow runs: it stays the owner.
 * - A payment is bound: its owner is signaled, or it becomes a case.
 * - The workflow has ended: a case shows operators what its history reports.
 * - The workflow never began: it is started.
 * - The workflow is gone: another one is started, which never places the order.
 */
export async function mendDeposit(deps: RestoreDependencies, deposit: DepositRow, lagMs: number): Promise<boolean> {
  const { externalOrderNumber, state, boundCallback } = deposit;
  const where = await whereIs(deps, depositWorkflowId(externalOrderNumber), lagMs);
  if (where === 'running') {
    // PostgreSQL may have lost facts that its workflow knows.
    if (state === 'PLACING') await signalLookAgain(deps.client, externalOrderNumber).catch(unlessGone);
    return false;
  }
  if (boundCallback !== null) return raiseBound(deps, externalOrderNumber, boundCallback);
  if (where === 'ended') return showEnded(deps, deposit);
  const wasNeverStarted = where === 'gone' && state === 'PLACING';
  if (!wasNeverStarted) await adoptDeposit(deps.pool, externalOrderNumber);
  await startDeposit(deps.client, deposit, 'ALLOW_DUPLICATE_FAILED_ONLY');
  if (!wasNeverStarted) raiseAlarm(deps.log, 'workflow_gone', { deposit: externalOrderNumber });
  return true;
}

/**
 * Raises an alarm about a deposit that waits long after the end of its windows, although its workflow runs: nobody
 * works on it, or it fails again and again, or it is paused. A workflow that began after its row waits for both windows
 * anew. False: the deposit is in time.
 */
export async function tellOverdue(
  deps: RestoreDependencies,
  deposit: OpenDeposit,
  overdueMs: number,
): Promise<boolean> {
  if (!isOverdue(deposit, overdueMs)) return false;
  const { externalOrderNumber, state, settings } = deposit;
  const { startTime } = await describeInTime(deps.client, depositWorkflowId(externalOrderNumber));
  const { databaseMs } = await readClocks(deps.pool);
  const windowMs = settings.paymentWindowMs + (state === 'AWAITING_PAYMENT' ? 0 : settings.listeningWindowMs);
  if (databaseMs - startTime.getTime() < windowMs + overdueMs) return false;
  raiseAlarm(deps.log, 'deposit_overdue', { deposit: externalOrderNumber, state, ageMs: deposit.overdueMs });
  return true;
}

export const isOverdue = (deposit: OpenDeposit, overdueMs: number): boolean =>
  deposit.overdueMs !== null && deposit.overdueMs > overdueMs;

/** Raises the payment of a deposit without a workflow: it becomes a case, unless it is one. A lost case is an alarm. */
async function raiseBound(
  deps: SignalDependencies,
  externalOrderNumber: string,
  boundCallback: string,
): Promise<boolean> {
  const callback = await findCallback(deps.pool, boundCallback);
  if (callback?.outcome === null) {
    await signalCallback(deps, callback);
    return true;
  }
  const found = await withoutCaseOf(deps.pool, externalOrderNumber);
  if (found === null) return false;
  tellWithoutCase(deps, found);
  return true;
}

/**
 * Handles a deposit that needs a decision and has no open case; idempotent. If there never was a case, its row is
 * written once more, and the relay's loop over cases starts the workflow. If operators have closed one, no case is
 * opened, and an alarm is raised.
 */
export async function mendWithoutCase(deps: SignalDependencies, found: WithoutCase): Promise<void> {
  const { externalOrderNumber, inboxId } = found;
  const regained = await regainCase(deps.pool, externalOrderNumber);
  if (regained === null) return tellWithoutCase(deps, found);
  raiseAlarm(deps.log, 'case_rebuilt', { case: regained, deposit: externalOrderNumber, inboxId });
}

function tellWithoutCase({ log }: SignalDependencies, { externalOrderNumber, ...found }: WithoutCase): void {
  raiseAlarm(log, 'deposit_without_case', { deposit: externalOrderNumber, ...found });
}

/**
 * Opens a case for an open row whose workflow has ended. Operators see what its history reports; their decision ends
 * the deposit.
 */
async function showEnded(deps: RestoreDependencies, { externalOrderNumber }: DepositRow): Promise<boolean> {
  const said = await saidBy(deps.client, depositWorkflowId(externalOrderNumber));
  const row = await inTransaction(deps.pool, (client) =>
    insertRestored(client, externalOrderNumber, said, 'RESTORED', deps.seal),
  );
  if (row === null) return false;
  raiseAlarm(deps.log, 'deposit_adopted', { deposit: externalOrderNumber, inboxId: row.id });
  await signalCallback(deps, row);
  return true;
}

const CHUNK = 500;
const AT_A_TIME = 8;

/**
 * Compares the running workflows with their rows, at the start.
 * - The row has ended, because Temporal was restored: the workflow is signaled to look.
 * - The row is missing, because PostgreSQL was restored: a deposit is reported, a case is opened anew.
 * One failure hides no other; the first is thrown in the end.
 */
export async function wakeOutdated(deps: RestoreDependencies, lagMs: number, stop: AbortSignal): Promise<void> {
  const { client, pool, log } = deps;
  const failures: unknown[] = [];
  const each = (workflowIds: readonly string[], work: (workflowId: string) => Promise<void>) =>
    inLanes(workflowIds, AT_A_TIME, async (id) => {
      if (!stop.aborted) await work(id).catch((error: unknown) => failures.push(error));
    });
  const wake = (workflowId: string) =>
    inTime(client, () => client.workflow.getHandle(workflowId).signal(lookAgain)).catch(unlessGone);
  await inChunks(client, 'deposit', stop, async (workflowIds) => {
    const numbers = workflowIds.map((id) => id.replace(/^deposit:/, ''));
    const { ended, missing } = await endedOrMissing(pool, numbers.filter(isPlain), lagMs);
    for (const n of [...missing, ...numbers.filter((n) => !isPlain(n))])
      raiseAlarm(log, 'deposit_row_missing', { deposit: plainName(n) });
    await each(ended, (n) => wake(depositWorkflowId(n)));
  });
  await inChunks(client, 'review', stop, async (workflowIds) => {
    const heldBy = new Map(workflowIds.map((id) => [id.replace(/:again:\d+$/, ''), id]));
    const named = [...heldBy.keys()].filter(isPlain);
    await each(await decidedLongAgo(pool, named, lagMs), (id) => wake(heldBy.get(id)!));
    const unnamed = [...heldBy.keys()].filter((id) => !isPlain(id));
    await each([...(await casesWithoutRow(pool, named)), ...unnamed], (id) => rebuildCase(deps, heldBy.get(id)!));
  });
  if (failures.length > 0) throw failures[0];
}

/**
 * Replaces a running case whose row is lost: its callback was acknowledged and does not come again. Only if the
 * database was restored after the case began; otherwise it is an alarm. The new case shows what the first was about,
 * and operators state for themselves what they credit. Idempotent.
 */
async function rebuildCase(deps: RestoreDependencies, workflowId: string): Promise<void> {
  const { startTime } = await describeInTime(deps.client, workflowId);
  const about = (await wasRestoredSince(deps.pool, startTime)) ? await subjectOf(deps.client, workflowId) : null;
  if (about === null) return raiseAlarm(deps.log, 'case_row_missing', { case: plainName(workflowId) });
  const row = await inTransaction(deps.pool, (client) =>
    insertRestored(client, about.externalOrderNumber, about.said, 'CASE_RESTORED', deps.seal),
  );
  raiseAlarm(deps.log, 'case_rebuilt', { case: workflowId, deposit: about.externalOrderNumber, inboxId: row?.id });
  if (row !== null) await signalCallback(deps, row);
  const why = 'its row was lost with the database, and another case holds what it was about';
  await inTime(deps.client, () => deps.client.workflow.getHandle(workflowId).terminate(why));
}

/** Returns the input of a running case, in words; null: the workflow is not ours. */
async function subjectOf(
  client: Client,
  workflowId: string,
): Promise<{ readonly externalOrderNumber: string; readonly said: string } | null> {
  const sealed = await inTime(client, () => client.workflow.getHandle(workflowId).fetchHistory());
  const input = await inputOf(sealed, client.options.loadedDataConverter.payloadCodecs);
  const { externalOrderNumber, reason, inboxId, transactionCode, payment } = input;
  if (!isPlain(workflowId) || typeof externalOrderNumber !== 'string' || !IDENTIFIER.test(externalOrderNumber))
    return null;
  const facts = {
    reason,
    'inbox row': inboxId,
    transaction: transactionCode,
    amount: payment?.transactionAmount,
    currency: payment?.currencyCode,
    price: payment?.paymentPrice,
    received: payment?.receivedAt,
  };
  const told = Object.entries(facts).filter(([, value]) => isPlain(value));
  const said = `${workflowId} runs without a row: ${told.map(([name, value]) => `${name} ${value}`).join(', ')}`;
  return { externalOrderNumber, said };
}

/** Returns the input of a workflow, unchecked; nothing where it cannot be read. */
async function inputOf(sealed: History, codecs: readonly PayloadCodec[]): Promise<Partial<ReviewInput>> {
  try {
    const { events } = await openHistory(sealed, codecs);
    return valueOf(events?.[0]?.workflowExecutionStartedEventAttributes?.input?.payloads?.[0]) ?? {};
  } catch (error) {
    if (!(error instanceof HistoryUnreadable)) throw error;
    return {};
  }
}

async function inChunks(
  client: Client,
  type: 'deposit' | 'review',
  stop: AbortSignal,
  work: (workflowIds: string[]) => Promise<void>,
): Promise<void> {
  let chunk: string[] = [];
  for await (const { workflowId } of unopened(client).list({
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

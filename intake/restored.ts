import { type Client, WorkflowNotFoundError } from '@temporalio/client';
import type { PayloadCodec } from '@temporalio/common';
import type { History } from '@temporalio/common/lib/proto-utils.js';
import { HistoryUnreadable, openHistory, valueOf } from '../archive/history.ts';
import { unopened } from '../config/temporal.ts';
import { raiseAlarm } from '../telemetry/log.ts';
import { findCallback, insertRestored } from '../database/queries/callbacks.ts';
import {
  casesWithoutRow,
  decidedLongAgo,
  regainCase,
  withoutCaseOf,
  type WithoutCase,
} from '../database/queries/cases.ts';
import { adoptDeposit, endedOrMissing, type OpenDeposit } from '../database/queries/deposits.ts';
import { wasRestoredSince } from '../database/queries/placements.ts';
import { inTransaction } from '../database/pool.ts';
import { readClocks } from '../database/queries/provider-clock.ts';
import type { DepositRow } from '../database/queries/rows.ts';
import { IDENTIFIER } from '../domain/order.ts';
import { lookAgain, type ReviewInput } from '../workflows/messages.ts';
import { saidBy, whereIs } from './open-case.ts';
import { signalLookAgain, signalCallback, type SignalDependencies } from './signal-workflow.ts';
import type { Sealer } from '../config/keys/inbox-seal.ts';
import { RPC_TIMEOUT_MS, startDeposit } from './start-workflow.ts';
import { depositWorkflowId, isPlain, plainName } from '../domain/ids.ts';

/**
 * What the engine does by itself after PostgreSQL or Temporal was restored to an older state (docs/guides/restore.md). Nothing
 * moves by the word of a history: where the two differ about money, people decide.
 */

export interface RestoreDependencies extends SignalDependencies {
  /** Seals the rows of what is opened anew. */
  readonly seal: Sealer;
}

/** For so long a row and its workflow that contradict each other only lag behind one another. */
export const LAG_MS = 60_000;

/**
 * Sees to it that an open row has an owner. Its workflow runs; or it never began and is started; or it is gone and another
 * one is started, which never places the order; or it has ended and people are shown what its history says. A payment that
 * is bound is told to whoever owns it by now. False: there was nothing to do. Throws when Temporal or the database is
 * away; idempotent.
 */
export async function mendDeposit(deps: RestoreDependencies, deposit: DepositRow, lagMs: number): Promise<boolean> {
  const { externalOrderNumber, state, boundCallback } = deposit;
  const where = await whereIs(deps, depositWorkflowId(externalOrderNumber), lagMs);
  if (where === 'running') {
    // PostgreSQL may have lost what its workflow knows.
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
 * A deposit that still waits long after its windows are over, although its workflow runs: nobody works on it, or it fails
 * again and again, or is paused. People are told. A workflow of later than its row waits for both windows anew. False: it
 * is in time.
 */
export async function tellOverdue(
  deps: RestoreDependencies,
  deposit: OpenDeposit,
  overdueMs: number,
): Promise<boolean> {
  if (!isOverdue(deposit, overdueMs)) return false;
  const { externalOrderNumber, state, settings } = deposit;
  const { startTime } = await deps.client.withDeadline(Date.now() + RPC_TIMEOUT_MS, () =>
    unopened(deps.client).getHandle(depositWorkflowId(externalOrderNumber)).describe(),
  );
  const { databaseMs } = await readClocks(deps.pool);
  const windowMs = settings.paymentWindowMs + (state === 'AWAITING_PAYMENT' ? 0 : settings.listeningWindowMs);
  if (databaseMs - startTime.getTime() < windowMs + overdueMs) return false;
  raiseAlarm(deps.log, 'deposit_overdue', { deposit: externalOrderNumber, state, ageMs: deposit.overdueMs });
  return true;
}

export const isOverdue = (deposit: OpenDeposit, overdueMs: number): boolean =>
  deposit.overdueMs !== null && deposit.overdueMs > overdueMs;

/** The payment of a deposit without a workflow: it becomes a case, unless it is one. */
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
 * A deposit that is for people has no open case. It is written once more where there never was one, and held by whoever looks
 * after cases; where people have closed one nothing is opened again, and they are told. Idempotent.
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

/** The workflow of an open row has ended: people see what its history says, and what they decide ends the deposit. */
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

/** A workflow that has ended meanwhile need not be told. */
function unlessGone(error: unknown): void {
  if (!(error instanceof WorkflowNotFoundError)) throw error;
}

const CHUNK = 500;
const AT_A_TIME = 8;

/**
 * At the start: workflows that run although their rows have ended, because Temporal was restored to an older
 * state, are told to look; those without a row are reported, or opened anew, because
 * PostgreSQL was. One that fails hides no other; the first failure is thrown in the end.
 */
export async function wakeOutdated(deps: RestoreDependencies, lagMs: number, stop: AbortSignal): Promise<void> {
  const { client, pool, log } = deps;
  const failures: unknown[] = [];
  const each = async (workflowIds: readonly string[], work: (workflowId: string) => Promise<void>) => {
    const queue = workflowIds.values();
    await Promise.all(
      Array.from({ length: AT_A_TIME }, async () => {
        for (const id of queue) if (!stop.aborted) await work(id).catch((error: unknown) => failures.push(error));
      }),
    );
  };
  const wake = (workflowId: string) =>
    client
      .withDeadline(Date.now() + RPC_TIMEOUT_MS, () => client.workflow.getHandle(workflowId).signal(lookAgain))
      .catch(unlessGone);
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
 * A case runs and its row is lost: its callback was acknowledged and does not come again. When the database was restored
 * after it began, people get another case, which shows what the first was about; what they credit they state for
 * themselves. Idempotent.
 */
async function rebuildCase(deps: RestoreDependencies, workflowId: string): Promise<void> {
  const handle = deps.client.workflow.getHandle(workflowId);
  const inTime = <T>(call: () => Promise<T>) => deps.client.withDeadline(Date.now() + RPC_TIMEOUT_MS, call);
  const { startTime } = await inTime(() => unopened(deps.client).getHandle(workflowId).describe());
  const about = (await wasRestoredSince(deps.pool, startTime)) ? await subjectOf(deps.client, workflowId) : null;
  if (about === null) return raiseAlarm(deps.log, 'case_row_missing', { case: plainName(workflowId) });
  const row = await inTransaction(deps.pool, (client) =>
    insertRestored(client, about.externalOrderNumber, about.said, 'CASE_RESTORED', deps.seal),
  );
  raiseAlarm(deps.log, 'case_rebuilt', { case: workflowId, deposit: about.externalOrderNumber, inboxId: row?.id });
  if (row !== null) await signalCallback(deps, row);
  await inTime(() => handle.terminate('its row was lost with the database, and another case holds what it was about'));
}

/** What a running case was started with, in words; null: it is none of ours. */
async function subjectOf(
  client: Client,
  workflowId: string,
): Promise<{ readonly externalOrderNumber: string; readonly said: string } | null> {
  const sealed = await client.withDeadline(Date.now() + RPC_TIMEOUT_MS, () =>
    client.workflow.getHandle(workflowId).fetchHistory(),
  );
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

/** What it was started with, whatever that is; nothing where it cannot be read. */
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

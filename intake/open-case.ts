import { type Client, WorkflowNotFoundError } from '@temporalio/client';
import proto from '@temporalio/proto';
import type pg from 'pg';
import { HistoryUnreadable, openHistory, valueOf } from '../archive/history.ts';
import { unopened } from '../config/temporal.ts';
import { type Log, raiseAlarm } from '../telemetry/log.ts';
import { findCallback, paymentOf } from '../database/queries/callbacks.ts';
import { type CaseRow, type DoubtTarget, findOpenCase, handOver, openDoubt } from '../database/queries/cases.ts';
import { findDeposit } from '../database/queries/deposits.ts';
import { readClocks } from '../database/queries/provider-clock.ts';
import { type Operator, refusedByProof, visibleCase } from './decide-case.ts';
import { RequestRefused } from './refusal.ts';
import type { DoubtBody } from '../contract/review-answers.ts';
import { depositInput, RPC_TIMEOUT_MS, startReview } from './start-workflow.ts';
import { isPlain } from '../domain/ids.ts';

export interface CaseDependencies {
  readonly pool: pg.Pool;
  readonly client: Client;
}

/**
 * Opens a case about money that somebody doubts, wherever it is by now, or answers the one that is open. Moves nothing.
 * Throws `not_found`, `unavailable`.
 */
export async function doubtCredit(deps: CaseDependencies, operator: Operator, body: DoubtBody): Promise<CaseRow> {
  const opened = await openDoubt(deps.pool, operator.proof, subjectOf(body), body.reason).catch(refusedByProof);
  // Ours, or the one that somebody opened before.
  const open = await findOpenCase(deps.pool, opened.inboxId);
  if (open === null) throw new RequestRefused('unavailable', 'another case about this credit was decided just now');
  const found = await visibleCase(deps.pool, operator, open.workflowId);
  try {
    await startCase(deps, found);
  } catch (error) {
    throw Object.assign(new RequestRefused('unavailable', 'the case is written down and not open yet; repeat'), {
      cause: error,
    });
  }
  return found;
}

/** Exactly one of the three is given. */
function subjectOf(body: DoubtBody): DoubtTarget {
  if (body.case !== undefined) return { case: body.case };
  return body.postingId === undefined
    ? { externalOrderNumber: body.externalOrderNumber! }
    : { postingId: body.postingId };
}

/** Starts the workflow that holds a case, from what the tables say; repeating it is harmless. Throws when Temporal is away. */
async function startCase(deps: CaseDependencies, found: CaseRow, said?: string): Promise<void> {
  const callback = (await findCallback(deps.pool, found.inboxId))!;
  const deposit = found.deposit === null ? null : await findDeposit(deps.pool, found.deposit);
  await startReview(deps.client, {
    workflowId: found.workflowId,
    inboxId: found.inboxId,
    externalOrderNumber: found.externalOrderNumber,
    reason: found.reason,
    transactionCode: found.transactionCode,
    payment: callback.data === null ? null : paymentOf(callback),
    order: deposit === null ? null : depositInput(deposit),
    standing: found.standing,
    ...(found.heldBy === null ? {} : { heldBy: found.heldBy }),
    ...(said === undefined ? {} : { said }),
    ...(found.doubted === null
      ? {}
      : { doubt: { postingId: found.doubted, operator: found.openedBy ?? '', reason: found.detail } }),
  });
}

/**
 * Sees to it that an open case is held. One whose workflow was stopped by hand, or never started, gets a new one under the
 * same id. One whose workflow has completed while the row is open was decided before PostgreSQL was restored: another
 * workflow holds it, shows what that history says, and people decide again. False: it is held.
 */
export async function mendCase(
  deps: CaseDependencies & { readonly log: Log },
  found: CaseRow,
  lagMs: number,
): Promise<boolean> {
  const before = found.heldBy ?? found.workflowId;
  const where = await whereIs(deps, before, lagMs);
  if (where === 'running') return false;
  const about = { deposit: found.externalOrderNumber, inboxId: found.inboxId };
  if (where !== 'ended') {
    await startCase(deps, found);
    raiseAlarm(deps.log, 'workflow_gone', about);
    return true;
  }
  const heldBy = await handOver(deps.pool, found);
  if (heldBy === null) return false;
  raiseAlarm(deps.log, 'case_reopened', about);
  await startCase(deps, { ...found, heldBy }, await saidBy(deps.client, before));
  return true;
}

/**
 * Where a workflow is. One that completed within `lagMs`, by the database's clock, counts as running: its row is as good as
 * written; so does one that people have paused, which goes on when they let it. `stopped`: by hand, or by a fault. Throws
 * when Temporal or the database is away.
 */
export async function whereIs(
  { client, pool }: CaseDependencies,
  workflowId: string,
  lagMs: number,
): Promise<'running' | 'ended' | 'stopped' | 'gone'> {
  try {
    const { status, closeTime } = await client.withDeadline(Date.now() + RPC_TIMEOUT_MS, () =>
      unopened(client).getHandle(workflowId).describe(),
    );
    if (status.name === 'RUNNING' || status.name === 'PAUSED') return 'running';
    if (status.name !== 'COMPLETED') return 'stopped';
    const { databaseMs } = await readClocks(pool);
    return databaseMs - (closeTime?.getTime() ?? 0) < lagMs ? 'running' : 'ended';
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) return 'gone';
    throw error;
  }
}

/** The list has so long to answer; it is asked again with the next page. */
const LIST_WITHIN_MS = 3_000;
/** The list may be behind, or wrong for ever: one in so many of those that it calls running is looked at all the same. */
const TRUSTED_OF = 20;

/**
 * Of a page of rows those that have to be looked at one by one: all but what the list of running workflows has, in one
 * call instead of one per row. All of them when the list is not there.
 */
export async function perhapsNotRunning<Row>(
  client: Client,
  rows: readonly Row[],
  workflowIdOf: (row: Row) => string,
): Promise<readonly Row[]> {
  if (rows.length === 0) return rows;
  const running = new Set<string>();
  const ids = rows.map((row) => `'${workflowIdOf(row)}'`).join(', ');
  const query = `ExecutionStatus = 'Running' AND WorkflowId IN (${ids})`;
  try {
    await client.withDeadline(Date.now() + LIST_WITHIN_MS, async () => {
      for await (const { workflowId } of unopened(client).list({ query, pageSize: rows.length }))
        running.add(workflowId);
    });
  } catch {
    return rows;
  }
  return rows.filter((row) => !running.has(workflowIdOf(row)) || Math.random() * TRUSTED_OF < 1);
}

/** What a history says of how its case, or its deposit, ended. People read it; nothing moves by it. */
export async function saidBy(client: Client, workflowId: string): Promise<string> {
  try {
    const result = (await client.withDeadline(Date.now() + RPC_TIMEOUT_MS, () =>
      resultOf(client, workflowId),
    )) as Partial<Record<string, unknown>> | null;
    const said = ['decision', 'decidedBy', 'state', 'postingId', 'transactionCode']
      .filter((field) => isPlain(result?.[field]))
      .map((field) => `${field} ${String(result![field])}`);
    return `${workflowId} ended: ${said.join(', ')}`;
  } catch (error) {
    if (!(error instanceof HistoryUnreadable)) throw error;
    return `${workflowId} ended: what it came to cannot be read`;
  }
}

/**
 * What the newest run of a workflow came to; null where it came to nothing, or has not ended. Throws `HistoryUnreadable` where
 * that cannot be opened or is no JSON, and whatever Temporal throws.
 */
async function resultOf(client: Client, workflowId: string): Promise<unknown> {
  const { history } = await client.workflowService.getWorkflowExecutionHistory({
    namespace: client.options.namespace,
    execution: { workflowId },
    historyEventFilterType: proto.temporal.api.enums.v1.HistoryEventFilterType.HISTORY_EVENT_FILTER_TYPE_CLOSE_EVENT,
  });
  const { events } = await openHistory(history ?? {}, client.options.loadedDataConverter.payloadCodecs);
  return valueOf(events?.at(-1)?.workflowExecutionCompletedEventAttributes?.result?.payloads?.[0]);
}

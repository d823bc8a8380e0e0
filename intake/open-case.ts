import { type Client, WorkflowNotFoundError } from '@temporalio/client';
import proto from '@temporalio/proto';
import type pg from 'pg';
import { HistoryUnreadable, openHistory, valueOf } from '../archive/history.ts';
import { unopened } from '../config/temporal.ts';
import { raiseAlarm } from '../telemetry/alarms.ts';
import type { Log } from '../telemetry/log.ts';
import { findCallback, paymentOf } from '../database/queries/callbacks.ts';
import { type CaseRow, type DoubtTarget, findOpenCase, handOver, openDoubt } from '../database/queries/cases.ts';
import { findDeposit } from '../database/queries/deposits.ts';
import { readClocks } from '../database/queries/provider-clock.ts';
import { type Operator, refusedByProof, visibleCase } from './decide-case.ts';
import { RequestRefused } from './refusal.ts';
import type { DoubtBody } from '../contract/review-answers.ts';
import { depositInput, describeInTime, inTime, startReview } from './start-workflow.ts';
import { isPlain } from '../domain/ids.ts';

export interface CaseDependencies {
  readonly pool: pg.Pool;
  readonly client: Client;
}

/**
 * Opens a case about money in doubt, wherever it is by now, or returns the open one. Moves no money. Throws
 * {@link RequestRefused} `not_found`, `unauthorized` (the key may not decide any more), or `unavailable` (retry).
 */
export async function doubtCredit(deps: CaseDependencies, operator: Operator, body: DoubtBody): Promise<CaseRow> {
  const opened = await openDoubt(deps.pool, operator.proof, subjectOf(body), body.reason).catch(refusedByProof);
  // The case just opened, or the one that was open before.
  const open = await findOpenCase(deps.pool, opened.inboxId);
  if (open === null) throw new RequestRefused('unavailable', 'another case about this credit was decided just now');
  const found = await visibleCase(deps.pool, operator, open.workflowId);
  try {
    await startCase(deps, found);
  } catch (error) {
    throw new RequestRefused('unavailable', 'the case is written down and not open yet; repeat', { cause: error });
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

/** Starts the workflow that holds a case, with the facts in the tables. Idempotent. Throws when Temporal is away. */
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
 * Gives an open case a workflow that holds it. False: there was nothing to do.
 * - Its workflow was stopped by hand, or never started: it gets a new one under the same id.
 * - Its workflow has completed while the row is open: the case was decided before PostgreSQL was restored. Another
 *   workflow holds it and shows what the history reports, and operators decide again.
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
 * Returns where a workflow is. Throws when Temporal or the database is away.
 * - `running`: also one that completed within `lagMs`, by the database's clock: its row is as good as written; also one
 *   that is paused and may go on.
 * - `stopped`: by hand, or by a fault.
 */
export async function whereIs(
  { client, pool }: CaseDependencies,
  workflowId: string,
  lagMs: number,
): Promise<'running' | 'ended' | 'stopped' | 'gone'> {
  try {
    const { status, closeTime } = await describeInTime(client, workflowId);
    if (status.name === 'RUNNING' || status.name === 'PAUSED') return 'running';
    if (status.name !== 'COMPLETED') return 'stopped';
    const { databaseMs } = await readClocks(pool);
    return databaseMs - (closeTime?.getTime() ?? 0) < lagMs ? 'running' : 'ended';
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) return 'gone';
    throw error;
  }
}

/** The deadline of the list, in ms; the next page asks for it again. */
const LIST_WITHIN_MS = 3_000;
/** The list may be behind, or wrong for ever. One in this many rows that it calls running is checked all the same. */
const TRUSTED_OF = 20;

/**
 * Returns the rows of a page that have to be checked one by one: those that are not in the list of running workflows.
 * The list takes one call instead of one per row. Returns all rows when the list is not available.
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

/**
 * Returns how a case or a deposit ended, as its history reports it. The text is for operators; no money moves by it.
 */
export async function saidBy(client: Client, workflowId: string): Promise<string> {
  try {
    const result = (await inTime(client, () => resultOf(client, workflowId))) as Partial<
      Record<string, unknown>
    > | null;
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
 * Returns the result of the newest run of a workflow; null where it has none, or has not ended. Throws
 * `HistoryUnreadable` where the result cannot be opened or is no JSON, and every error of Temporal's.
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

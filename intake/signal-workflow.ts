import { type Client, WorkflowNotFoundError } from '@temporalio/client';
import type pg from 'pg';
import { crashPoint } from '../telemetry/crash-points.ts';
import { raiseAlarm } from '../telemetry/alarms.ts';
import type { Log } from '../telemetry/log.ts';
import { type CallbackRow, findCallback, markRaised, openOwnCase, paymentOf } from '../database/queries/callbacks.ts';
import { findDeposit, markTold } from '../database/queries/deposits.ts';
import type { Standing } from '../domain/decision.ts';
import { callbackAccepted, lookAgain, orderAnswered } from '../workflows/messages.ts';
import { findPosting } from '../ledger/read.ts';
import { depositInput, describeInTime, inTime, startDeposit, startReview, unlessGone } from './start-workflow.ts';
import { depositWorkflowId } from '../domain/ids.ts';

export interface SignalDependencies {
  readonly pool: pg.Pool;
  readonly client: Client;
  readonly log: Log;
}

/**
 * Signals the workflow that owns an inbox row: `deposit:<n>` for a bound callback, `review:<inboxId>` for every other.
 * Throws when Temporal or the database is away. Idempotent; the relay retries.
 */
export async function signalCallback(deps: SignalDependencies, callback: CallbackRow): Promise<void> {
  const isInCase = await (callback.receipt === 'first' ? signalDeposit(deps, callback) : openReview(deps, callback));
  await markRaised(deps.pool, callback.id, isInCase);
}

/** The same by its id. Anybody who has a database login can send an id, so a row that needs no signal is ignored. */
export async function signalCallbackById(deps: SignalDependencies, inboxId: string): Promise<void> {
  const callback = await findCallback(deps.pool, inboxId);
  if (callback === null || !callback.acked || callback.raisedAt !== null || callback.outcome !== null) return;
  await signalCallback(deps, callback);
}

/** Returns whether it has become a case. */
async function signalDeposit(deps: SignalDependencies, callback: CallbackRow): Promise<boolean> {
  try {
    // Its workflow accepted it before. While the workflow has work to do the signal only waits, and another one would
    // make its history longer, and a backlog larger.
    if (callback.raisedAt !== null && (await hasWork(deps.client, callback.externalOrderNumber, callback.raisedAt)))
      return false;
    await signal(deps, callback);
    return false;
  } catch (error) {
    if (!(error instanceof WorkflowNotFoundError)) throw error;
    return signalMissing(deps, callback);
  }
}

/** "Not found" means closed, deleted or never started: the database decides (docs/reference/lifecycle.md, L10). */
async function signalMissing(deps: SignalDependencies, callback: CallbackRow): Promise<boolean> {
  const now = await findCallback(deps.pool, callback.id);
  if (now === null || now.outcome !== null) return false;
  const deposit = await findDeposit(deps.pool, callback.externalOrderNumber);
  if (deposit?.state === 'PLACING' && !(await exists(deps.client, callback.externalOrderNumber))) {
    await startDeposit(deps.client, deposit);
    await signal(deps, callback);
    return false;
  }
  // The workflow was terminated or is gone otherwise. Nobody owns this payment any more, so it becomes a case.
  raiseAlarm(deps.log, 'workflow_gone', { deposit: callback.externalOrderNumber, inboxId: callback.id });
  return openReview(deps, callback);
}

async function signal({ client }: SignalDependencies, callback: CallbackRow): Promise<void> {
  const handle = client.workflow.getHandle(depositWorkflowId(callback.externalOrderNumber));
  await inTime(client, () => handle.signal(callbackAccepted, paymentOf(callback)));
}

/**
 * Writes the case's row first: a workflow that parks its money finds it. False: the callback needs no case, or another
 * is open.
 */
async function openReview(deps: SignalDependencies, callback: CallbackRow): Promise<boolean> {
  const opened = await openOwnCase(deps.pool, callback.id);
  if (opened === null) return false;
  const { workflowId, reason, said } = opened;
  const { data } = callback;
  const deposit = callback.deposit === null ? null : await findDeposit(deps.pool, callback.deposit);
  await startReview(deps.client, {
    workflowId,
    inboxId: callback.id,
    externalOrderNumber: callback.externalOrderNumber,
    reason,
    transactionCode: data?.transactionCode ?? null,
    payment: data === null ? null : paymentOf(callback),
    order: deposit === null ? null : depositInput(deposit),
    standing: await standingOf(deps.pool, data),
    ...(said === '' ? {} : { said }),
  });
  return true;
}

async function standingOf(pool: pg.Pool, data: CallbackRow['data']): Promise<Standing> {
  if (data === null) return 'unreadable';
  return (await findPosting(pool, data.transactionCode)) === null ? 'nothing' : 'elsewhere';
}

/**
 * Signals the workflow of a deposit that operators have settled. A workflow that was never started is started for its
 * history, and finds the row final; an ended one needs no signal. Throws when Temporal or the database is away;
 * idempotent.
 */
export async function signalSettled(
  deps: Pick<SignalDependencies, 'pool' | 'client'>,
  externalOrderNumber: string,
): Promise<void> {
  const deposit = await findDeposit(deps.pool, externalOrderNumber);
  if (deposit?.settledBy === null || deposit === null) return;
  try {
    await signalLookAgain(deps.client, externalOrderNumber);
  } catch (error) {
    if (!(error instanceof WorkflowNotFoundError)) throw error;
    await startDeposit(deps.client, deposit);
  }
  await markTold(deps.pool, externalOrderNumber);
}

/**
 * Signals to a deposit's workflow the checkout link that came after its placement was settled as unknown. A workflow
 * that is gone gets no signal: the next owner of the deposit reads its row.
 */
export async function signalAnswered(
  { client }: Pick<SignalDependencies, 'client'>,
  { externalOrderNumber, expiresAt }: { readonly externalOrderNumber: string; readonly expiresAt: Date },
): Promise<void> {
  const handle = client.workflow.getHandle(depositWorkflowId(externalOrderNumber));
  await inTime(client, () => handle.signal(orderAnswered, { expiresAt: expiresAt.toISOString() })).catch(unlessGone);
}

/** Signals the deposit's workflow to look at its row. */
export const signalLookAgain = (client: Client, externalOrderNumber: string): Promise<void> =>
  inTime(client, () => client.workflow.getHandle(depositWorkflowId(externalOrderNumber)).signal(lookAgain));

/**
 * Whether a task or an activity of the workflow waits for a worker or is in progress. False for a run that began after
 * `toldAt`, as by a reset: it was perhaps never signaled.
 */
async function hasWork(client: Client, externalOrderNumber: string, toldAt: Date): Promise<boolean> {
  const { status, startTime, raw } = await describeInTime(client, depositWorkflowId(externalOrderNumber));
  const { pendingWorkflowTask, pendingActivities } = raw;
  const isTold = status.name === 'RUNNING' && startTime < toldAt;
  return isTold && ((pendingWorkflowTask ?? null) !== null || (pendingActivities ?? []).length > 0);
}

async function exists(client: Client, externalOrderNumber: string): Promise<boolean> {
  try {
    await describeInTime(client, depositWorkflowId(externalOrderNumber));
    return true;
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) return false;
    throw error;
  }
}

/** Signals about inbox rows in the background. Failures, and rows that wait too long, are left to the relay. */
export interface BackgroundSignals {
  /** Repeats of one row become one. The relay raises a lost one again, and backs off. */
  begin(inboxId: string, work: () => Promise<void>): void;
  /** Begins those that wait; resolves when nothing is under way. */
  drain(): Promise<void>;
}

const MAX_UNDER_WAY = 64;
/** More would only queue in memory while Temporal is away: the relay takes the rest from the table. */
const MAX_WAITING = 1_000;
/** The relay raises a row that is older than 10 s by itself. */
const MAX_WAIT_MS = 5_000;
/** A signal gives way to callbacks for so long. */
const GIVES_WAY_MS = 1_000;
const LOOK_EVERY_MS = 10;

/**
 * `mustWait`: callbacks wait for their acknowledgement, which has a deadline. A signal costs more of the processor than
 * an acknowledgement, so it comes after those.
 */
export function createBackgroundSignals(log: Log, mustWait: () => boolean = () => false): BackgroundSignals {
  const waiting = new Map<string, { readonly work: () => Promise<void>; readonly sinceMs: number }>();
  const underWay = new Map<string, Promise<void>>();
  let isLooking = false;
  let isDraining = false;

  function start(inboxId: string, work: () => Promise<void>): void {
    const task = work()
      .then(() => crashPoint('cb.afterSignal'))
      .catch((error: Error) => log.warn({ inboxId, error: error.name }, 'left to the relay'))
      .finally(() => {
        underWay.delete(inboxId);
        pump();
      });
    underWay.set(inboxId, task);
  }

  function pump(): void {
    for (const [inboxId, { work, sinceMs }] of waiting) {
      const waitedMs = performance.now() - sinceMs;
      if (underWay.size >= MAX_UNDER_WAY) return;
      if (!isDraining && waitedMs < GIVES_WAY_MS && mustWait()) return lookLater();
      waiting.delete(inboxId);
      if (waitedMs < MAX_WAIT_MS) start(inboxId, work);
    }
  }

  function lookLater(): void {
    if (isLooking) return;
    isLooking = true;
    setTimeout(() => {
      isLooking = false;
      pump();
    }, LOOK_EVERY_MS);
  }

  return {
    begin(inboxId, work) {
      if (waiting.size >= MAX_WAITING || waiting.has(inboxId) || underWay.has(inboxId)) return;
      waiting.set(inboxId, { work, sinceMs: performance.now() });
      // After the acknowledgement is written.
      setImmediate(pump);
    },
    async drain() {
      isDraining = true;
      pump();
      while (underWay.size > 0) await Promise.all(underWay.values());
    },
  };
}

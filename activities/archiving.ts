import type { History } from '@temporalio/common/lib/proto-utils.js';
import type pg from 'pg';
import { canonicalHistory } from '../archive/canonical-history.ts';
import { appendArchive, archivedRunsOf, type ArchiveRow, type NewArchiveRow } from '../archive/chain.ts';
import type { ArchiveObjects } from '../archive/objects.ts';
import { archiveBacklog, claimClosed, type ClosedWork, finishClosed, noteLost } from '../archive/queue.ts';
import { closedRun, runsNamedBy } from '../archive/closed-run.ts';
import type { HistorySource } from '../archive/history-source.ts';
import { inLanes } from '../telemetry/lanes.ts';
import { raiseAlarm } from '../telemetry/alarms.ts';
import type { Log } from '../telemetry/log.ts';
import { plainName } from '../domain/ids.ts';
import { type Db, inTransaction } from '../database/pool.ts';

export interface ArchivingDependencies {
  readonly pool: pg.Pool;
  readonly histories: HistorySource;
  readonly objects: ArchiveObjects;
  /** The engine's version, for the rows of the chain. */
  readonly version: string;
  readonly log: Log;
}

export interface ArchiveProgress {
  /** Number of archived workflows, not of runs. */
  readonly archived: number;
  /** Number of closed workflows that could be archived next. */
  readonly left: number;
}

export interface Archiver {
  /**
   * Archives workflows whose rows are closed, about `limit` and at most twice as many. Throws when one of them could not
   * be fetched or stored.
   */
  readonly archiveClosed: (limit: number) => Promise<ArchiveProgress>;
  /** Raises an alarm for a history that has waited for half of Temporal's retention. Returns how many are due. */
  readonly watchAge: () => Promise<number>;
}

const AT_ONCE = 4;

/** Archives closed workflows. Several may run at once, and each may be killed at any point. */
export function createArchiver(deps: ArchivingDependencies): Archiver {
  let told = false;
  const toldLost = new Set<string>();

  /** The database notes one lost run of a workflow; each further one is told once by a process. */
  function tellLost(workflowId: string, runId: string | null): void {
    const lost = `${workflowId} ${runId}`;
    if (!toldLost.has(lost)) raiseAlarm(deps.log, 'history_lost', { workflowId, runId });
    toldLost.add(lost);
  }

  /** One alarm until no history is at risk. */
  async function watchAge(): Promise<number> {
    const { due, oldest } = await archiveBacklog(deps.pool);
    const retentionMs = await deps.histories.retentionMs();
    const isAtRisk = oldest !== null && retentionMs > 0 && oldest.ageMs > retentionMs / 2;
    if (isAtRisk && !told) raiseAlarm(deps.log, 'history_at_risk', { ...oldest, retentionMs });
    told = isAtRisk;
    return due;
  }

  return {
    watchAge,
    async archiveClosed(limit) {
      // Each workflow comes twice: to be archived, and to be confirmed, which costs little.
      const claimed = await claimClosed(deps.pool, 2 * limit);
      const ids = claimed.map(({ workflowId }) => workflowId);
      // Read first: another archiver may write meanwhile, and a list confirms only what was archived before it.
      const rows = await archivedRunsOf(deps.pool, ids);
      const listed = await deps.histories.listed(ids);
      const all = claimed.map((work) => {
        const [held, list] = [
          rows.filter(({ workflowId }) => workflowId === work.workflowId),
          listed.get(work.workflowId),
        ];
        return { work, held, list, isWhole: isConfirmed(work, held, list) };
      });
      await finishClosed(
        deps.pool,
        all.filter(({ isWhole }) => isWhole).map(({ work }) => work),
      );
      const failures: unknown[] = [];
      let archived = 0;
      const waiting = all.filter(({ isWhole }) => !isWhole);
      await inLanes(waiting.toReversed(), AT_ONCE, async ({ work, held, list }) => {
        try {
          if (await archiveOne({ ...deps, tellLost }, work, held, list)) archived += 1;
        } catch (error) {
          failures.push(error);
        }
      });
      const left = await watchAge();
      // The failed ones are retried soon; the others are done.
      if (failures.length > 0) throw failures[0];
      return { archived, left };
    },
  };
}

/**
 * The list lags, so a workflow leaves the queue only when a list that was taken after its runs were archived names
 * exactly these runs. A run that a former list lacked is in it, and is archived then.
 */
function isConfirmed(
  { closedAtUs }: ClosedWork,
  held: readonly ArchiveRow[],
  listed: readonly string[] | undefined,
): boolean {
  if (listed === undefined || listed.length !== held.length) return false;
  // Closed anew: a run of after that is not held yet.
  if (!held.some(({ archivedAtUs }) => archivedAtUs > BigInt(closedAtUs))) return false;
  return held.every(({ runId }) => listed.includes(runId));
}

/**
 * Archives the runs of a workflow that the archive does not hold, or none while it is open. Returns whether there were
 * any. Takes it off the queue when there was none, and the list has the newest run or Temporal has the workflow no more.
 */
async function archiveOne(
  deps: ArchivingDependencies & { readonly tellLost: (workflowId: string, runId: string | null) => void },
  work: ClosedWork,
  held: readonly ArchiveRow[],
  listed: readonly string[] | undefined,
): Promise<boolean> {
  if (listed === undefined)
    throw new Error(`${plainName(work.workflowId)} is no id of ours: its runs cannot be listed`);
  const rows: NewArchiveRow[] = [];
  const gone: (string | null)[] = [];
  const seen = new Set(held.map(({ runId }) => runId));
  const newest = await deps.histories.newest(work.workflowId);
  const toKeep = [...(newest === null ? [] : [newest.runId]), ...listed];
  for (const runId of toKeep) {
    if (seen.has(runId)) continue;
    seen.add(runId);
    const history = runId === newest?.runId ? newest.history : await deps.histories.fetch(work.workflowId, runId);
    const kept = history === null ? 'gone' : await keepHistory(deps, work.workflowId, runId, history);
    if (kept === 'open') return false;
    if (kept === 'gone') gone.push(runId);
    else {
      rows.push(kept.row);
      toKeep.push(...kept.names);
    }
  }
  if (newest === null && seen.size === 0) gone.push(null);
  const isDone = rows.length === 0 && (newest === null || listed.includes(newest.runId));
  rows.sort((a, b) => Number(a.closedAtUs - b.closedAtUs));
  // In one transaction, so that a workflow with a row in the archive has all its runs there that are known.
  const write = async (db: Db) => {
    for (const row of rows) await appendArchive(db, row);
    const news: (string | null)[] = [];
    for (const runId of gone) if (await noteLost(db, work, runId)) news.push(runId);
    if (isDone) await finishClosed(db, [work]);
    return news;
  };
  // A statement alone is a transaction.
  const isOne = rows.length + gone.length + (isDone ? 1 : 0) === 1;
  const news = isOne ? await write(deps.pool) : await inTransaction(deps.pool, write);
  for (const runId of news) deps.tellLost(work.workflowId, runId);
  return rows.length > 0;
}

/** Stores the text, which has no effect without a row, and returns the fields of the row and the runs that it names. */
async function keepHistory(
  deps: ArchivingDependencies,
  workflowId: string,
  runId: string,
  history: History,
): Promise<{ readonly row: NewArchiveRow; readonly names: readonly string[] } | 'open'> {
  const run = closedRun(history);
  if (run === null) return 'open';
  const { text, hash } = canonicalHistory(history);
  await deps.objects.put(hash, 'history', text);
  const row = { ...run, workflowId, runId, historyHash: hash, version: deps.version };
  return { row, names: runsNamedBy(history) };
}

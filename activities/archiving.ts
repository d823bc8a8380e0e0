import type pg from 'pg';
import { canonicalHistory } from '../archive/canonical-history.ts';
import { appendArchive, type NewArchiveRow } from '../archive/chain.ts';
import type { ArchiveObjects } from '../archive/objects.ts';
import { archiveBacklog, claimClosed, type ClosedWork, finishClosed, noteLost } from '../archive/queue.ts';
import { closedRun } from '../archive/closed-run.ts';
import type { HistorySource } from '../archive/history-source.ts';
import { inLanes } from '../telemetry/lanes.ts';
import { type Log, raiseAlarm } from '../telemetry/log.ts';
import { plainName } from '../domain/ids.ts';
import { inTransaction } from '../database/pool.ts';

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
   * Archives workflows whose rows are closed, at most `limit`. Throws when one of them could not be fetched or stored.
   */
  readonly archiveClosed: (limit: number) => Promise<ArchiveProgress>;
  /** Raises an alarm for a history that has waited for half of Temporal's retention. Returns how many are due. */
  readonly watchAge: () => Promise<number>;
}

const AT_ONCE = 4;

/** Archives closed workflows. Several may run at once, and each may be killed at any point. */
export function createArchiver(deps: ArchivingDependencies): Archiver {
  let told = false;

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
      const waiting = await claimClosed(deps.pool, limit);
      // A run that the list does not have yet is the newest, which `runs` adds, or its workflow is claimed once more.
      const listed = await deps.histories.listed(waiting.map(({ workflowId }) => workflowId));
      const failures: unknown[] = [];
      let archived = 0;
      await inLanes(waiting.toReversed(), AT_ONCE, async (next) => {
        try {
          if (await archiveOne(deps, next, listed.get(next.workflowId))) archived += 1;
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

/** Archives all runs of a workflow, or none while it is open. Returns whether a run of it is in the archive. */
async function archiveOne(
  deps: ArchivingDependencies,
  work: ClosedWork,
  listed: readonly string[] | undefined,
): Promise<boolean> {
  if (listed === undefined)
    throw new Error(`${plainName(work.workflowId)} is no id of ours: its runs cannot be listed`);
  const runs = await deps.histories.runs(work.workflowId, listed);
  if (runs.state === 'open') return false;
  const rows: NewArchiveRow[] = [];
  let gone: string | null | undefined = runs.latestGone ? null : undefined;
  for (const runId of runs.runIds) {
    const row = await keepHistory(deps, work.workflowId, runId);
    if (row === 'open') return false;
    if (row === 'gone') gone = runId;
    else rows.push(row);
  }
  // In one transaction, so that a workflow with a row in the archive has all its runs there.
  const isNews = await inTransaction(deps.pool, async (client) => {
    for (const row of rows) await appendArchive(client, row);
    const isNews = gone !== undefined && (await noteLost(client, work, gone));
    await finishClosed(client, work);
    return isNews;
  });
  if (isNews) raiseAlarm(deps.log, 'history_lost', { workflowId: work.workflowId, runId: gone });
  return rows.length > 0;
}

/** Stores the text, which has no effect without a row, and returns the fields of the row. */
async function keepHistory(
  deps: ArchivingDependencies,
  workflowId: string,
  runId: string,
): Promise<NewArchiveRow | 'open' | 'gone'> {
  const history = await deps.histories.fetch(workflowId, runId);
  if (history === null) return 'gone';
  const run = closedRun(history);
  if (run === null) return 'open';
  const { text, hash } = canonicalHistory(history);
  await deps.objects.put(hash, 'history', text);
  return { ...run, workflowId, runId, historyHash: hash, version: deps.version };
}

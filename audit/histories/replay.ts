import { setTimeout as wait } from 'node:timers/promises';
import type { DataConverter } from '@temporalio/common';
import type { History } from '@temporalio/common/lib/proto-utils.js';
import { type ReplayResult, Worker } from '@temporalio/worker';
import { ReusableVMWorkflowCreator } from '@temporalio/worker/lib/workflow/reusable-vm.js';
import { globalHandlers } from '@temporalio/worker/lib/workflow/vm-shared.js';

/** Runs recorded histories through one workflow code, without a server, one at a time. */
export interface Replayer {
  /**
   * Resolves to null when the code issues the same commands in the same order. That covers kinds and names; their
   * arguments are proved by comparing the facts. Otherwise resolves to the SDK's error, also for an invalid history and
   * for a replay that does not end.
   */
  replay(workflowId: string, history: History): Promise<Error | null>;
  close(): Promise<void>;
}

/** The SDK keeps about a kilobyte of each history until its replayer is closed. */
const REOPENED_AFTER = 5_000;

/** Time limit for one history; the longest possible one of a deposit takes seconds. */
const WITHIN_MS = 120_000;

/** Stays open between histories: opening takes longer than replaying fifty of them. */
export function createReplayer(code: string, dataConverter: DataConverter = {}, withinMs = WITHIN_MS): Replayer {
  let next: { readonly workflowId: string; readonly history: History } | null = null;
  let results: AsyncIterator<ReplayResult> | null = null;
  let replayed = 0;
  async function* histories() {
    for (let one = next; one !== null; one = next) yield one;
  }
  const close = async () => {
    next = null;
    await results?.next();
    results = null;
  };
  return {
    async replay(workflowId, history) {
      replayed += 1;
      if (replayed % REOPENED_AFTER === 0) await close();
      next = { workflowId, history };
      results ??= LeanReplay.runReplayHistories(
        { workflowBundle: { code }, dataConverter, replayName: 'audit' },
        histories(),
      );
      const over = new AbortController();
      try {
        const limit = wait(withinMs, null, { signal: over.signal });
        const answer = (await Promise.race([results.next(), limit])) as IteratorYieldResult<ReplayResult> | null;
        if (answer !== null) return answer.value.error ?? null;
        // The replay cannot be stopped. It is abandoned, and the next history gets a new replayer.
        results = null;
        return new Error(`replaying it does not come to an end within ${withinMs / 1_000} s`);
      } catch (error) {
        // A history that the replayer cannot even load ends the replayer.
        results = null;
        return error as Error;
      } finally {
        over.abort();
      }
    },
    close,
  };
}

type CreatorArguments = Parameters<(typeof ReusableVMWorkflowCreator)['create']>;

/**
 * The SDK's replayer without two guards that an audit does not need. They cost more than half of its time. It replays
 * and compares the same.
 * - A thread watches each call into a workflow; the audit's own process watches the parts.
 * - Stack traces of every promise serve a query that an audit never sends.
 */
export class LeanReplay extends Worker {
  protected static override async createWorkflowCreator(
    workflowBundle: CreatorArguments[0],
    options: { readonly activities: ReadonlyMap<string, unknown> },
  ): Promise<ReusableVMWorkflowCreator> {
    const unwatched = undefined as unknown as number;
    const names = new Set(options.activities.keys());
    const creator = await ReusableVMWorkflowCreator.create(workflowBundle, unwatched, names);
    globalHandlers.uninstall();
    return creator;
  }
}

import { setTimeout as wait } from 'node:timers/promises';
import type { DataConverter } from '@temporalio/common';
import type { History } from '@temporalio/common/lib/proto-utils.js';
import { type ReplayResult, Worker } from '@temporalio/worker';
import { ReusableVMWorkflowCreator } from '@temporalio/worker/lib/workflow/reusable-vm.js';
import { globalHandlers } from '@temporalio/worker/lib/workflow/vm-shared.js';

/** Runs recorded histories through one workflow code, without a server, one at a time. */
export interface Replayer {
  /**
   * Null: the code asks for the same things in the same order. That is kinds and names; what each was given is proved
   * by comparing the facts. Otherwise the SDK's error, also for what is no history, or that it does not end.
   */
  replay(workflowId: string, history: History): Promise<Error | null>;
  close(): Promise<void>;
}

/** The SDK keeps about a kilobyte of each history until its replayer is closed. */
const REOPENED_AFTER = 5_000;

/** Of a history; the longest that a deposit can have takes seconds. */
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
        // It cannot be stopped. It waits where it is, and the next history gets a replayer of its own.
        results = null;
        return new Error(`replaying it does not come to an end within ${withinMs / 1_000} s`);
      } catch (error) {
        // What the replayer cannot take at all ends it.
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
 * The SDK's replayer without two guards that cost it more than half of its time and that an audit has no use for: a
 * thread that watches each call into a workflow (the audit's own process watches the parts), and stack traces of every
 * promise for a query that nobody asks here. What is replayed and compared is the same.
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

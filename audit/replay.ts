import type { DataConverter } from '@temporalio/common';
import type { History } from '@temporalio/common/lib/proto-utils.js';
import { type ReplayResult, Worker } from '@temporalio/worker';
import { ReusableVMWorkflowCreator } from '@temporalio/worker/lib/workflow/reusable-vm.js';
import { globalHandlers } from '@temporalio/worker/lib/workflow/vm-shared.js';

/** Runs recorded histories through one workflow code, without a server, one at a time. */
export interface Replayer {
  /**
   * Null: the code would have decided the same, command by command. Otherwise how it differs, in one line; also for a
   * history that is none.
   */
  replay(workflowId: string, history: History): Promise<string | null>;
  close(): Promise<void>;
}

/** Stays open between histories: opening takes longer than replaying fifty of them. */
export function createReplayer(code: string, dataConverter: DataConverter = {}): Replayer {
  let next: { readonly workflowId: string; readonly history: History } | null = null;
  let results: AsyncIterator<ReplayResult> | null = null;
  async function* histories() {
    for (let one = next; one !== null; one = next) yield one;
  }
  return {
    async replay(workflowId, history) {
      next = { workflowId, history };
      results ??= Replaying.runReplayHistories(
        { workflowBundle: { code }, dataConverter, replayName: 'audit' },
        histories(),
      );
      try {
        const { value } = (await results.next()) as IteratorYieldResult<ReplayResult>;
        return value.error === undefined ? null : firstLine(value.error);
      } catch (error) {
        // What the replayer cannot take at all ends it.
        results = null;
        return firstLine(error as Error);
      }
    },
    async close() {
      next = null;
      await results?.next();
      results = null;
    },
  };
}

const firstLine = (error: Error): string => error.message.split('\n')[0]!.slice(0, 500);

type CreatorArguments = Parameters<(typeof ReusableVMWorkflowCreator)['create']>;

/**
 * The SDK's replayer without two guards that cost it more than half of its time and that an audit has no use for: a
 * thread that watches each call into a workflow (the audit's own process watches the parts), and stack traces of every
 * promise for a query that nobody asks here. What is replayed and compared is the same.
 */
class Replaying extends Worker {
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

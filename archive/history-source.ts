import type { History } from '@temporalio/common/lib/proto-utils.js';

/** gRPC code: there is no such workflow. */
const NOT_FOUND = 5;
/**
 * Whether Temporal has no such workflow: some calls of its client throw an error of their own for that, others gRPC's.
 */
export const isGone = (error: unknown): boolean => {
  const { name, code } = error as { name?: unknown; code?: unknown };
  return name === 'WorkflowNotFoundError' || code === NOT_FOUND;
};

/** The source of histories. Every method throws when Temporal cannot be reached; a retry helps. */
export interface HistorySource {
  /**
   * Returns the runs of each id from Temporal's list of executions, oldest first, in one call. The list lags: any run
   * may be missing. An id of another form than ours is not looked up and not in the result.
   */
  listed(workflowIds: readonly string[]): Promise<ReadonlyMap<string, readonly string[]>>;
  /** The newest run of the id, of which no list lags. Null: Temporal has no such workflow, although older runs may be left. */
  newest(workflowId: string): Promise<{ readonly runId: string; readonly history: History } | null>;
  /** Null: Temporal does not have it. */
  fetch(workflowId: string, runId: string): Promise<History | null>;
  /** How long Temporal keeps a closed history. */
  retentionMs(): Promise<number>;
}

import type { History } from '@temporalio/common/lib/proto-utils.js';

/** gRPC: there is no such workflow. */
const NOT_FOUND = 5;
/** Temporal says that it has none: some of its client's calls throw an error of their own for it, others gRPC's. */
export const isGone = (error: unknown): boolean => {
  const { name, code } = error as { name?: unknown; code?: unknown };
  return name === 'WorkflowNotFoundError' || code === NOT_FOUND;
};

/** What is known of a workflow id. `latestGone`: Temporal says it has no such workflow, though older runs may be left. */
export type Runs =
  | { readonly state: 'open' }
  | { readonly state: 'closed'; readonly runIds: readonly string[]; readonly latestGone: boolean };

/** Where histories are fetched from. Everything throws when Temporal cannot be asked; trying again helps. */
export interface HistorySource {
  /**
   * The runs that the list of executions has of each id, oldest first, in one call. It lags behind: the newest may be missing.
   * An id that is none of ours is not asked for, and not in the answer.
   */
  listed(workflowIds: readonly string[]): Promise<ReadonlyMap<string, readonly string[]>>;
  /** All runs of the id, oldest first: those that are listed, and the newest. */
  runs(workflowId: string, listed: readonly string[]): Promise<Runs>;
  /** Null: Temporal does not have it. */
  fetch(workflowId: string, runId: string): Promise<History | null>;
  /** How long Temporal keeps a closed history. */
  retentionMs(): Promise<number>;
}

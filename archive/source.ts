import type { History } from '@temporalio/common/lib/proto-utils.js';

/** What is known of a workflow id. `latestGone`: Temporal says it has no such workflow, though older runs may be left. */
export type Runs =
  | { readonly state: 'open' }
  | { readonly state: 'closed'; readonly runIds: readonly string[]; readonly latestGone: boolean };

/** Where histories are fetched from. Everything throws when Temporal cannot be asked; trying again helps. */
export interface HistorySource {
  /** All runs of the id, oldest first. */
  runs(workflowId: string): Promise<Runs>;
  /** Null: Temporal does not have it. */
  fetch(workflowId: string, runId: string): Promise<History | null>;
  /** How long Temporal keeps a closed history. */
  retentionMs(): Promise<number>;
}

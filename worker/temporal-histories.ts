import type { History } from '@temporalio/common/lib/proto-utils.js';
import { type Client, WorkflowNotFoundError } from '@temporalio/client';
import { runIdOf } from '../archive/history.ts';
import type { HistorySource } from '../archive/history-source.ts';
import { unopened } from '../config/temporal.ts';

/** gRPC: not found. */
const NOT_FOUND = 5;
/** The form of all our workflow ids; longer ones could make the query of a batch larger than a call may be. */
const PLAIN = /^[\w.:-]{1,200}$/;
const ASK_RETENTION_AGAIN_MS = 10 * 60_000;

/** Reads histories as Temporal stores them, without decrypting anything. */
export function temporalHistories(client: Client): HistorySource {
  let retention: { readonly ms: number; readonly askedAt: number } | null = null;
  return {
    async listed(workflowIds) {
      const found: { readonly workflowId: string; readonly runId: string; readonly startTime: Date }[] = [];
      // An id that somebody made up must not break the query for all others.
      const plain = workflowIds.filter((id) => PLAIN.test(id));
      if (plain.length === 0) return new Map();
      const ids = plain.map((id) => `'${id}'`).join(', ');
      for await (const { workflowId, runId, startTime } of unopened(client).list({ query: `WorkflowId IN (${ids})` })) {
        found.push({ workflowId, runId, startTime });
      }
      const runs = new Map<string, string[]>(plain.map((id) => [id, []]));
      for (const { workflowId, runId } of found.toSorted((a, b) => a.startTime.getTime() - b.startTime.getTime()))
        runs.get(workflowId)?.push(runId);
      return runs;
    },
    async newest(workflowId) {
      const history = await fetched(client, workflowId);
      return history === null ? null : { runId: runIdOf(history.events ?? []), history };
    },
    fetch: (workflowId, runId) => fetched(client, workflowId, runId),
    async retentionMs() {
      if (retention === null || performance.now() - retention.askedAt > ASK_RETENTION_AGAIN_MS) {
        const { namespace } = client.options;
        const { config } = await client.workflowService.describeNamespace({ namespace });
        const seconds = Number(String(config?.workflowExecutionRetentionTtl?.seconds ?? 0));
        retention = { ms: seconds * 1_000, askedAt: performance.now() };
      }
      return retention.ms;
    },
  };
}

/** Null: Temporal has no such run; without a run id, no such workflow. */
async function fetched(client: Client, workflowId: string, runId?: string): Promise<History | null> {
  try {
    return await client.workflow.getHandle(workflowId, runId).fetchHistory();
  } catch (error) {
    // For this call the client does not report whether the workflow or its namespace was not found.
    if ((error as { code?: unknown }).code !== NOT_FOUND) throw error;
    if ((await unlessGone(() => unopened(client).getHandle(workflowId, runId).describe())) !== null) throw error;
    return null;
  }
}

/** Resolves to null if there is no such workflow. Rejects for a missing namespace: the workflow is unknown then. */
async function unlessGone<T>(ask: () => Promise<T>): Promise<T | null> {
  try {
    return await ask();
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) return null;
    throw error;
  }
}

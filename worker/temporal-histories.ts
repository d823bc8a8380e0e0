import { type Client, WorkflowNotFoundError } from '@temporalio/client';
import type { HistorySource, Runs } from '../archive/history-source.ts';
import { unopened } from '../config/temporal.ts';

/** gRPC: not found. */
const NOT_FOUND = 5;
const ASK_RETENTION_AGAIN_MS = 10 * 60_000;

/** Histories as Temporal holds them: nothing is decrypted. */
export function temporalHistories(client: Client): HistorySource {
  let retention: { readonly ms: number; readonly askedAt: number } | null = null;
  return {
    async runs(workflowId): Promise<Runs> {
      const latest = await unlessGone(() => unopened(client).getHandle(workflowId).describe());
      if (latest?.status.name === 'RUNNING') return { state: 'open' };
      const runIds = await listedRuns(client, workflowId);
      // The list is a help to find what came before; it lags behind, and the newest run is known without it.
      if (latest !== null && !runIds.includes(latest.runId)) runIds.push(latest.runId);
      return { state: 'closed', runIds, latestGone: latest === null };
    },
    async fetch(workflowId, runId) {
      const handle = client.workflow.getHandle(workflowId, runId);
      try {
        return await handle.fetchHistory();
      } catch (error) {
        // Of this call the client does not say what was not found, the workflow or its namespace.
        if ((error as { code?: unknown }).code !== NOT_FOUND) throw error;
        if ((await unlessGone(() => unopened(client).getHandle(workflowId, runId).describe())) !== null) throw error;
        return null;
      }
    },
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

async function listedRuns(client: Client, workflowId: string): Promise<string[]> {
  const found: { readonly runId: string; readonly startTime: Date }[] = [];
  for await (const { runId, startTime } of unopened(client).list({ query: `WorkflowId = '${workflowId}'` })) {
    found.push({ runId, startTime });
  }
  return found.toSorted((a, b) => a.startTime.getTime() - b.startTime.getTime()).map(({ runId }) => runId);
}

/** A namespace that is not there is another error: nothing is known of the workflow then. */
async function unlessGone<T>(ask: () => Promise<T>): Promise<T | null> {
  try {
    return await ask();
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) return null;
    throw error;
  }
}

import { setTimeout as sleep } from 'node:timers/promises';
import { Client, Connection } from '@temporalio/client';
import { registerSearchAttributes } from '../../../worker/search-attributes.ts';

const KNOWN_WITHIN_MS = 60_000;
const LOOK_MS = 250;
const RETENTION_SECONDS = 720 * 3_600;

/** Registers a namespace for one engine, so that it contains only the workflows of that engine's database. */
export async function openNamespace(address: string, namespace: string): Promise<void> {
  const connection = await Connection.connect({ address });
  try {
    await connection.workflowService.registerNamespace({
      namespace,
      workflowExecutionRetentionPeriod: { seconds: RETENTION_SECONDS as never },
    });
    await registerSearchAttributes(connection, namespace);
    await untilKnown(new Client({ connection, namespace }));
  } finally {
    await connection.close();
  }
}

/** Waits until the server's caches know the new namespace and its search attributes. */
async function untilKnown(client: Client): Promise<void> {
  for (const endMs = performance.now() + KNOWN_WITHIN_MS; ; await sleep(LOOK_MS)) {
    try {
      await client.workflow.count(`DepositState = 'none'`);
      return;
    } catch (error) {
      if (performance.now() > endMs) throw error;
    }
  }
}

import { Connection } from '@temporalio/client';
import { registerSearchAttributes } from '../../../worker/search-attributes.ts';

const RETENTION_SECONDS = 720 * 3_600;

/** A namespace of an engine's own: nothing in it is seen from another, and its database holds all that it knows. */
export async function openNamespace(address: string, namespace: string): Promise<void> {
  const connection = await Connection.connect({ address });
  try {
    await connection.workflowService.registerNamespace({
      namespace,
      workflowExecutionRetentionPeriod: { seconds: RETENTION_SECONDS as never },
    });
    await registerSearchAttributes(connection, namespace);
  } finally {
    await connection.close();
  }
}

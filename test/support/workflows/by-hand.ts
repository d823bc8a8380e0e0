import { randomUUID } from 'node:crypto';
import type { Client } from '@temporalio/client';
import { temporal } from '@temporalio/proto';

type Payload = temporal.api.common.v1.IPayload;

const bytes = (text: string) => new TextEncoder().encode(text);
/** A payload that is not encrypted. */
export const plain = (value: unknown): Payload => ({
  metadata: { encoding: bytes('json/plain') },
  data: bytes(JSON.stringify(value)),
});
/** A payload that no codec can decrypt. */
export const SEALED: Payload = {
  metadata: { encoding: bytes('binary/encrypted') },
  data: bytes('nobody has the key'),
};

/** Starts a workflow as a writer to Temporal can, on a task queue that no worker polls. Returns the queue's name. */
export async function startByHand(
  client: Client,
  type: 'deposit' | 'review',
  workflowId: string,
  { memo, input }: { readonly memo?: Payload; readonly input?: Payload } = {},
): Promise<string> {
  const taskQueue = `nobody-${randomUUID()}`;
  await client.workflowService.startWorkflowExecution({
    namespace: client.options.namespace,
    workflowId,
    requestId: randomUUID(),
    workflowType: { name: type },
    taskQueue: { name: taskQueue },
    ...(memo === undefined ? {} : { memo: { fields: { note: memo } } }),
    ...(input === undefined ? {} : { input: { payloads: [input] } }),
    workflowIdReusePolicy: temporal.api.enums.v1.WorkflowIdReusePolicy.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE,
  });
  return taskQueue;
}

/** Closes the workflow of that queue in place of its worker: completed with a result, or failed. */
export async function endByHand(client: Client, taskQueue: string, result: Payload | 'failed'): Promise<void> {
  const { namespace } = client.options;
  const { taskToken } = await client.withDeadline(Date.now() + 20_000, () =>
    client.workflowService.pollWorkflowTaskQueue({ namespace, taskQueue: { name: taskQueue } }),
  );
  const { CommandType } = temporal.api.enums.v1;
  const command =
    result === 'failed'
      ? {
          commandType: CommandType.COMMAND_TYPE_FAIL_WORKFLOW_EXECUTION,
          failWorkflowExecutionCommandAttributes: { failure: { message: 'a defect' } },
        }
      : {
          commandType: CommandType.COMMAND_TYPE_COMPLETE_WORKFLOW_EXECUTION,
          completeWorkflowExecutionCommandAttributes: { result: { payloads: [result] } },
        };
  await client.workflowService.respondWorkflowTaskCompleted({ namespace, taskToken, commands: [command] });
}

import { randomUUID } from 'node:crypto';
import type { WorkflowClient, WorkflowHandle } from '@temporalio/client';
import type { temporal } from '@temporalio/proto';
import { until } from '../until.ts';

type Event = temporal.api.history.v1.IHistoryEvent;
type Options = Pick<
  temporal.api.workflowservice.v1.IResetWorkflowExecutionRequest,
  'resetReapplyType' | 'resetReapplyExcludeTypes'
>;

export const eventsOf = async (handle: WorkflowHandle): Promise<readonly Event[]> =>
  (await handle.fetchHistory()).events ?? [];

/**
 * Returns the history once no workflow task is open, or its run is closed. An activity of a task writes a state before the
 * task's own end is in the history, however slow the machine is.
 */
export function eventsWhenIdle(handle: WorkflowHandle): Promise<readonly Event[]> {
  return until('its workflow task to end', async () => {
    const events = await eventsOf(handle);
    const isOpen = (event: Event) =>
      Boolean(event.workflowTaskScheduledEventAttributes ?? event.workflowTaskStartedEventAttributes);
    const isEnd = (event: Event) =>
      Boolean(event.workflowTaskCompletedEventAttributes ?? event.workflowExecutionTerminatedEventAttributes);
    const last = events.findLast((event) => isOpen(event) || isEnd(event));
    return last !== undefined && isEnd(last) ? events : null;
  });
}

/** The end of the workflow's first or last task. */
export async function taskOf(handle: WorkflowHandle, which: 'first' | 'last'): Promise<Event> {
  const ends = (await eventsWhenIdle(handle)).filter((event) => event.workflowTaskCompletedEventAttributes);
  return (which === 'first' ? ends[0] : ends.at(-1))!;
}

/** Resets the workflow's run to a task, as an operator can in the Web UI. Returns the id of the new run. */
export async function resetTo(
  { workflowService, options }: WorkflowClient,
  { workflowId }: WorkflowHandle,
  runId: string,
  task: Event,
  reapply: Options = {},
): Promise<string> {
  const made = await workflowService.resetWorkflowExecution({
    namespace: options.namespace,
    workflowExecution: { workflowId, runId },
    reason: 'by hand',
    workflowTaskFinishEventId: task.eventId ?? null,
    requestId: randomUUID(),
    ...reapply,
  });
  return made.runId;
}

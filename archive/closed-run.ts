import type { History } from '@temporalio/common/lib/proto-utils.js';
import type proto from '@temporalio/proto';

type HistoryEvent = proto.temporal.api.history.v1.IHistoryEvent;

const CLOSING = {
  workflowExecutionCompletedEventAttributes: 'COMPLETED',
  workflowExecutionFailedEventAttributes: 'FAILED',
  workflowExecutionTimedOutEventAttributes: 'TIMED_OUT',
  workflowExecutionTerminatedEventAttributes: 'TERMINATED',
  workflowExecutionCanceledEventAttributes: 'CANCELED',
  workflowExecutionContinuedAsNewEventAttributes: 'CONTINUED_AS_NEW',
} as const;
export type RunStatus = (typeof CLOSING)[keyof typeof CLOSING];

/** The facts of a closed run that the chain holds, all read from the history itself. */
export interface ClosedRun {
  readonly workflowType: string;
  readonly status: RunStatus;
  /** Microseconds since 1970. */
  readonly closedAtUs: bigint;
  readonly events: number;
  /** Hash of the workflow code that decided last; null: no worker ever decided, or its build id holds no hash. */
  readonly bundleHash: Buffer | null;
  readonly sdk: string;
}

/**
 * The other runs of the workflow that a history names: those it continues, those it was reset from or to, and the one
 * that follows.
 */
export function runsNamedBy(history: History): string[] {
  const named = (history.events ?? []).flatMap((event) => {
    const started = event.workflowExecutionStartedEventAttributes;
    const reset = event.workflowTaskFailedEventAttributes;
    const end =
      event.workflowExecutionCompletedEventAttributes ??
      event.workflowExecutionFailedEventAttributes ??
      event.workflowExecutionTimedOutEventAttributes ??
      event.workflowExecutionContinuedAsNewEventAttributes;
    return [
      started?.firstExecutionRunId,
      started?.originalExecutionRunId,
      started?.continuedExecutionRunId,
      reset?.baseRunId,
      reset?.newRunId,
      end?.newExecutionRunId,
    ];
  });
  return [...new Set(named)].filter((runId): runId is string => Boolean(runId));
}

/** Null while the run is open. */
export function closedRun(history: History): ClosedRun | null {
  const events = history.events ?? [];
  const last = events.at(-1);
  const closing = Object.keys(CLOSING).find((name) => last?.[name as keyof HistoryEvent]);
  if (last === undefined || closing === undefined) return null;
  const decided = events.findLast((event) => event.workflowTaskCompletedEventAttributes);
  return {
    workflowType: events[0]?.workflowExecutionStartedEventAttributes?.workflowType?.name ?? '',
    status: CLOSING[closing as keyof typeof CLOSING],
    closedAtUs: microseconds(last.eventTime),
    events: events.length,
    ...codeOf(decided),
  };
}

/** The worker's build id ends in the hash of its bundle: `@temporalio/worker@1.24.0+<sha256>`. */
function codeOf(decided: HistoryEvent | undefined): Pick<ClosedRun, 'bundleHash' | 'sdk'> {
  const buildId = decided?.workflowTaskCompletedEventAttributes?.workerVersion?.buildId ?? '';
  const [, sdk, hash] = /^(.*?)(?:\+([0-9a-f]{64}))?$/.exec(buildId) ?? [];
  return { sdk: sdk ?? '', bundleHash: hash === undefined ? null : Buffer.from(hash, 'hex') };
}

function microseconds(time: HistoryEvent['eventTime']): bigint {
  return BigInt(String(time?.seconds ?? 0)) * 1_000_000n + BigInt(Math.trunc((time?.nanos ?? 0) / 1_000));
}

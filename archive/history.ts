import type { Payload, PayloadCodec } from '@temporalio/common';
import type { History } from '@temporalio/common/lib/proto-utils.js';

/**
 * What a recorded history says, without replaying it: what went in, what was told, what the world answered, and how it
 * ended. Everything is read from events; nothing is concluded here.
 */
export interface HistoryFacts {
  readonly workflowId: string;
  readonly runId: string;
  readonly workflowType: string;
  readonly startedAt: string;
  readonly input: unknown;
  readonly steps: readonly HistoryStep[];
  /** Null while it runs. `result` is there when it completed. */
  readonly end: { readonly status: EndStatus; readonly at: string; readonly result: unknown } | null;
  /** sha256 of each workflow bundle that has decided something in it, in hexadecimal, in order. */
  readonly bundles: readonly string[];
}

export type EndStatus = 'completed' | 'failed' | 'canceled' | 'terminated' | 'timedOut' | 'continuedAsNew';

export type HistoryStep =
  | {
      readonly kind: 'signal';
      readonly eventId: number;
      readonly at: string;
      readonly name: string;
      readonly input: unknown;
    }
  | {
      readonly kind: 'update';
      readonly eventId: number;
      readonly at: string;
      readonly name: string;
      readonly input: unknown;
      /** Undefined until it completed; null when it failed or answered nothing. */
      readonly outcome?: unknown;
    }
  | {
      readonly kind: 'activity';
      readonly eventId: number;
      readonly at: string;
      readonly name: string;
      /** Local activities do not keep what they were given. */
      readonly input: unknown;
      readonly local: boolean;
      readonly failed: boolean;
      readonly result: unknown;
    }
  | { readonly kind: 'timer'; readonly eventId: number; readonly at: string; readonly fired: boolean };

type Event = NonNullable<History['events']>[number];

const ENDS: readonly (readonly [keyof Event, EndStatus])[] = [
  ['workflowExecutionCompletedEventAttributes', 'completed'],
  ['workflowExecutionFailedEventAttributes', 'failed'],
  ['workflowExecutionCanceledEventAttributes', 'canceled'],
  ['workflowExecutionTerminatedEventAttributes', 'terminated'],
  ['workflowExecutionTimedOutEventAttributes', 'timedOut'],
  ['workflowExecutionContinuedAsNewEventAttributes', 'continuedAsNew'],
];

/** Throws when the history does not begin with a start, or a payload is neither JSON nor nothing. */
export function readHistory(history: History): HistoryFacts {
  const events = history.events ?? [];
  const started = events[0]?.workflowExecutionStartedEventAttributes;
  if (!started) throw new Error('the history does not begin with the start of a workflow');
  const last = events.at(-1)!;
  const end = ENDS.find(([attributes]) => last[attributes]);
  return {
    workflowId: started.workflowId ?? '',
    runId: started.originalExecutionRunId ?? '',
    workflowType: started.workflowType?.name ?? '',
    startedAt: timeOf(events[0]!),
    input: valueOf(started.input?.payloads?.[0]),
    steps: readSteps(events),
    end:
      end === undefined
        ? null
        : {
            status: end[1],
            at: timeOf(last),
            result: valueOf(last.workflowExecutionCompletedEventAttributes?.result?.payloads?.[0]),
          },
    bundles: bundlesOf(events),
  };
}

function readSteps(events: readonly Event[]): HistoryStep[] {
  const steps: HistoryStep[] = [];
  const scheduled = new Map<number, { readonly name: string; readonly input: unknown }>();
  const updates = new Map<number, number>();
  for (const event of events) {
    const at = { eventId: Number(event.eventId), at: timeOf(event) };
    const signal = event.workflowExecutionSignaledEventAttributes;
    if (signal) {
      steps.push({ kind: 'signal', ...at, name: signal.signalName ?? '', input: valueOf(signal.input?.payloads?.[0]) });
    }
    const accepted = event.workflowExecutionUpdateAcceptedEventAttributes;
    if (accepted) {
      const { name, args } = accepted.acceptedRequest?.input ?? {};
      updates.set(at.eventId, steps.length);
      steps.push({ kind: 'update', ...at, name: name ?? '', input: valueOf(args?.payloads?.[0]) });
    }
    const done = event.workflowExecutionUpdateCompletedEventAttributes;
    if (done) {
      const index = updates.get(Number(done.acceptedEventId));
      const of = index === undefined ? undefined : steps[index];
      if (of?.kind === 'update') steps[index!] = { ...of, outcome: valueOf(done.outcome?.success?.payloads?.[0]) };
    }
    const schedule = event.activityTaskScheduledEventAttributes;
    if (schedule) {
      const input = (schedule.input?.payloads ?? []).map((payload) => valueOf(payload));
      scheduled.set(at.eventId, { name: schedule.activityType?.name ?? '', input });
    }
    const answered = event.activityTaskCompletedEventAttributes ?? event.activityTaskFailedEventAttributes;
    if (answered) {
      const of = scheduled.get(Number(answered.scheduledEventId)) ?? { name: '', input: null };
      const result = event.activityTaskCompletedEventAttributes?.result?.payloads?.[0];
      const failed = !event.activityTaskCompletedEventAttributes;
      steps.push({ kind: 'activity', ...at, ...of, local: false, failed, result: valueOf(result) });
    }
    const marker = event.markerRecordedEventAttributes;
    if (marker?.markerName === 'core_local_activity') {
      const noted = valueOf(marker.details?.['data']?.payloads?.[0]) as { activity_type?: string } | null;
      const result = valueOf(marker.details?.['result']?.payloads?.[0]);
      const name = noted?.activity_type ?? '';
      steps.push({ kind: 'activity', ...at, name, input: null, local: true, failed: Boolean(marker.failure), result });
    }
    if (event.timerFiredEventAttributes) steps.push({ kind: 'timer', ...at, fired: true });
    if (event.timerCanceledEventAttributes) steps.push({ kind: 'timer', ...at, fired: false });
  }
  return steps;
}

/** `@temporalio/worker@1.24.0+<sha256 of the bundle>`, as the SDK writes it into each completed workflow task. */
const BUILD_ID = /^@temporalio\/worker@(\S+)\+([0-9a-f]{64})$/;

function bundlesOf(events: readonly Event[]): string[] {
  const found = new Set<string>();
  for (const event of events) {
    const buildId = event.workflowTaskCompletedEventAttributes?.workerVersion?.buildId ?? '';
    const hash = BUILD_ID.exec(buildId)?.[2];
    if (hash !== undefined) found.add(hash);
  }
  return [...found];
}

function timeOf(event: Event): string {
  const { seconds, nanos } = event.eventTime ?? {};
  return new Date(Number(seconds ?? 0) * 1_000 + Math.floor((nanos ?? 0) / 1e6)).toISOString();
}

const decoder = new TextDecoder('utf-8', { fatal: true });

/** The JSON in a payload; null when there is nothing. Throws when it is something else. */
export function valueOf(payload: Payload | null | undefined): unknown {
  if (payload === undefined || payload === null) return null;
  const encoding = decoder.decode(payload.metadata?.['encoding'] ?? new Uint8Array());
  if (encoding === 'binary/null') return null;
  if (!encoding.startsWith('json/')) throw new Error(`a payload is ${encoding || 'without an encoding'}, not JSON`);
  return JSON.parse(decoder.decode(payload.data ?? new Uint8Array())) as unknown;
}

/** The same history with its payloads opened; without codecs it is the history itself. Throws when a key is missing. */
export async function openHistory(history: History, codecs: readonly PayloadCodec[]): Promise<History> {
  return codecs.length === 0 ? history : ((await opened(history, codecs)) as History);
}

const isPayload = (value: object): value is Payload =>
  'metadata' in value && value.metadata !== null && typeof value.metadata === 'object' && 'encoding' in value.metadata;

async function opened(value: unknown, codecs: readonly PayloadCodec[]): Promise<unknown> {
  if (Array.isArray(value)) return Promise.all(value.map((item) => opened(item, codecs)));
  if (typeof value !== 'object' || value === null || value instanceof Uint8Array) return value;
  if (isPayload(value)) {
    let payload: Payload = value;
    for (const codec of codecs.toReversed()) payload = (await codec.decode([payload]))[0]!;
    return payload;
  }
  const plain = Object.getPrototypeOf(value) === Object.prototype || 'events' in value || 'eventId' in value;
  const isLong = 'low' in value && 'high' in value;
  if (isLong) return value;
  const entries = await Promise.all(
    Object.entries(value).map(async ([name, item]) => [name, await opened(item, codecs)] as const),
  );
  return plain
    ? Object.fromEntries(entries)
    : Object.assign(Object.create(Object.getPrototypeOf(value) as object), Object.fromEntries(entries));
}

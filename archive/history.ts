import type { Payload, PayloadCodec } from '@temporalio/common';
import type { History } from '@temporalio/common/lib/proto-utils.js';
import { parseHistory } from './canonical-history.ts';
import { durationMs, type HistoryEvent, type Oddity, oddForms, oddTimes } from './event-checks.ts';

/** A history, or one of its payloads, cannot be read. A retry does not help; the right key may. */
export class HistoryUnreadable extends Error {}

/**
 * The facts of a recorded history, without a replay: input, messages, results, and end. All of them are read from
 * events; nothing is inferred.
 */
export interface HistoryFacts {
  readonly workflowId: string;
  readonly runId: string;
  readonly workflowType: string;
  readonly startedAt: string;
  readonly input: unknown;
  readonly steps: readonly HistoryStep[];
  /** Null while it runs. `result` is set if it completed. */
  readonly end: { readonly status: EndStatus; readonly at: string; readonly result: unknown } | null;
  /** sha256 of each workflow bundle that decided something in it, in hexadecimal, in order. */
  readonly bundles: readonly string[];
  /** Contradictions within it; a history that Temporal wrote has none. */
  readonly odd: readonly Oddity[];
}

export type EndStatus = 'completed' | 'failed' | 'canceled' | 'terminated' | 'timedOut' | 'continuedAsNew';

interface RecordedEvent {
  readonly eventId: number;
  readonly at: string;
}

interface RecordedCall extends RecordedEvent {
  readonly name: string;
  /** Null for local activities, which record no arguments. */
  readonly input: unknown;
}

export type HistoryStep =
  | (RecordedCall & { readonly kind: 'signal' })
  | (RecordedCall & {
      readonly kind: 'update';
      /** Undefined until it completed; null when it failed or returned nothing. */
      readonly outcome?: unknown;
      /** Why the workflow refused it: the type of its failure. Null: it was not refused, or has not completed yet. */
      readonly refusal: string | null;
    })
  | (RecordedCall & {
      readonly kind: 'activity';
      readonly local: boolean;
      readonly failed: boolean;
      readonly result: unknown;
    })
  | (RecordedEvent & {
      readonly kind: 'timer';
      readonly fired: boolean;
      /** The duration that it was set for. */
      readonly durationMs: number;
    });

const ENDS: readonly (readonly [keyof HistoryEvent, EndStatus])[] = [
  ['workflowExecutionCompletedEventAttributes', 'completed'],
  ['workflowExecutionFailedEventAttributes', 'failed'],
  ['workflowExecutionCanceledEventAttributes', 'canceled'],
  ['workflowExecutionTerminatedEventAttributes', 'terminated'],
  ['workflowExecutionTimedOutEventAttributes', 'timedOut'],
  ['workflowExecutionContinuedAsNewEventAttributes', 'continuedAsNew'],
];

/** Whether a replay of it ends. It might never end if the form is broken. */
export const isReplayable = ({ odd }: HistoryFacts): boolean => odd.every(({ kind }) => kind !== 'form');

/**
 * Parses an archived text, for replay and for reading. Throws {@link HistoryUnreadable} and no other error, for any
 * text.
 */
export async function readText(
  text: string,
  codecs: readonly PayloadCodec[],
): Promise<{ readonly history: History; readonly facts: HistoryFacts }> {
  let history: History;
  try {
    history = parseHistory(text);
  } catch (cause) {
    throw new HistoryUnreadable(`the text is no history: ${firstLine(cause)}`, { cause });
  }
  return { history, facts: readHistory(await openHistory(history, codecs)) };
}

const firstLine = (error: unknown): string =>
  (error instanceof Error ? error.message : String(error)).split('\n')[0]!.slice(0, 200);

/**
 * Throws {@link HistoryUnreadable} when the history does not begin with a start, an event has no time, or a payload is
 * neither JSON nor nothing.
 */
export function readHistory(history: History): HistoryFacts {
  const events = history.events ?? [];
  const started = events[0]?.workflowExecutionStartedEventAttributes;
  if (!started) throw new HistoryUnreadable('it does not begin with the start of a workflow');
  const last = events.at(-1)!;
  const end = ENDS.find(([attributes]) => last[attributes]);
  return {
    workflowId: started.workflowId ?? '',
    runId: runIdOf(events),
    workflowType: started.workflowType?.name ?? '',
    startedAt: timeOf(events[0]!),
    input: valueOf(started.input?.payloads?.[0], events[0]),
    steps: readSteps(events),
    end:
      end === undefined
        ? null
        : {
            status: end[1],
            at: timeOf(last),
            result: valueOf(last.workflowExecutionCompletedEventAttributes?.result?.payloads?.[0], last),
          },
    bundles: bundlesOf(events),
    odd: [...oddForms(events), ...oddTimes(events, timeOf)],
  };
}

/** The id of the run with these events. One made by a reset begins with the events of the previous run, including that run's id. */
export function runIdOf(events: readonly HistoryEvent[]): string {
  const reset = events.findLast((event) => event.workflowTaskFailedEventAttributes?.newRunId);
  const started = events[0]?.workflowExecutionStartedEventAttributes;
  return reset?.workflowTaskFailedEventAttributes?.newRunId ?? started?.originalExecutionRunId ?? '';
}

function readSteps(events: readonly HistoryEvent[]): HistoryStep[] {
  const steps: HistoryStep[] = [];
  const scheduled = new Map<number, { readonly name: string; readonly input: unknown }>();
  const updates = new Map<number, number>();
  const timers = new Map<number, number>();
  for (const event of events) {
    const read = (payload: Payload | null | undefined) => valueOf(payload, event);
    const at = { eventId: Number(event.eventId), at: timeOf(event) };
    const signal = event.workflowExecutionSignaledEventAttributes;
    if (signal) {
      steps.push({ kind: 'signal', ...at, name: signal.signalName ?? '', input: read(signal.input?.payloads?.[0]) });
    }
    const accepted = event.workflowExecutionUpdateAcceptedEventAttributes;
    if (accepted) {
      const { name, args } = accepted.acceptedRequest?.input ?? {};
      updates.set(at.eventId, steps.length);
      steps.push({ kind: 'update', ...at, name: name ?? '', input: read(args?.payloads?.[0]), refusal: null });
    }
    const done = event.workflowExecutionUpdateCompletedEventAttributes;
    if (done) {
      const index = updates.get(Number(done.acceptedEventId));
      const of = index === undefined ? undefined : steps[index];
      const failure = done.outcome?.failure;
      const refusal = failure ? failure.applicationFailureInfo?.type || 'failed' : null;
      if (of?.kind === 'update')
        steps[index!] = { ...of, outcome: read(done.outcome?.success?.payloads?.[0]), refusal };
    }
    const schedule = event.activityTaskScheduledEventAttributes;
    if (schedule) {
      const input = (schedule.input?.payloads ?? []).map((payload) => read(payload));
      scheduled.set(at.eventId, { name: schedule.activityType?.name ?? '', input });
    }
    const answered = event.activityTaskCompletedEventAttributes ?? event.activityTaskFailedEventAttributes;
    if (answered) {
      const of = scheduled.get(Number(answered.scheduledEventId)) ?? { name: '', input: null };
      const result = event.activityTaskCompletedEventAttributes?.result?.payloads?.[0];
      const failed = !event.activityTaskCompletedEventAttributes;
      steps.push({ kind: 'activity', ...at, ...of, local: false, failed, result: read(result) });
    }
    const marker = event.markerRecordedEventAttributes;
    if (marker?.markerName === 'core_local_activity') {
      const noted = read(marker.details?.['data']?.payloads?.[0]) as { activity_type?: unknown } | null;
      const result = read(marker.details?.['result']?.payloads?.[0]);
      const name = typeof noted?.activity_type === 'string' ? noted.activity_type : '';
      steps.push({ kind: 'activity', ...at, name, input: null, local: true, failed: Boolean(marker.failure), result });
    }
    if (event.timerStartedEventAttributes)
      timers.set(at.eventId, durationMs(event.timerStartedEventAttributes.startToFireTimeout));
    const over = event.timerFiredEventAttributes ?? event.timerCanceledEventAttributes;
    if (over) {
      const fired = Boolean(event.timerFiredEventAttributes);
      steps.push({ kind: 'timer', ...at, fired, durationMs: timers.get(Number(over.startedEventId)) ?? 0 });
    }
  }
  return steps;
}

/** `@temporalio/worker@1.24.0+<sha256 of the bundle>`, as the SDK writes it into each completed workflow task. */
const BUILD_ID = /^@temporalio\/worker@(\S+)\+([0-9a-f]{64})$/;

function bundlesOf(events: readonly HistoryEvent[]): string[] {
  const found = new Set<string>();
  for (const event of events) {
    const buildId = event.workflowTaskCompletedEventAttributes?.workerVersion?.buildId ?? '';
    const hash = BUILD_ID.exec(buildId)?.[2];
    if (hash !== undefined) found.add(hash);
  }
  return [...found];
}

function timeOf(event: HistoryEvent): string {
  const { seconds, nanos } = event.eventTime ?? {};
  const at = new Date(Number(seconds ?? 0) * 1_000 + Math.floor((nanos ?? 0) / 1e6));
  if (Number.isNaN(at.getTime())) throw new HistoryUnreadable(`event ${String(event.eventId)} has no time`);
  return at.toISOString();
}

const decoder = new TextDecoder('utf-8', { fatal: true });
/** The encoding of a payload that a codec without the key leaves unchanged, ours and Temporal's own samples alike. */
const ENCRYPTED = 'binary/encrypted';

/**
 * The JSON in a payload; null: it is empty. Throws {@link HistoryUnreadable} for other content; the message names the
 * event, if it is given.
 */
export function valueOf(payload: Payload | null | undefined, event?: HistoryEvent): unknown {
  if (payload === undefined || payload === null) return null;
  const where = event === undefined ? 'a history' : `event ${String(event.eventId)}`;
  try {
    const encoding = decoder.decode(payload.metadata?.['encoding'] ?? new Uint8Array());
    if (encoding === 'binary/null') return null;
    if (encoding === ENCRYPTED) throw new HistoryUnreadable(`${where}: a payload is encrypted, and there is no key`);
    if (encoding === 'json/plain') return JSON.parse(decoder.decode(payload.data ?? new Uint8Array())) as unknown;
    throw new HistoryUnreadable(`${where}: a payload is ${encoding || 'without an encoding'}, not JSON`);
  } catch (cause) {
    if (cause instanceof HistoryUnreadable) throw cause;
    throw new HistoryUnreadable(`${where}: a payload is not JSON in UTF-8`, { cause });
  }
}

/**
 * The same history with decrypted payloads; without codecs, the history itself. Throws {@link HistoryUnreadable} when a
 * key is missing or a ciphertext was changed; the message names which.
 */
export async function openHistory(history: History, codecs: readonly PayloadCodec[]): Promise<History> {
  if (codecs.length === 0) return history;
  try {
    return (await opened(history, codecs)) as History;
  } catch (cause) {
    throw new HistoryUnreadable(firstLine(cause), { cause });
  }
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

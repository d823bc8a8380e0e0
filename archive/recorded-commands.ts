import type { Payload } from '@temporalio/common';
import type { History } from '@temporalio/common/lib/proto-utils.js';
import { valueOf } from './history.ts';

/**
 * The commands of workflow code, in their order. Each is a decision that a replay has to repeat. `summary` is the text
 * in the Web UI; it decides nothing.
 */
export type Command =
  | {
      readonly kind: 'activity';
      readonly name: string;
      readonly local: boolean;
      /** Arguments; null for a local activity, whose arguments a history does not record. */
      readonly input: readonly unknown[] | null;
      readonly summary: string | null;
    }
  | { readonly kind: 'timer'; readonly durationMs: number; readonly summary: string | null }
  | { readonly kind: 'timerCancelled'; readonly summary: string | null }
  | { readonly kind: 'announcement'; readonly attributes: Readonly<Record<string, unknown>> }
  | { readonly kind: 'updateAccepted'; readonly name: string }
  | { readonly kind: 'updateAnswered'; readonly name: string; readonly refused: boolean; readonly answer: unknown }
  | { readonly kind: 'patch'; readonly id: string }
  | { readonly kind: 'end'; readonly failed: boolean; readonly result: unknown };

export interface RecordedCommand {
  /** The event that holds it: the result of a local activity, the request of every other command. */
  readonly eventId: number;
  readonly command: Command;
}

type Event = NonNullable<History['events']>[number];
type Context = { readonly timers: Map<number, string | null>; readonly updates: Map<number, string> };

/** Every command of a history with decrypted payloads. Messages from outside are no commands. */
export function recordedCommands(history: History): RecordedCommand[] {
  const context: Context = { timers: new Map(), updates: new Map() };
  return (history.events ?? []).flatMap((event) => {
    const eventId = Number(event.eventId);
    const command = waiting(event, context) ?? telling(event) ?? answering(event, context) ?? ending(event);
    return command === null ? [] : [{ eventId, command }];
  });
}

/** The SDK's number of a local activity, from the event that holds its result; null: the event is another. */
export function localActivityNumber(event: Event): number | null {
  return noted(event)?.seq ?? null;
}

function noted(event: Event): { readonly seq?: number; readonly activity_type?: string } | null {
  const marker = event.markerRecordedEventAttributes;
  if (marker?.markerName !== 'core_local_activity') return null;
  return valueOf(marker.details?.['data']?.payloads?.[0]) as { seq?: number; activity_type?: string } | null;
}

function waiting(event: Event, { timers }: Context): Command | null {
  const started = event.timerStartedEventAttributes;
  if (started) {
    const summary = summaryOf(event);
    timers.set(Number(event.eventId), summary);
    return { kind: 'timer', durationMs: millisecondsOf(started.startToFireTimeout), summary };
  }
  const cancelled = event.timerCanceledEventAttributes;
  return cancelled ? { kind: 'timerCancelled', summary: timers.get(Number(cancelled.startedEventId)) ?? null } : null;
}

function telling(event: Event): Command | null {
  const scheduled = event.activityTaskScheduledEventAttributes;
  const summary = summaryOf(event);
  if (scheduled) {
    const input = (scheduled.input?.payloads ?? []).map((payload) => valueOf(payload));
    return { kind: 'activity', name: scheduled.activityType?.name ?? '', local: false, input, summary };
  }
  const local = noted(event);
  if (local) return { kind: 'activity', name: local.activity_type ?? '', local: true, input: null, summary };
  const patch = event.markerRecordedEventAttributes;
  if (patch?.markerName === 'core_patch') {
    const data = valueOf(patch.details?.['patch-data']?.payloads?.[0]) as { id?: string } | null;
    return { kind: 'patch', id: data?.id ?? '' };
  }
  const upsert = event.upsertWorkflowSearchAttributesEventAttributes;
  return upsert ? announcementOf(upsert.searchAttributes?.indexedFields ?? {}) : null;
}

/** Null: the SDK's own attribute, which it writes with a patch. */
export function announcementOf(fields: Readonly<Record<string, Payload>>): Command | null {
  const entries = Object.entries(fields).filter(([name]) => name !== 'TemporalChangeVersion');
  if (entries.length === 0) return null;
  const named = entries.toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([name, payload]) => [name, valueOf(payload)]);
  return { kind: 'announcement', attributes: Object.fromEntries(named) as Record<string, unknown> };
}

function answering(event: Event, { updates }: Context): Command | null {
  const accepted = event.workflowExecutionUpdateAcceptedEventAttributes;
  if (accepted) {
    const name = accepted.acceptedRequest?.input?.name ?? '';
    updates.set(Number(event.eventId), name);
    return { kind: 'updateAccepted', name };
  }
  const completed = event.workflowExecutionUpdateCompletedEventAttributes;
  if (!completed) return null;
  const name = updates.get(Number(completed.acceptedEventId)) ?? '';
  const answer = valueOf(completed.outcome?.success?.payloads?.[0]);
  return { kind: 'updateAnswered', name, refused: Boolean(completed.outcome?.failure), answer };
}

function ending(event: Event): Command | null {
  const completed = event.workflowExecutionCompletedEventAttributes;
  if (completed) return { kind: 'end', failed: false, result: valueOf(completed.result?.payloads?.[0]) };
  return event.workflowExecutionFailedEventAttributes ? { kind: 'end', failed: true, result: null } : null;
}

const summaryOf = (event: Event): string | null => textOf(event.userMetadata?.summary);

export function textOf(payload: Payload | null | undefined): string | null {
  const value = valueOf(payload);
  return typeof value === 'string' ? value : null;
}

type Duration = { readonly seconds?: unknown; readonly nanos?: number | null } | null | undefined;

export const millisecondsOf = (duration: Duration): number =>
  Number(duration?.seconds ?? 0) * 1_000 + (duration?.nanos ?? 0) / 1e6;

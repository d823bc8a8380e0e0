import type { History } from '@temporalio/common/lib/proto-utils.js';
import proto from '@temporalio/proto';

export type HistoryEvent = NonNullable<History['events']>[number];

/**
 * A contradiction within one history, independent of all other data: of `form` (numbers and references) or of `time`.
 */
export interface Oddity {
  readonly kind: 'form' | 'time';
  readonly eventId: number;
  readonly detail: string;
}

const { EventType } = proto.temporal.api.enums.v1;
type Attributes = Extract<keyof HistoryEvent, `${string}EventAttributes`>;

/**
 * Attribute fields by event type: `EVENT_TYPE_TIMER_FIRED` has its facts in `timerFiredEventAttributes`, like all
 * others.
 */
const ATTRIBUTES_OF = new Map(Object.keys(EventType).map((name) => [name, attributesOf(name)]));

function attributesOf(name: string): string {
  const words = name.replace('EVENT_TYPE_', '').toLowerCase();
  return `${words.replace(/_(.)/g, (_, letter: string) => letter.toUpperCase())}EventAttributes`;
}

/** The one kind of facts that an event holds; null: none, or several. */
function kindOf(event: HistoryEvent): Attributes | null {
  const held = Object.keys(event).filter(
    (key) =>
      key.endsWith('EventAttributes') && event[key as Attributes] !== null && event[key as Attributes] !== undefined,
  );
  return held.length === 1 ? (held[0] as Attributes) : null;
}

const SCHEDULED = 'workflowTaskScheduledEventAttributes';
const STARTED = 'workflowTaskStartedEventAttributes';
const COMPLETED = 'workflowTaskCompletedEventAttributes';
/** One workflow task runs at a time: an event that names one names the last. */
const ONE_AT_A_TIME: ReadonlySet<Attributes> = new Set([SCHEDULED, STARTED, COMPLETED]);
const decidedIn = { workflowTaskCompletedEventId: COMPLETED } as const;
const ofTask = { scheduledEventId: SCHEDULED, startedEventId: STARTED } as const;
const ofActivity = {
  scheduledEventId: 'activityTaskScheduledEventAttributes',
  startedEventId: 'activityTaskStartedEventAttributes',
} as const;

/**
 * By the kind of event: the fields that name an earlier event by its number, and the kind of that event.
 */
const NAMES: Readonly<Partial<Record<Attributes, Readonly<Record<string, Attributes>>>>> = {
  workflowTaskStartedEventAttributes: { scheduledEventId: SCHEDULED },
  workflowTaskCompletedEventAttributes: ofTask,
  workflowTaskFailedEventAttributes: ofTask,
  workflowTaskTimedOutEventAttributes: ofTask,
  activityTaskScheduledEventAttributes: decidedIn,
  activityTaskStartedEventAttributes: { scheduledEventId: ofActivity.scheduledEventId },
  activityTaskCompletedEventAttributes: ofActivity,
  activityTaskFailedEventAttributes: ofActivity,
  activityTaskTimedOutEventAttributes: ofActivity,
  activityTaskCanceledEventAttributes: ofActivity,
  timerStartedEventAttributes: decidedIn,
  timerFiredEventAttributes: { startedEventId: 'timerStartedEventAttributes' },
  timerCanceledEventAttributes: { ...decidedIn, startedEventId: 'timerStartedEventAttributes' },
  markerRecordedEventAttributes: decidedIn,
  upsertWorkflowSearchAttributesEventAttributes: decidedIn,
  workflowExecutionCompletedEventAttributes: decidedIn,
  workflowExecutionFailedEventAttributes: decidedIn,
  workflowExecutionUpdateCompletedEventAttributes: {
    acceptedEventId: 'workflowExecutionUpdateAcceptedEventAttributes',
  },
};

/** These may end what has not begun: then they name no start. */
const UNBEGUN: ReadonlySet<Attributes> = new Set<Attributes>([
  'workflowTaskFailedEventAttributes',
  'workflowTaskTimedOutEventAttributes',
  'activityTaskTimedOutEventAttributes',
  'activityTaskCanceledEventAttributes',
]);

/**
 * Checks the form: numbers have no gap, and facts are of the event's type. References lead to an earlier event of the
 * expected kind. A history with an oddity of form must not be replayed: it can crash the replaying code, or the replay
 * never ends.
 */
export function oddForms(events: readonly HistoryEvent[]): Oddity[] {
  const odd: Oddity[] = [];
  const kinds = events.map(kindOf);
  const last = new Map<Attributes, number>();
  const over = new Set<string>();
  for (const [i, event] of events.entries()) {
    const eventId = i + 1;
    const tell = (detail: string) => odd.push({ kind: 'form', eventId, detail });
    if (Number(event.eventId) !== eventId) tell(`calls itself event ${String(event.eventId)}`);
    const kind = kinds[i];
    const type = EventType[event.eventType ?? 0] ?? 'no type';
    if (kind === null || kind === undefined || ATTRIBUTES_OF.get(type) !== kind) {
      tell(`says ${type} and holds ${kind ?? 'no facts, or several'}`);
      continue;
    }
    const held = event[kind] as Readonly<Record<string, unknown>>;
    for (const [field, to] of Object.entries(NAMES[kind] ?? {})) {
      const named = Number(held[field] ?? 0);
      if (named === 0 && field === 'startedEventId' && UNBEGUN.has(kind)) continue;
      const kindOfIt = to.replace('EventAttributes', '');
      if (named >= eventId || kinds[named - 1] !== to)
        tell(`has ${field} ${named}, which is not an earlier ${kindOfIt}`);
      else if (ONE_AT_A_TIME.has(to) && named !== last.get(to))
        tell(`has ${field} ${named}, which is not the last ${kindOfIt} before it`);
      // A task has many commands. All else begins once and ends once; replaying a task that begins twice never ends.
      const once = `${kind.includes('TaskStarted') ? 'begins' : 'ends'} ${named}`;
      if (to !== COMPLETED && over.has(once)) tell(`${once}, as an event before it does`);
      over.add(once);
    }
    last.set(kind, eventId);
  }
  return [...odd, ...oddStart(events), ...oddTimers(events), ...oddActivities(events)];
}

/** Checks the fields that a replay relies on. */
function oddStart(events: readonly HistoryEvent[]): Oddity[] {
  const { workflowType, workflowId, originalExecutionRunId, taskQueue } =
    events[0]?.workflowExecutionStartedEventAttributes ?? {};
  const needed = { workflowType: workflowType?.name, workflowId, originalExecutionRunId, taskQueue: taskQueue?.name };
  const missing = Object.entries(needed).flatMap(([field, value]) => (value ? [] : [`has no ${field}`]));
  // Temporal writes the first workflow task together with the start.
  if (events.length === 1) missing.push('is followed by nothing');
  return missing.map((detail) => ({ kind: 'form', eventId: 1, detail }));
}

/** Checks that a timer ends under the id under which it was set. */
function oddTimers(events: readonly HistoryEvent[]): Oddity[] {
  return events.flatMap((event, i) => {
    const over = event.timerFiredEventAttributes ?? event.timerCanceledEventAttributes;
    const set = events[Number(over?.startedEventId ?? 0) - 1]?.timerStartedEventAttributes;
    if (!over || over.timerId === set?.timerId) return [];
    return [{ kind: 'form', eventId: i + 1, detail: `ends timer ${over.timerId}, set was ${set?.timerId}` } as const];
  });
}

/** Checks that an activity ends as the one that was scheduled and started. */
function oddActivities(events: readonly HistoryEvent[]): Oddity[] {
  return events.flatMap((event, i) => {
    const over =
      event.activityTaskCompletedEventAttributes ??
      event.activityTaskFailedEventAttributes ??
      event.activityTaskTimedOutEventAttributes ??
      event.activityTaskCanceledEventAttributes;
    const started = events[Number(over?.startedEventId ?? 0) - 1]?.activityTaskStartedEventAttributes;
    if (!over || !started || Number(over.scheduledEventId) === Number(started.scheduledEventId)) return [];
    const detail = `ends activity ${Number(over.scheduledEventId)}, started was ${Number(started.scheduledEventId)}`;
    return [{ kind: 'form', eventId: i + 1, detail } as const];
  });
}

/** The allowed clock difference between Temporal's machines, because a history moves between them. */
const TEMPORAL_CLOCKS_MS = 1_000;

/**
 * Events that happen during a workflow task are recorded when the task ends, with their own time. So they may follow
 * younger events.
 */
const WRITTEN_LATER: ReadonlySet<string> = new Set<Attributes>([
  'workflowExecutionSignaledEventAttributes',
  'workflowExecutionCancelRequestedEventAttributes',
  'workflowExecutionUpdateAdmittedEventAttributes',
  'activityTaskStartedEventAttributes',
  'activityTaskCompletedEventAttributes',
  'activityTaskFailedEventAttributes',
  'activityTaskTimedOutEventAttributes',
  'activityTaskCanceledEventAttributes',
  'timerFiredEventAttributes',
]);

/** Returns events that are older than their cause, and timers that fired early. Only Temporal's clock is involved. */
export function oddTimes(events: readonly HistoryEvent[], timeOf: (event: HistoryEvent) => string): Oddity[] {
  const odd: Oddity[] = [];
  const times = events.map((event) => Date.parse(timeOf(event)));
  let latest = times[0] ?? 0;
  let taskStarted = latest;
  for (const [i, event] of events.entries()) {
    const at = times[i]!;
    const floor = WRITTEN_LATER.has(kindOf(event) ?? '') ? causedAt(event, times, taskStarted) : latest;
    if (at < floor - TEMPORAL_CLOCKS_MS) {
      const detail = `happened ${timeOf(event)}, what it follows from ${new Date(floor).toISOString()}`;
      odd.push({ kind: 'time', eventId: i + 1, detail });
    }
    latest = Math.max(latest, at);
    if (event.workflowTaskStartedEventAttributes) taskStarted = at;
    const early = firedEarly(event, events, times, at);
    if (early !== null) odd.push({ kind: 'time', eventId: i + 1, detail: early });
  }
  return odd;
}

/** The earliest possible time of an event that was recorded later. */
function causedAt(event: HistoryEvent, times: readonly number[], taskStarted: number): number {
  const timeAt = (id: unknown) => times[Number(id ?? 0) - 1] ?? taskStarted;
  // Retries are not recorded: a start is written right before its end, with its own time.
  const started = event.activityTaskStartedEventAttributes;
  if (started) return timeAt(started.scheduledEventId);
  const ended =
    event.activityTaskCompletedEventAttributes ??
    event.activityTaskFailedEventAttributes ??
    event.activityTaskTimedOutEventAttributes;
  if (ended) return Math.max(timeAt(ended.startedEventId), taskStarted);
  return taskStarted;
}

/** A timer that fired before its due time, in words; null: it did not. */
function firedEarly(
  event: HistoryEvent,
  events: readonly HistoryEvent[],
  times: readonly number[],
  at: number,
): string | null {
  const startedId = Number(event.timerFiredEventAttributes?.startedEventId ?? 0);
  const started = events[startedId - 1]?.timerStartedEventAttributes;
  if (startedId === 0 || !started) return null;
  const dueAt = times[startedId - 1]! + durationMs(started.startToFireTimeout);
  if (at >= dueAt - TEMPORAL_CLOCKS_MS) return null;
  return `fired ${new Date(at).toISOString()}, due ${new Date(dueAt).toISOString()}`;
}

type Duration = NonNullable<HistoryEvent['timerStartedEventAttributes']>['startToFireTimeout'];

export const durationMs = (duration: Duration): number =>
  Number(duration?.seconds ?? 0) * 1_000 + Math.floor((duration?.nanos ?? 0) / 1e6);

import proto from '@temporalio/proto';
import { describe, expect, test } from 'vitest';
import { canonicalHistory, parseHistory } from '../../archive/canonical-history.ts';
import type { HistoryEvent } from '../../archive/event-checks.ts';
import { readHistory } from '../../archive/history.ts';
import { recordedHistories } from '../support/workflows/histories.ts';

/** Contradictions within one history. A history that a server wrote has none. */
const { EventType } = proto.temporal.api.enums.v1;
const recorded = await recordedHistories();
const SECOND = 1;

/** A copy of a recorded history with a change in it, and the contradictions found. */
function oddities(name: string, change: (events: HistoryEvent[]) => void) {
  const { history } = recorded.find((one) => one.name === name)!;
  const copy = parseHistory(canonicalHistory(history).text);
  change(copy.events as HistoryEvent[]);
  return readHistory(copy).odd;
}

const first = (events: readonly HistoryEvent[], kind: keyof HistoryEvent): HistoryEvent =>
  events.find((event) => event[kind])!;
const move = (event: HistoryEvent, seconds: number) => {
  const time = event.eventTime!;
  event.eventTime = { ...time, seconds: (Number(time.seconds) + seconds) as never };
};

/** Puts a copy of the event before it. All that follow have their next number, and name each other by it. */
function repeatBefore(events: HistoryEvent[], event: HistoryEvent): void {
  const from = Number(event.eventId);
  const copy = { ...event, eventId: from };
  for (const one of events.slice(from - 1)) {
    one.eventId = (Number(one.eventId) + 1) as never;
    for (const facts of Object.values(one).filter((value) => typeof value === 'object' && value !== null))
      for (const [name, value] of Object.entries(facts as Record<string, unknown>))
        if (name.endsWith('EventId') && Number(value) >= from)
          (facts as Record<string, unknown>)[name] = Number(value) + 1;
  }
  events.splice(from - 1, 0, copy as never);
}

test.each(recorded.map((one) => [one.name, one] as const))('%s is whole in itself', (_, { history }) => {
  expect(readHistory(history).odd).toEqual([]);
});

describe('its form', () => {
  const FORMS: readonly (readonly [string, string, (events: HistoryEvent[]) => void, RegExp])[] = [
    ['an event is left out', 'v2/credited', (events) => events.splice(5, 1), /^calls itself event 7$/],
    ['an event stands twice', 'v2/credited', (events) => events.splice(5, 0, events[5]!), /^calls itself event 6$/],
    [
      'an event holds other facts than it says',
      'v2/credited',
      (events) => {
        first(events, 'timerStartedEventAttributes').eventType = first(events, 'timerCanceledEventAttributes')
          .eventType!;
      },
      /^says EVENT_TYPE_TIMER_CANCELED and holds timerStartedEventAttributes$/,
    ],
    [
      'an event holds two kinds of facts',
      'v2/credited',
      (events) => {
        const timer = first(events, 'timerStartedEventAttributes');
        timer.timerFiredEventAttributes = { startedEventId: 6 as never };
      },
      /no facts, or several/,
    ],
    [
      'a command of a task that is not one',
      'v2/credited',
      (events) => {
        first(events, 'timerStartedEventAttributes').timerStartedEventAttributes!.workflowTaskCompletedEventId =
          3 as never;
      },
      /^has workflowTaskCompletedEventId 3, which is not an earlier workflowTaskCompleted$/,
    ],
    [
      'a task that ends as an earlier one',
      'v2/credited',
      (events) => {
        const [begun] = events.filter((event) => event.workflowTaskStartedEventAttributes);
        const done = events.findLast((event) => event.workflowTaskCompletedEventAttributes)!;
        done.workflowTaskCompletedEventAttributes!.startedEventId = begun!.eventId!;
      },
      /^has startedEventId 3, which is not the last workflowTaskStarted before it$/,
    ],
    [
      'a command of an earlier task',
      'v2/credited',
      (events) => {
        const [task] = events.filter((event) => event.workflowTaskCompletedEventAttributes);
        const end = first(events, 'workflowExecutionCompletedEventAttributes');
        end.workflowExecutionCompletedEventAttributes!.workflowTaskCompletedEventId = task!.eventId!;
      },
      /^has workflowTaskCompletedEventId \d+, which is not the last workflowTaskCompleted before it$/,
    ],
    [
      'an activity that ends as another',
      'v2/decided-credit',
      (events) => {
        const [begun] = events.filter((event) => event.activityTaskStartedEventAttributes);
        const done = events.findLast((event) => event.activityTaskCompletedEventAttributes)!;
        done.activityTaskCompletedEventAttributes!.startedEventId = begun!.eventId!;
      },
      /^ends activity \d+, started was \d+$/,
    ],
    [
      'a task that begins twice, on which replaying would never end',
      'v2/credited',
      (events) => repeatBefore(events, first(events, 'workflowTaskStartedEventAttributes')),
      /^begins 2, as an event before it does$/,
    ],
    [
      'a task that ends twice',
      'v2/credited',
      (events) => repeatBefore(events, first(events, 'workflowTaskCompletedEventAttributes')),
      /^ends 3, as an event before it does$/,
    ],
    [
      'an activity that times out as another',
      'v2/decided-credit',
      (events) => {
        const [begun] = events.filter((event) => event.activityTaskStartedEventAttributes);
        const done = events.findLast((event) => event.activityTaskCompletedEventAttributes)!;
        done.activityTaskTimedOutEventAttributes = {
          ...done.activityTaskCompletedEventAttributes!,
          startedEventId: begun!.eventId!,
        } as never;
        done.activityTaskCompletedEventAttributes = null;
        done.eventType = EventType.EVENT_TYPE_ACTIVITY_TASK_TIMED_OUT;
      },
      /^ends activity \d+, started was \d+$/,
    ],
    [
      'an answer to a question of later',
      'v2/decided-credit',
      (events) => {
        const done = first(events, 'activityTaskCompletedEventAttributes').activityTaskCompletedEventAttributes!;
        done.scheduledEventId = events.length as never;
      },
      /which is not an earlier activityTaskScheduled$/,
    ],
    [
      'an answer to no question',
      'v2/decided-credit',
      (events) => {
        const done = first(events, 'workflowExecutionUpdateCompletedEventAttributes');
        done.workflowExecutionUpdateCompletedEventAttributes!.acceptedEventId = 0 as never;
      },
      /^has acceptedEventId 0/,
    ],
    [
      'a timer that ends as another',
      'v2/credited',
      (events) => {
        first(events, 'timerCanceledEventAttributes').timerCanceledEventAttributes!.timerId = '2';
      },
      /^ends timer 2, set was 1$/,
    ],
    [
      'no type of workflow, on which replaying would never end',
      'v2/credited',
      (events) => {
        events[0]!.workflowExecutionStartedEventAttributes!.workflowType = null;
      },
      /^has no workflowType$/,
    ],
    [
      'nothing after its start, on which replaying would never end either',
      'v2/credited',
      (events) => {
        events.length = 1;
      },
      /^is followed by nothing$/,
    ],
  ];
  test.each(FORMS)('is odd when there is %s', (_, name, change, detail) => {
    const odd = oddities(name, change);
    expect(odd).toContainEqual({
      kind: 'form',
      eventId: expect.any(Number) as number,
      detail: expect.stringMatching(detail) as string,
    });
  });
});

describe('its times', () => {
  const TIMES: readonly (readonly [string, string, (events: HistoryEvent[]) => void])[] = [
    ['an event is older than the one before it', 'v2/credited', (events) => move(events[3]!, -60 * SECOND)],
    ['all events but the first are older than it', 'v2/credited', (events) => move(events[0]!, 3600)],
    [
      'a signal is older than the task during which it came',
      'v2/credited-signalled-often',
      (events) => move(events[7]!, -60 * SECOND),
    ],
    [
      'an activity ended before it began',
      'v2/decided-credit',
      (events) => move(first(events, 'activityTaskCompletedEventAttributes'), -60 * SECOND),
    ],
    [
      'an activity began before it was asked for',
      'v2/decided-credit',
      (events) => move(first(events, 'activityTaskStartedEventAttributes'), -60 * SECOND),
    ],
    [
      'a window ended before its time',
      'v2/unpaid',
      (events) => {
        const set = first(events, 'timerStartedEventAttributes').timerStartedEventAttributes!;
        set.startToFireTimeout = { seconds: 1800 as never, nanos: 0 };
      },
    ],
  ];
  test.each(TIMES)('contradict when %s', (_, name, change) => {
    expect(oddities(name, change)).toContainEqual(expect.objectContaining({ kind: 'time' }));
  });

  test('a server of several machines may be a second off', () => {
    expect(oddities('v2/credited', (events) => move(events[4]!, -SECOND))).toEqual([]);
  });

  test('what happened during a task is written down after it, with its own time, however long the task took', () => {
    const { name, at } = recorded
      .map((one) => ({ name: one.name, at: writtenLater(one.history.events ?? []) }))
      .find((one) => one.at > 0)!;
    // All events written together with it are a minute later, from the end of the task on.
    const odd = oddities(name, (events) => {
      const end = events.findLastIndex((event, i) => i < at && event.workflowTaskCompletedEventAttributes);
      for (const [i, event] of events.entries()) if (i >= end && i !== at) move(event, 60 * SECOND);
    });
    expect(odd).toEqual([]);
  });

  /** The index of a signal that is older than the event before it; -1: there is none. */
  const writtenLater = (events: readonly HistoryEvent[]): number =>
    events.findIndex(
      (event, i) => event.workflowExecutionSignaledEventAttributes && timeOf(event) < timeOf(events[i - 1]!),
    );
  const timeOf = ({ eventTime }: HistoryEvent) => Number(eventTime!.seconds) + eventTime!.nanos! / 1e9;
});

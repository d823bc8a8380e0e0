import type { History } from '@temporalio/common/lib/proto-utils.js';
import { localActivityNumber, type RecordedCommand, recordedCommands } from '../../archive/recorded-commands.ts';
import { activityWords, wordsOf } from './decision-words.ts';

/** The first difference between a history and the code, in words: what the history holds, and what the code does. */
export interface ReplayDifference {
  /** Id of the event that holds the recorded decision; null: not known. */
  readonly eventId: number | null;
  /** Past tense: `credited the deposit (local activity credit)`; null: not known. */
  readonly did: string | null;
  /** The text after "this code": `would record a review (local activity recordReview) instead`. */
  readonly now: string;
}

export const NOTHING = 'would not';
export const instead = (would: string): string => `would ${would} instead`;

/** One sentence without its full stop. */
export function tellDifference({ eventId, did, now }: ReplayDifference): string {
  const recorded = did === null ? '' : `the recording ${did}; `;
  return `${eventId === null ? '' : `at event ${eventId} `}${recorded}this code ${now}`;
}

/**
 * Explains which decision of a history the code changes, as far as the SDK's error shows: it compares kinds and names,
 * no values. The history's payloads have to be decoded. An error of an unknown form is quoted.
 */
export function explainDifference(history: History, error: Error): string {
  const commands = recordedCommands(history);
  const detail = detailOf(error);
  return tellDifference(
    otherActivity(commands, detail) ??
      missingActivity(history, commands, detail) ??
      missingPatch(commands, detail) ??
      otherEvent(commands, detail) ?? { eventId: null, did: null, now: failureOf(error) },
  );
}

/**
 * A workflow task that timed out at the worker: the SDK may have continued with newer messages in an order that no
 * replay produces. Null: no task timed out. The history does not say whether the SDK did so.
 */
export function stalledTask(history: History): string | null {
  const at = history.events?.find((event) => {
    const { timeoutType } = event.workflowTaskTimedOutEventAttributes ?? {};
    return Number(timeoutType) === START_TO_CLOSE;
  });
  return at === undefined
    ? null
    : `a worker stood still at event ${String(at.eventId)}, which alone can be the reason (docs/guides/audit.md#a-worker-that-stood-still)`;
}

const START_TO_CLOSE = 1;

/** The text after "this code" if the code threw. */
export const failureOf = (error: Error): string => `fails: ${detailOf(error)}`;

/** The SDK prints its failure with all fields; the first one has the message. */
function detailOf({ message }: Error): string {
  const quoted = /message: "((?:[^"\\]|\\.)*)"/.exec(message)?.[1];
  const detail = quoted?.replaceAll(/\\(["'\\])/g, '$1') ?? message;
  return detail.split(/\n|\\n/)[0]!.slice(0, 500);
}

/** Core does not name the event: it is known only when the history has one activity of that name. */
function otherActivity(commands: readonly RecordedCommand[], detail: string): ReplayDifference | null {
  const found =
    /type of (recorded marker|scheduled event) '(\w+)' does not match .*?(local )?activity command '(\w+)'/.exec(
      detail,
    );
  if (found === null) return null;
  const [, holder, recorded, local, wanted] = found;
  const isLocal = holder === 'recorded marker';
  const named = commands.filter(
    ({ command }) => command.kind === 'activity' && command.name === recorded && command.local === isLocal,
  );
  return {
    eventId: named.length === 1 ? named[0]!.eventId : null,
    did: activityWords(recorded!, isLocal).did,
    now: instead(activityWords(wanted!, local !== undefined).would),
  };
}

function missingActivity(
  history: History,
  commands: readonly RecordedCommand[],
  detail: string,
): ReplayDifference | null {
  const missing = /Missing associated machine for LocalActivity\((\d+)\)/.exec(detail)?.[1];
  if (missing === undefined) return null;
  const event = history.events?.find((event) => localActivityNumber(event) === Number(missing));
  return at(commands, Number(event?.eventId), NOTHING);
}

function missingPatch(commands: readonly RecordedCommand[], detail: string): ReplayDifference | null {
  const id = /patch marker encountered for change ([\w-]+), but there is no/.exec(detail)?.[1];
  const marker = commands.find(({ command }) => command.kind === 'patch' && command.id === id);
  return marker === undefined ? null : at(commands, marker.eventId, NOTHING);
}

/** The SDK core's names for its state machines, each with its command. */
const WANTED: Readonly<Record<string, string>> = {
  'Complete workflow machine': 'end',
  'Fail workflow machine': 'fail',
  'Timer machine': 'wait (timer)',
  'Activity machine': 'run a durable activity',
  'Update machine': 'answer an update',
  UpsertWorkflowSearchAttributesMachine: 'announce',
};

function otherEvent(commands: readonly RecordedCommand[], detail: string): ReplayDifference | null {
  const event = /HistoryEvent\(id: (\d+), \w+\)/.exec(detail)?.[1];
  if (event === undefined) return null;
  const machine = /(\w[\w ]*?) does not handle/.exec(detail)?.[1];
  return at(commands, Number(event), machine === undefined ? NOTHING : instead(WANTED[machine] ?? 'do something else'));
}

function at(commands: readonly RecordedCommand[], eventId: number, now: string): ReplayDifference {
  const command = commands.find((recorded) => recorded.eventId === eventId)?.command;
  return { eventId, did: command === undefined ? null : wordsOf(command).did, now };
}

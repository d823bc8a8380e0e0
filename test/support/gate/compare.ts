import type { Command, RecordedCommand } from '../../../archive/recorded-commands.ts';
import { wordsOf } from '../../../audit/histories/decision-words.ts';
import { type ReplayDifference, instead, NOTHING } from '../../../audit/histories/difference.ts';

/**
 * Returns the first decision in which a recording and a replay differ, or null.
 * - Names, durations of timers and search attributes have to be equal.
 * - Arguments and results of activities have to contain everything recorded. More is allowed: optional fields may be
 *   added.
 * - Texts of summaries are ignored.
 */
export function firstDifference(
  recorded: readonly RecordedCommand[],
  replayed: readonly Command[],
): ReplayDifference | null {
  for (const [i, { eventId, command }] of recorded.entries()) {
    const other = replayed[i];
    const { did } = wordsOf(command);
    if (other === undefined) return { eventId, did, now: NOTHING };
    if (whatOf(other) !== whatOf(command)) return { eventId, did, now: instead(wordsOf(other).would) };
    const value = firstOtherValue(valuesOf(command), valuesOf(other));
    if (value === null) continue;
    const [name, was, is] = value;
    return { eventId, did: `${did} with ${name} ${was}`, now: `would do so with ${name} ${is}` };
  }
  // Recordings end when nothing is pending: a further command of the code is one made while the recording waits.
  const more = replayed[recorded.length];
  if (more === undefined) return null;
  return {
    eventId: recorded.at(-1)?.eventId ?? null,
    did: 'did no more than this and waited',
    now: instead(wordsOf(more).would),
  };
}

/** The decision, without the values that may grow and the texts that may change. */
const whatOf = (command: Command): string =>
  JSON.stringify({ ...command, summary: null, input: null, answer: null, result: null });

function valuesOf(command: Command): unknown {
  if (command.kind === 'activity') return command.input;
  if (command.kind === 'updateAnswered') return command.answer;
  return command.kind === 'end' ? command.result : null;
}

type OtherValue = readonly [name: string, was: string, is: string];

function firstOtherValue(was: unknown, is: unknown, name = 'the value'): OtherValue | null {
  // A local activity whose arguments were not recorded, or an empty result: nothing to compare.
  if (name === 'the value' && was === null) return null;
  if (typeof was !== 'object' || was === null || typeof is !== 'object' || is === null) {
    return was === is ? null : [name, shown(was), shown(is)];
  }
  for (const [key, member] of Object.entries(was)) {
    const inner = Array.isArray(was) ? `argument ${Number(key) + 1}` : key;
    const other = firstOtherValue(member, (is as Record<string, unknown>)[key], inner);
    if (other !== null) return other;
  }
  return null;
}

const shown = (value: unknown): string => JSON.stringify(value) ?? 'nothing';

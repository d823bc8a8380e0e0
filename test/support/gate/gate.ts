import type { InjectedSinks } from '@temporalio/worker';
import { DeterminismViolationError } from '@temporalio/workflow';
import { type Command, type RecordedCommand, recordedCommands } from '../../../archive/recorded-commands.ts';
import { LeanReplay } from '../../../audit/histories/replay.ts';
import { explainDifference, failureOf, NOTHING, tellDifference } from '../../../audit/histories/difference.ts';
import { firstDifference } from './compare.ts';
import type { GateSinks } from './interceptors.ts';
import { GateTrace } from './trace.ts';
import type { RecordedHistory } from '../workflows/histories.ts';

/**
 * The replay gate: runs recorded histories through workflow code and compares every decision with the recorded one. The
 * SDK's own replay compares kinds and names of commands. The gate also compares durations of timers, arguments of
 * activities and the result.
 */

interface Replayed {
  readonly recorded: RecordedHistory;
  readonly commands: readonly Command[];
  readonly error: Error | undefined;
}

/** One run of the replayer for all of them. */
async function* replay(code: string, recordings: readonly RecordedHistory[]): AsyncGenerator<Replayed> {
  let trace = new GateTrace();
  const gate: InjectedSinks<GateSinks>['gate'] = {
    activated: { fn: (_, jobs) => trace.activated(jobs), callDuringReplay: true },
    concluded: { fn: (_, commands) => trace.concluded(commands), callDuringReplay: true },
  };
  const results = LeanReplay.runReplayHistories({ workflowBundle: { code }, sinks: { gate } }, recordings);
  let next = 0;
  for await (const { error } of results) {
    yield { recorded: recordings[next]!, commands: trace.commands(), error };
    trace = new GateTrace();
    next += 1;
  }
}

/** The gate's report on a recording that this code would have decided otherwise. */
export interface Caught {
  /** Which decision changed, in words. */
  readonly sentence: string;
  /** The same from the SDK's error alone, as the audit has it; null: the SDK has not noticed. */
  readonly fromError: string | null;
}

/** By the recording's name; recordings without a difference are left out. */
export async function differences(
  code: string,
  recordings: readonly RecordedHistory[],
): Promise<ReadonlyMap<string, Caught>> {
  const found = new Map<string, Caught>();
  for await (const replayed of replay(code, recordings)) {
    const { recorded, error } = replayed;
    const fromError = error === undefined ? null : explainDifference(recorded.history, error);
    const sentence = differenceOf(replayed) ?? fromError;
    if (sentence !== null) found.set(recorded.name, { sentence, fromError });
  }
  return found;
}

function differenceOf({ recorded, commands, error }: Replayed): string | null {
  const difference = firstDifference(decisionsOf(recorded), commands);
  if (difference === null) return null;
  const hasThrown = difference.now === NOTHING && error !== undefined && !(error instanceof DeterminismViolationError);
  return tellDifference(hasThrown ? { ...difference, now: failureOf(error) } : difference);
}

/** The recorded decisions, with the arguments of local activities: no history keeps those. */
export const decisionsOf = ({ history, given }: RecordedHistory): RecordedCommand[] =>
  recordedCommands(history).map(({ eventId, command }) => ({
    eventId,
    command: command.kind === 'activity' && command.local ? { ...command, input: given[eventId] ?? null } : command,
  }));

/**
 * Returns the arguments that the code of a recording gives its local activities, by event. Throws when it would decide
 * otherwise.
 */
export async function givenLocally(code: string, recorded: RecordedHistory): Promise<RecordedHistory['given']> {
  for await (const { commands, error } of replay(code, [recorded])) {
    if (error !== undefined) throw error;
    const given = recordedCommands(recorded.history).flatMap(({ eventId, command }, i) => {
      const asked = commands[i];
      return command.kind === 'activity' && command.local && asked?.kind === 'activity' && asked.input !== null
        ? [[eventId, asked.input] as const]
        : [];
    });
    return Object.fromEntries(given);
  }
  throw new Error(`${recorded.name} was not replayed`);
}

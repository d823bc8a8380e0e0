import type { Random } from '../../attack/random.ts';
import type { Outcome, TrialOptions } from '../verdict/trial.ts';
import type { Attempt } from './statement.ts';

/**
 * Pairs of accepted statements, one after the other: one of every kind of effect, before and after one of every other.
 */

export interface Pair {
  readonly attempt: Attempt;
  /** The findings of each alone have to be among those of both. */
  readonly options: TrialOptions;
}

const kindOf = ({ attempt, verdict, changes }: Outcome): string =>
  JSON.stringify([
    attempt.steps.map(({ role, by }) => [role, by]),
    verdict,
    [...new Set(changes.map(({ table, kind, columns }) => `${kind} ${table} ${columns.join()}`))].toSorted(),
  ]);

export function pairsOf(
  accepted: readonly Outcome[],
  isKnown: (name: string) => boolean,
  random: Random,
  atMost: number,
): readonly Pair[] {
  const kinds = [...new Map(accepted.map((outcome) => [kindOf(outcome), outcome])).values()];
  const pairs = kinds.flatMap((first) => kinds.map((second) => [first, second] as const));
  while (pairs.length > atMost) pairs.splice(random.int(pairs.length), 1);
  return pairs.map(([first, second]) => {
    const mustName = [first, second]
      .filter(({ verdict }) => verdict === 'found')
      // A new row has another number every time.
      .map(({ named }) => named.filter(isKnown))
      .filter((names) => names.length > 0);
    return {
      attempt: {
        name: `${first.attempt.name} THEN ${second.attempt.name}`,
        steps: [...first.attempt.steps, ...second.attempt.steps],
      },
      options: { alone: [first, second], ...(mustName.length > 0 ? { mustName } : {}) },
    };
  });
}

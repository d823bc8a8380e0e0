import type { Bench } from './bench.ts';
import type { PartResult } from './figures/result.ts';

export interface Part {
  /** The rows of the report that it fills. */
  readonly ids: readonly string[];
  /** About how long it takes; null: a quick run leaves it out unless it is named. */
  readonly seconds: { readonly full: number; readonly quick: number | null };
  /** `wanted`: those of its rows that are asked for. */
  measure(bench: Bench, wanted: readonly string[]): Promise<Readonly<Record<string, PartResult>>>;
}

/** Tells of every round as it begins, in one line. */
export const roundsTold =
  (bench: Bench, what: string) =>
  (name: string, round: number): void =>
    bench.tell(`${what}: ${round === 0 ? 'warm-up' : `round ${round} of ${bench.scale.rounds}`}, ${name}`);

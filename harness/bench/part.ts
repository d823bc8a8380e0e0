import type { Bench } from './bench.ts';
import type { PartResult } from './figures/result.ts';

export interface Part {
  /** The rows of the report that this part fills. */
  readonly ids: readonly string[];
  /** The approximate duration in seconds; null: a quick run omits the part unless it is named. */
  readonly seconds: { readonly full: number; readonly quick: number | null };
  /** The option without which the part is omitted. */
  readonly needs?: 'before';
  /** `wanted`: the requested rows of this part. */
  measure(bench: Bench, wanted: readonly string[]): Promise<Readonly<Record<string, PartResult>>>;
}

/** Prints one line at the start of every round. */
export const roundsTold =
  (bench: Bench, what: string) =>
  (name: string, round: number): void =>
    bench.tell(`${what}: ${round === 0 ? 'warm-up' : `round ${round} of ${bench.scale.rounds}`}, ${name}`);

/** One side of a comparison: does its share of a round and resolves to its measurement. */
export type Contender<Sample> = (round: number) => Promise<Sample>;

/** A B C, C B A, A B C …: the first contender has no advantage, and a drift of the machine affects all equally. */
export const orderOf = <T>(names: readonly T[], round: number): readonly T[] =>
  round % 2 === 0 ? names : names.toReversed();

/**
 * Runs the contenders in turns. Round 0 is a warm-up and is dropped. `told` is called before each share, including the
 * warm-up. Resolves to the samples of each contender by round.
 */
export async function inTurns<Name extends string, Sample>(
  contenders: Readonly<Record<Name, Contender<Sample>>>,
  rounds: number,
  told: (name: Name, round: number) => void = () => undefined,
): Promise<Record<Name, Sample[]>> {
  const names = Object.keys(contenders) as Name[];
  const samples = Object.fromEntries(names.map((name) => [name, [] as Sample[]])) as Record<Name, Sample[]>;
  for (let round = 0; round <= rounds; round += 1) {
    for (const name of orderOf(names, round)) {
      told(name, round);
      const sample = await contenders[name](round);
      if (round > 0) samples[name].push(sample);
    }
  }
  return samples;
}

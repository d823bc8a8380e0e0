/** What the rounds of one point say. Without a baseline the ratio is null, and `min` and `max` are those of `ours`. */
export interface Figure {
  /** Medians over the rounds, in `unit`. */
  readonly ours: number;
  readonly baseline: number | null;
  /** Median of the rounds' own ratios, ours by baseline; `min` and `max` are the least and the greatest of them. */
  readonly ratio: number | null;
  readonly min: number;
  readonly max: number;
  readonly rounds: number;
  readonly unit: string;
}

/** Of an even number the mean of the two in the middle. Throws RangeError when there is none. */
export function median(values: readonly number[]): number {
  if (values.length === 0) throw new RangeError('no value, no median');
  const sorted = values.toSorted((a, b) => a - b);
  const half = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[half]! : (sorted[half - 1]! + sorted[half]!) / 2;
}

/** Paired by round: what slowed the machine down for a moment slowed both. */
export function against(ours: readonly number[], baseline: readonly number[], unit: string): Figure {
  if (ours.length !== baseline.length) throw new RangeError(`${ours.length} rounds of ours, ${baseline.length} others`);
  const ratios = ours.map((value, round) => value / baseline[round]!);
  return {
    ours: rounded(median(ours)),
    baseline: rounded(median(baseline)),
    ratio: rounded(median(ratios)),
    min: rounded(Math.min(...ratios)),
    max: rounded(Math.max(...ratios)),
    rounds: ours.length,
    unit,
  };
}

/** A figure that is measured against nothing. */
export const alone = (values: readonly number[], unit: string): Figure => ({
  ours: rounded(median(values)),
  baseline: null,
  ratio: null,
  min: rounded(Math.min(...values)),
  max: rounded(Math.max(...values)),
  rounds: values.length,
  unit,
});

/** Three significant digits; more would pretend to know. */
export const rounded = (value: number): number => (Number.isFinite(value) ? Number(value.toPrecision(3)) : value);

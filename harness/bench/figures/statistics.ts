/** The statistics of a point's rounds. Without a baseline, `ratio` is null and `min` and `max` are those of `ours`. */
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

/** Returns the median; for an even count, the mean of the two middle values. Throws RangeError for an empty list. */
export function median(values: readonly number[]): number {
  if (values.length === 0) throw new RangeError('no value, no median');
  const sorted = values.toSorted((a, b) => a - b);
  const half = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[half]! : (sorted[half - 1]! + sorted[half]!) / 2;
}

/** Compares two series paired by round: a short slowdown of the machine affects both. */
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

/** {@link against}, of one field of the rounds' samples. */
export const againstBy = <Field extends string>(
  field: Field,
  ours: readonly Readonly<Record<Field, number>>[],
  baseline: readonly Readonly<Record<Field, number>>[],
  unit: string,
): Figure =>
  against(
    ours.map((sample) => sample[field]),
    baseline.map((sample) => sample[field]),
    unit,
  );

/** Returns a figure without a baseline. */
export const alone = (values: readonly number[], unit: string): Figure => ({
  ours: rounded(median(values)),
  baseline: null,
  ratio: null,
  min: rounded(Math.min(...values)),
  max: rounded(Math.max(...values)),
  rounds: values.length,
  unit,
});

/** Rounds to three significant digits; more would suggest false precision. */
export const rounded = (value: number): number => (Number.isFinite(value) ? Number(value.toPrecision(3)) : value);

import { readArguments, UsageError } from '../../config/command-line.ts';

export interface BenchOptions {
  readonly size: 'full' | 'quick' | 'tiny';
  /** The wanted rows; empty: all. */
  readonly only: readonly string[];
  /** The storage of Temporal: the dev server's file, or a PostgreSQL. */
  readonly temporal: 'dev' | 'postgres';
  /** An earlier run's JSON. */
  readonly compare: string | null;
  /** The commit of another version to compare with; null: none. */
  readonly before: string | null;
  /** The directory of the report. */
  readonly out: string;
}

export const BENCH_USAGE = `npm run bench -- [--quick | --tiny] [--only P3,P4] [--compare OLD.json] [--temporal postgres]
                 [--before COMMIT] [--out DIR]
  --quick     fewer rounds and deposits, and no part that takes long: at most six minutes
  --tiny      one round of a few deposits, to see whether it works: its figures say nothing
  --only      these rows of the report alone, whatever the others leave out
  --compare   also how each figure stands to that of an earlier run
  --temporal  postgres: Temporal's server on a PostgreSQL of its own, built with Go once, instead of the dev server
  --before    also P16: this version against that one, whole engines in turns
  --out       where JSON, report and charts are written; by default test-output/bench`;

/** Throws {@link UsageError}. */
export function parseBenchOptions(args: readonly string[], ids: readonly string[]): BenchOptions {
  const options = {
    quick: { type: 'boolean', default: false },
    tiny: { type: 'boolean', default: false },
    only: { type: 'string', default: '' },
    compare: { type: 'string' },
    temporal: { type: 'string', default: 'dev' },
    before: { type: 'string' },
    out: { type: 'string', default: 'test-output/bench' },
  } as const;
  const { values } = readArguments(args, options, { allowPositionals: false });
  const only = values.only
    .split(',')
    .map((id) => id.trim().toUpperCase())
    .filter((id) => id !== '');
  const unknown = only.filter((id) => !ids.includes(id));
  if (unknown.length > 0) throw new UsageError(`--only ${unknown.join(',')}: expected some of ${ids.join(', ')}`);
  const { temporal } = values;
  if (temporal !== 'dev' && temporal !== 'postgres')
    throw new UsageError(`--temporal ${temporal}: expected dev or postgres`);
  if (only.includes('P16') && values.before === undefined)
    throw new UsageError('--only P16: --before COMMIT is missing');
  const size = values.tiny ? 'tiny' : values.quick ? 'quick' : 'full';
  return { size, only, temporal, compare: values.compare ?? null, before: values.before ?? null, out: values.out };
}

import { readArguments, UsageError } from '../../config/command-line.ts';

export interface GrowthOptions {
  /** Deposits of each database, fewest first. */
  readonly sizes: readonly number[];
  /** From this many deposits on, long values outside of indexes are short; null: never. */
  readonly leanFrom: number | null;
  /** The file of the JSON. */
  readonly out: string;
}

const LEAST = 1_000;
const LEAN_FROM = 1_000_000;

export const GROWTH_USAGE = `npm run growth -- [--deposits 1000,100000,1000000,10000000] [--lean] [--out FILE]
  --deposits  the sizes, each a database of its own on one server; everything is compared with the smallest
  --lean      from a million on, long values outside of indexes are short: ten million need some 40 GB instead of 56
  --out       the JSON; by default test-output/growth.json. It is written after each size`;

/** Throws {@link UsageError}. */
export function parseGrowthOptions(args: readonly string[]): GrowthOptions {
  const options = {
    deposits: { type: 'string', default: '1000,100000' },
    lean: { type: 'boolean', default: false },
    out: { type: 'string', default: 'test-output/growth.json' },
  } as const;
  const { values } = readArguments(args, options, { allowPositionals: false });
  const sizes = values.deposits.split(',').map(Number);
  if (!sizes.every((size) => Number.isSafeInteger(size) && size >= LEAST) || new Set(sizes).size < sizes.length)
    throw new UsageError(`--deposits ${values.deposits}: expected different whole numbers from ${LEAST} on`);
  return { sizes: sizes.toSorted((a, b) => a - b), leanFrom: values.lean ? LEAN_FROM : null, out: values.out };
}

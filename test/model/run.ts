import fc from 'fast-check';
import { withClient } from '../../database/pool.ts';
import { COMMANDS } from './commands.ts';
import type { Tally } from './driver.ts';
import { runSequence } from './model.ts';
import type { Site } from './world.ts';

export interface Counts {
  readonly [kind: string]: Readonly<Record<string, number>>;
}

export interface ModelOptions {
  readonly count: number;
  readonly seed: number;
  readonly path?: string;
  readonly replay?: string;
  /** Stops at the first failure instead of shrinking the sequence. */
  readonly hasty?: boolean;
  /** Concurrent sequences, each lane from a seed of its own: the given one, the next, and so on. */
  readonly lanes?: number;
  /** Receives the progress now and then. */
  readonly progress?: (sequences: number) => void;
}

export interface ModelReport {
  /** The seed of the lane that failed, where one did. */
  readonly seed: number;
  readonly sequences: number;
  readonly counts: Counts;
  readonly seconds: number;
  /** fast-check's report on the shortest failing sequence; null: there is none. */
  readonly failure: string | null;
}

const MAX_COMMANDS = 25;
/** The whole books are audited after so many sequences. */
const AUDIT_EVERY = 100;

/** Runs sequences of commands against the reference and the engine until one differs. */
export async function runModel(site: Site, options: ModelOptions): Promise<ModelReport> {
  const started = performance.now();
  const counts: Record<string, Record<string, number>> = {};
  const tally = {
    count(kind: string, name: string) {
      const of = (counts[kind] ??= {});
      of[name] = (of[name] ?? 0) + 1;
    },
  };
  const lanes = options.lanes ?? 1;
  const run = { site, options, tally, sequences: 0, failed: false };
  const reports = await Promise.all(
    Array.from({ length: lanes }, (_, lane) =>
      runLane(run, options.seed + lane, Math.ceil((options.count - lane) / lanes)),
    ),
  );
  if (!run.failed) await audit(site);
  const failed = reports.find(({ failure }) => failure !== null);
  return {
    seed: failed?.seed ?? options.seed,
    sequences: run.sequences,
    counts,
    seconds: (performance.now() - started) / 1000,
    failure: failed?.failure ?? null,
  };
}

interface Run {
  readonly site: Site;
  readonly options: ModelOptions;
  readonly tally: Tally;
  sequences: number;
  failed: boolean;
}

async function runLane(run: Run, seed: number, count: number): Promise<{ seed: number; failure: string | null }> {
  const { site, options, tally } = run;
  if (count <= 0) return { seed, failure: null };
  const commands = fc.commands(COMMANDS, {
    maxCommands: MAX_COMMANDS,
    size: 'max',
    ...(options.replay === undefined ? {} : { replayPath: options.replay }),
  });
  let isFirst = true;
  const property = fc.asyncProperty(commands, async (sequence) => {
    // The other lanes stop when one has failed, which then shrinks its sequence alone.
    if (run.failed && isFirst) return;
    const n = isFirst ? (run.sequences += 1) : 0;
    try {
      await runSequence(site, tally, sequence);
      if (isFirst && n % AUDIT_EVERY === 0) {
        options.progress?.(n);
        await audit(site);
      }
    } catch (error) {
      run.failed = true;
      isFirst = false;
      throw error;
    }
  });
  const details = await fc.check(property, {
    numRuns: count,
    seed,
    endOnFailure: options.hasty === true,
    ...(options.path === undefined ? {} : { path: options.path }),
  });
  if (!details.failed) return { seed, failure: null };
  const said = await fc.asyncDefaultReportMessage(details);
  return { seed, failure: `${said}\n${String((details.errorInstance as Error).stack)}` };
}

/** On a connection of its own: it takes longer than a statement of the engine may. */
async function audit({ url }: Site): Promise<void> {
  await withClient({ connectionString: url }, async (client) => {
    const { rows } = await client.query<{ fault: string; found: string }>(
      'select fault, found::text as found from ledger.audit() where found > 0',
    );
    const faults = rows.map((row) => `${row.fault} ${row.found}`);
    if (faults.length > 0) throw new Error(`the audit of the books: ${faults.join(', ')}`);
  });
}

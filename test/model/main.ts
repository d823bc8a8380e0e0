import { readArgumentsOr, wholeOr } from '../../config/command-line.ts';
import { cloneTemplate } from '../support/database.ts';
import { crossCodes } from './crossing.ts';
import { prepareDatabase } from './ground.ts';
import { runMutants } from './mutants.ts';
import { type ModelReport, runModel } from './run.ts';
import { measureDelay, runStorm } from './storm.ts';
import { openSite } from './world.ts';

/**
 * `npm run model`: sequences of every possible command on a deposit, against the reference. Exit code 1 when one
 * differs.
 */

const USAGE = `npm run model -- [--count 10000] [--seed=N] [--path PATH --replay REPLAY] [--hasty]
npm run model -- --mutants [--count 10000] [--seed=N]
npm run model -- --storm COUNT [--seed=N]`;
const options = {
  seed: { type: 'string' },
  count: { type: 'string', default: '10000' },
  path: { type: 'string' },
  replay: { type: 'string' },
  mutants: { type: 'boolean', default: false },
  hasty: { type: 'boolean', default: false },
  storm: { type: 'string' },
} as const;
const { values } = readArgumentsOr(USAGE, options, { allowPositionals: false });

/** Two work while a third waits for the disk. */
const LANES = 3;

const CROSSING_ROUNDS = 40;

const say = (line: string) => console.log(line);
/** A seed that a failure names may be negative. */
const signOf = (text: string) => (text.startsWith('-') ? -1 : 1);
const seed =
  values.seed === undefined
    ? Date.now() % 2 ** 31
    : signOf(values.seed) * wholeOr(USAGE, 'seed', values.seed.replace(/^-/, ''));
const count = wholeOr(USAGE, 'count', values.count, 1);
const stormCount = values.storm === undefined ? null : wholeOr(USAGE, 'storm', values.storm, 1);
const { url, stop } = await prepareDatabase();
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => {
    void stop().then(() => process.exit(130));
  });
}
try {
  if (stormCount !== null) await storm(url, stormCount);
  else if (values.mutants) await findMutants(url);
  else await compare(url);
} finally {
  await stop();
}

async function findMutants(url: string): Promise<void> {
  const rows = await runMutants(url, { count, seed }, ({ name, sequences, found }) =>
    say(`${sequences === null ? 'NOT FOUND' : `found by sequence ${sequences}`}: ${name}\n  ${found}`),
  );
  process.exitCode = rows.every(({ sequences }) => sequences !== null) ? 0 : 1;
}

async function storm(url: string, count: number): Promise<void> {
  const { db, drop } = await cloneTemplate(url);
  try {
    const report = await runStorm(db, { count, seed });
    list(report.did);
    for (const fault of report.faults) say(`  FAULT ${fault}`);
    say(
      `seed ${seed}: ${count} things done, ${report.transactions} transactions in ${report.seconds.toFixed(1)} s; ` +
        `deadlocks: ${report.deadlocks} by code, ${report.deadlocksCounted} as PostgreSQL counts them`,
    );
    const { free, besideHeldDeposit, besideHeldCallback } = await measureDelay(db, 15);
    const told = (ms: number) => `${ms.toFixed(1)} ms (${(ms / free).toFixed(1)} times)`;
    say(
      `a credit takes ${free.toFixed(1)} ms; beside a held deposit ${told(besideHeldDeposit)}, beside a held callback ${told(besideHeldCallback)}`,
    );
    const crossing = await crossCodes(db, CROSSING_ROUNDS);
    say(`batches whose codes cross: ${crossing} of ${2 * CROSSING_ROUNDS} deadlocked`);
    const deadlocks = report.deadlocks + report.deadlocksCounted + crossing;
    process.exitCode = deadlocks + report.faults.length === 0 ? 0 : 1;
  } finally {
    await drop();
  }
}

async function compare(url: string): Promise<void> {
  const { db, drop } = await cloneTemplate(url);
  const site = openSite(db);
  try {
    const report = await runModel(site, {
      count,
      seed,
      lanes: values.path === undefined ? LANES : 1,
      hasty: values.hasty,
      progress: (sequences) => process.stderr.write(`${sequences} sequences\n`),
      ...(values.path === undefined ? {} : { path: values.path }),
      ...(values.replay === undefined ? {} : { replay: values.replay }),
    });
    tell(report);
    process.exitCode = report.failure === null ? 0 : 1;
  } finally {
    await site.end();
    await drop();
  }
}

function tell(report: ModelReport): void {
  for (const [kind, counts] of Object.entries(report.counts)) {
    say(`${kind}:`);
    list(counts);
  }
  if (report.failure !== null) say(report.failure);
  say(
    `seed ${report.seed}: ${report.sequences} sequences in ${report.seconds.toFixed(1)} s, ${report.failure === null ? 'none differs' : 'one differs'}`,
  );
}

function list(counts: Readonly<Record<string, number>>): void {
  for (const name of Object.keys(counts).toSorted()) say(`  ${String(counts[name]).padStart(7)}  ${name}`);
}

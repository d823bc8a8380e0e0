import { parseArgs } from 'node:util';
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

const { values } = parseArgs({
  options: {
    seed: { type: 'string' },
    count: { type: 'string', default: '10000' },
    path: { type: 'string' },
    replay: { type: 'string' },
    mutants: { type: 'boolean', default: false },
    hasty: { type: 'boolean', default: false },
    storm: { type: 'string' },
  },
});

/** Two work while a third waits for the disk. */
const LANES = 3;

const CROSSING_ROUNDS = 40;

const whole = (name: string, text: string): number => {
  if (!/^-?\d{1,10}$/.test(text)) throw new Error(`--${name}: expected a whole number, found ${text}`);
  return Number(text);
};

const say = (line: string) => console.log(line);
const seed = values.seed === undefined ? Date.now() % 2 ** 31 : whole('seed', values.seed);
const { url, stop } = await prepareDatabase();
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => {
    void stop().then(() => process.exit(130));
  });
}
try {
  if (values.storm !== undefined) await storm(url, whole('storm', values.storm));
  else if (values.mutants) await findMutants(url);
  else await compare(url);
} finally {
  await stop();
}

async function findMutants(url: string): Promise<void> {
  const rows = await runMutants(url, { count: whole('count', values.count), seed }, ({ name, sequences, found }) =>
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
      count: whole('count', values.count),
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

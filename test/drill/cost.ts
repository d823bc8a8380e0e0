import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { readArgumentsOr, wholeOr } from '../../config/command-line.ts';
import { root } from '../../local/servers/paths.ts';
import { SEAL_ENV } from '../support/seals.ts';
import { inLanes } from '../../telemetry/lanes.ts';
import { until } from '../support/until.ts';
import { call, creditsOf, order } from './drill.ts';
import { openStage, type Stage } from './stage.ts';
import { checkout, command, commitOr } from '../../harness/version.ts';

/**
 * `npm run drill:cost -- --before COMMIT`: compares the cost of a callback and of a step of a decision over HTTP in
 * that version and in this one.
 * - Whole processes with servers of their own, in rounds that take turns.
 * - Prints the ratios, and the statements of each that took more than 50 ms.
 * - A commit that is the head shows the noise.
 */

const USAGE = 'npm run drill:cost -- --before COMMIT [--rounds 10]';
const options = { before: { type: 'string' }, rounds: { type: 'string', default: '10' } } as const;
const { values } = readArgumentsOr(USAGE, options, { allowPositionals: false });
const earlier = commitOr(USAGE, 'before', values.before);
const ROUNDS = wholeOr(USAGE, 'rounds', values.rounds, 1);
const SINGLE = 20;
const BURST = 20;
/** This many of the single ones are decided one step at a time, and as many of the burst's in lanes. */
const DECIDED = 12;
const LANES = 4;
const SLOW_MS = 50;

const KINDS = ['callback', 'propose', 'confirm', 'callbacks/s', 'decisions/s'] as const;
type Kind = (typeof KINDS)[number];

interface Version {
  readonly name: string;
  readonly stage: Stage;
  readonly people: readonly [string, string];
  readonly measured: Readonly<Record<Kind, number[]>>;
  drop(): Promise<void>;
}

async function open(name: string, at: string, drop: () => Promise<void>): Promise<Version> {
  const keyOf = (url: string, who: string, scopes: string) =>
    command(at, 'commands/keys.ts', ['create', who, '--scopes', scopes], { DATABASE_URL: url });
  const stage = await openStage({
    programs: ['sandbox'],
    migrateTo: async (url) => void (await command(at, 'worker/migrate.ts', [], { DATABASE_URL: url })),
    issueKey: (url) => keyOf(url, 'drill', 'deposits:create,deposits:read'),
  });
  for (const program of ['api', 'worker'] as const)
    await stage.another(program, { WORKFLOW_BUNDLE: undefined }, at).start();
  if (existsSync(join(at, 'commands/seal-key.ts')))
    await command(at, 'commands/seal-key.ts', ['--register'], { DATABASE_URL: stage.db.url, ...SEAL_ENV });
  const person = (who: string) => keyOf(stage.db.url, who, 'reviews:decide,deposits:read');
  return {
    name,
    stage,
    people: [await person('alice'), await person('bob')],
    measured: { callback: [], propose: [], confirm: [], 'callbacks/s': [], 'decisions/s': [] },
    async drop() {
      await stage.stop();
      await drop();
    },
  };
}

let made = 0;

async function round({ stage, people, measured }: Version): Promise<void> {
  const [alice, bob] = people;
  const orders = Array.from({ length: SINGLE + BURST }, () => `cost-${(made += 1)}`);
  for (const n of orders) must(await call(`${stage.apiUrl}/v1/deposits`, 'POST', stage.apiKey, order(n)), [201]);
  await stage.admin((client) => client.query('vacuum analyze'));
  const timed = async <T>(kind: Kind, work: () => Promise<T>): Promise<T> => {
    const startedMs = performance.now();
    const answer = await work();
    measured[kind].push(performance.now() - startedMs);
    return answer;
  };
  /** The rate per second. */
  const rate = async (kind: Kind, n: number, work: () => Promise<unknown>) => {
    const startedMs = performance.now();
    await work();
    measured[kind].push((n * 1_000) / (performance.now() - startedMs));
  };
  const deliver = async (n: string, change?: Readonly<Record<string, unknown>>): Promise<void> => {
    const { url, body } = stage.callbackOf(n, change);
    // A callback with a stamp of one of our own signatures gets a 503 and is retried.
    const { status } = must(await call(url, 'POST', '', JSON.parse(body)), [200, 503]);
    if (status === 503) await deliver(n, change);
  };
  const single = orders.slice(0, SINGLE);
  for (const n of single) await timed('callback', () => deliver(n));
  await credited(stage, single);
  const burst = orders.slice(SINGLE);
  await rate('callbacks/s', BURST, () => Promise.all(burst.map((n) => deliver(n))));
  await credited(stage, burst);

  const path = (id: string, step: string) => `${stage.apiUrl}/v1/reviews/${encodeURIComponent(id)}/${step}`;
  const propose = async (id: string): Promise<string> =>
    must(await call(path(id, 'propose'), 'POST', alice, { decision: 'reject', reason: 'paid twice' }), [200]).body
      .proposal.id;
  const confirm = async (id: string, proposal: string) =>
    must(await call(path(id, 'confirm'), 'POST', bob, { proposal }), [200]);
  for (const n of single.slice(0, DECIDED)) {
    await deliver(n, { transactionCode: `second-${n}` });
    const id = await parkedCase(stage, alice, n);
    const proposal = await timed('propose', () => propose(id));
    await timed('confirm', () => confirm(id, proposal));
  }
  const many: string[] = [];
  for (const n of burst.slice(0, DECIDED)) {
    await deliver(n, { transactionCode: `second-${n}` });
    many.push(await parkedCase(stage, alice, n));
  }
  await rate('decisions/s', DECIDED, () => inLanes(many, LANES, async (id) => confirm(id, await propose(id))));
}

type Heard = Awaited<ReturnType<typeof call>>;

function must(heard: Heard, may: readonly number[]): Heard {
  if (!may.includes(heard.status)) throw new Error(`${heard.status} ${JSON.stringify(heard.body)}`);
  return heard;
}

const credited = (stage: Stage, orders: readonly string[]) =>
  until('the credits', async () => (await creditsOf(stage, orders)).length === orders.length);

const parkedCase = (stage: Stage, key: string, n: string): Promise<string> =>
  until(`the case of ${n}`, async () => {
    const { items } = must(await call(`${stage.apiUrl}/v1/reviews?limit=200`, 'GET', key), [200]).body;
    const found = items.find(
      (one: Record<string, string>) => one['externalOrderNumber'] === n && one['standing'] === 'parked',
    );
    // An older version names cases by their workflow.
    return found === undefined ? false : String(found.id ?? found.workflowId);
  });

const at = (all: readonly number[], share: number): number => {
  const sorted = all.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))]!;
};

const before = await checkout(earlier);
const versions: Version[] = [];
try {
  versions.push(await open(earlier, before.at, before.drop));
  versions.push(await open('now', root, async () => undefined));
  // The text without its parameters: some of them are secrets.
  for (const { stage } of versions)
    for (const change of [
      'alter system set log_parameter_max_length = 0',
      `alter system set log_min_duration_statement = ${SLOW_MS}`,
      'select pg_reload_conf()',
    ])
      await stage.admin((client) => client.query(change));
  for (let n = 0; n <= ROUNDS; n += 1) {
    for (const version of n % 2 === 0 ? versions : versions.toReversed()) await round(version);
    // The first round warms up.
    if (n === 0) for (const { measured } of versions) for (const kind of KINDS) measured[kind].length = 0;
  }
  const [old, here] = versions.map(({ measured }) => measured);
  for (const kind of KINDS) {
    const line = [0.5, 0.9].map((share) => {
      const [was, is] = [at(old![kind], share), at(here![kind], share)];
      return `p${share * 100} ${was.toFixed(1)} → ${is.toFixed(1)} (${(is / was).toFixed(2)})`;
    });
    console.log(`${kind}${kind.endsWith('/s') ? '' : ' ms'}, ${here![kind].length} of each: ${line.join(', ')}`);
  }
  for (const { name, stage } of versions) {
    const slow = (await readFile(stage.postgresLog, 'utf8'))
      .split('\n')
      .filter((line) => / duration: /.test(line) && !line.includes('vacuum analyze'));
    console.log(`${name}: ${slow.length} statements above ${SLOW_MS} ms`);
    for (const line of slow.slice(0, 10)) console.log(`  ${line.slice(0, 160)}`);
  }
} finally {
  if (versions.length === 0) await before.drop();
  for (const version of versions) await version.drop();
}
process.exit();

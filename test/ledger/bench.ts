import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs, promisify } from 'node:util';
import pg from 'pg';
import { root } from '../../local/servers/paths.ts';
import { startPostgres } from '../../local/servers/postgres.ts';
import { atLeisure } from '../growth/rows.ts';
import { payments } from './payments.ts';

/**
 * `node --import tsx test/ledger/bench.ts --before COMMIT`: compares the cost of a credit in that version and in this
 * one, each with its schema and statement. On one server without fsync, in rounds that take turns. A commit twice shows
 * the noise. Tables are analyzed. `--open N`: at a quiet moment, after which so many payments piled up.
 */

const { values } = parseArgs({
  options: {
    before: { type: 'string', multiple: true, default: ['HEAD'] },
    rounds: { type: 'string', default: '10' },
    open: { type: 'string', default: '0' },
  },
});
const ROUNDS = Number(values.rounds);
const OPEN = Number(values.open);
/** Deposits before the quiet moment, and those that one statement writes. */
const CREDITED = 10_000;
const CHUNK = 500;
const SINGLES = 60;
const BATCHES = 16;
const BATCH = 50;
const LANES = 2;

const run = promisify(execFile);
const folder = await mkdtemp(join(tmpdir(), 'credit-bench-'));
const server = await startPostgres({
  directory: join(folder, 'postgres'),
  fsync: false,
  removeOnStop: true,
  settings: { autovacuum: 'off' },
});
const git = (...args: string[]) => run('git', ['-C', root, ...args]);

interface Version {
  readonly name: string;
  readonly url: string;
  readonly worker: pg.Pool;
  readonly owner: pg.Pool;
  readonly credit: typeof import('../../ledger/credit.ts').creditAll;
  /** The first of a round, which may be the first on its connection, and the others. */
  readonly firstMs: number[];
  readonly singlesMs: number[];
  readonly perSecond: number[];
}

/** The files of that version, a database of its schema, and its own credit. */
async function open(name: string, at: string): Promise<Version> {
  // Versions before the folder `schema` have the file one folder higher.
  const migrations = ['database/schema/migrate.ts', 'database/migrate.ts'].map((file) => join(at, file));
  const { migrate } = (await import(
    migrations.find((file) => existsSync(file))!
  )) as typeof import('../../database/schema/migrate.ts');
  const { createPool } = (await import(join(at, 'database/pool.ts'))) as typeof import('../../database/pool.ts');
  const { creditAll } = (await import(join(at, 'ledger/credit.ts'))) as typeof import('../../ledger/credit.ts');
  const admin = new pg.Client({ connectionString: server.url });
  await admin.connect();
  const database = `bench_${name.toLowerCase().replaceAll(/\W/g, '_')}`;
  await admin.query(`create database ${database}`);
  await admin.end();
  const url = new URL(server.url);
  url.pathname = `/${database}`;
  const client = new pg.Client({ connectionString: url.href });
  await client.connect();
  await migrate(client);
  await client.end();
  const pool = (role?: 'app_worker') =>
    createPool({ url: url.href, applicationName: 'bench', max: LANES, ...(role === undefined ? {} : { role }) });
  const [owner, worker] = [pool(), pool('app_worker')];
  if (OPEN > 0) {
    for (let n = 0; n < CREDITED; n += CHUNK)
      await creditAll(
        worker,
        (await payments(owner, CHUNK)).map(({ item }) => item),
      );
    await analyze(url.href);
    for (let n = 0; n < OPEN; n += CHUNK) await payments(owner, Math.min(OPEN - n, CHUNK));
  }
  return {
    name,
    url: url.href,
    worker,
    owner,
    credit: creditAll,
    firstMs: [],
    singlesMs: [],
    perSecond: [],
  };
}

const analyze = (url: string) => atLeisure(url, async (client) => void (await client.query('vacuum analyze')));

async function round({ url, owner, worker, credit, firstMs, singlesMs, perSecond }: Version): Promise<void> {
  const items = (await payments(owner, SINGLES + BATCHES * BATCH)).map(({ item }) => item);
  if (OPEN === 0) await analyze(url);
  const must = async (some: typeof items) => {
    const answers = await credit(worker, some);
    if (answers.some(({ outcome }) => outcome !== 'posted')) throw new Error(JSON.stringify(answers));
  };
  for (const [n, item] of items.splice(0, SINGLES).entries()) {
    const startedMs = performance.now();
    await must([item]);
    (n === 0 ? firstMs : singlesMs).push(performance.now() - startedMs);
  }
  const startedMs = performance.now();
  await Promise.all(
    Array.from({ length: LANES }, async () => {
      while (items.length > 0) await must(items.splice(0, BATCH));
    }),
  );
  perSecond.push((BATCHES * BATCH * 1_000) / (performance.now() - startedMs));
}

const at = (sorted: readonly number[], share: number) =>
  sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))]!;
const sorted = (numbers: readonly number[]) => numbers.toSorted((a, b) => a - b);

const versions: Version[] = [];
try {
  for (const [n, commit] of values.before.entries()) {
    const files = join(folder, `${n}`);
    await git('worktree', 'add', '--detach', files, commit);
    await symlink(join(root, 'node_modules'), join(files, 'node_modules'));
    versions.push(await open(`${n} ${commit}`, files));
  }
  versions.push(await open('now', root));
  for (let n = 0; n < ROUNDS; n += 1)
    for (const version of n % 2 === 0 ? versions : versions.toReversed()) await round(version);
  const base = versions[0]!;
  for (const { name, firstMs, singlesMs, perSecond } of versions) {
    const [one, many] = [sorted(singlesMs), at(sorted(perSecond), 0.5)];
    const [p50, p95] = [at(one, 0.5), at(one, 0.95)];
    const against = `${(p50 / at(sorted(base.singlesMs), 0.5)).toFixed(2)} and ${(many / at(sorted(base.perSecond), 0.5)).toFixed(2)}`;
    console.log(
      `${name}: one credit p50 ${p50.toFixed(2)} ms, p95 ${p95.toFixed(2)}, slowest ${one.at(-1)!.toFixed(1)}, a round’s first ${at(sorted(firstMs), 0.5).toFixed(1)}; batches of ${BATCH} on ${LANES} connections ${Math.round(many)}/s; ratio ${against}`,
    );
  }
} finally {
  await Promise.all(versions.flatMap(({ worker, owner }) => [worker.end(), owner.end()]));
  await server.stop();
  for (const n of values.before.keys())
    await git('worktree', 'remove', '--force', join(folder, `${n}`)).catch(() => undefined);
  await rm(folder, { recursive: true, force: true });
}

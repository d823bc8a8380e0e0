import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client, Connection } from '@temporalio/client';
import pg from 'pg';
import { withClient } from '../../database/pool.ts';
import { createApiKey } from '../../database/queries/api-keys.ts';
import { root } from '../../local/servers/paths.ts';
import { freePort } from '../../local/servers/ports.ts';
import { startPostgres } from '../../local/servers/postgres.ts';
import { startTemporal } from '../../local/servers/temporal.ts';
import { callbacksOf } from '../../harness/bench/load/callbacks.ts';
import { bundleWorkflows } from '../../worker/bundle.ts';
import { cloneTemplate, type TestDatabase } from '../support/database.ts';
import { migrateTemplate } from '../support/template.ts';
import { until } from '../support/until.ts';
import { SEAL_ENV } from '../support/seals.ts';

/** The whole engine as its production processes, each of which can be killed, frozen and started again. */

/** A process, or a server, that can be ended and restarted at the same address. */
export interface Piece {
  pid(): number;
  /** False: it ended without a call of `end`. */
  isAlive(): boolean;
  start(): Promise<void>;
  /** Ends it, with SIGKILL or in order. */
  end(how: 'kill' | 'stop'): Promise<void>;
}

export const PROGRAMS = ['api', 'worker', 'sandbox'] as const;
export type Program = (typeof PROGRAMS)[number];

export interface Stage {
  readonly db: TestDatabase;
  /** A superuser who may write while the server is read-only. */
  admin<T>(work: (client: pg.Client) => Promise<T>): Promise<T>;
  readonly pieces: Readonly<Record<Program | 'postgres' | 'temporal', Piece>>;
  readonly apiUrl: string;
  readonly callbackUrl: string;
  readonly sandboxUrl: string;
  readonly apiKey: string;
  readonly controlToken: string;
  /** The provider's callback address for this order, and the body of a payment of it. */
  callbackOf(externalOrderNumber: string, change?: Readonly<Record<string, unknown>>): { url: string; body: string };
  logOf(program: Program): string;
  /** The last events of a workflow's history and what is pending in it, as JSON. */
  historyOf(workflowId: string): Promise<string>;
  /** The file of PostgreSQL's own log. */
  readonly postgresLog: string;
  /** Another process of that program, in the version at `at`; not started. It ends with the stage. */
  another(
    name: 'api' | 'worker' | 'callbacks',
    env: Readonly<Record<string, string | undefined>>,
    at?: string,
  ): Piece & { log(): string };
  stop(): Promise<void>;
}

const ENTRY = {
  api: 'api/main.ts',
  callbacks: 'api/callbacks-main.ts',
  worker: 'worker/main.ts',
  sandbox: 'sandbox/main.ts',
} as const;
const READY = {
  api: '"api ready"',
  callbacks: '"callbacks ready"',
  worker: '"worker ready"',
  sandbox: 'sandbox listening',
} as const;
const READY_WITHIN_MS = 60_000;
const secret = () => randomBytes(32).toString('base64url');

export interface StageOptions {
  readonly programs?: readonly Program[];
  readonly env?: Readonly<Record<string, string>>;
  /** Arguments of Node itself. */
  readonly node?: readonly string[];
  /** Brings a database to the schema. Default: to the newest one. */
  readonly migrateTo?: (url: string) => Promise<void>;
  /** Issues the caller's key. */
  readonly issueKey?: (url: string) => Promise<string>;
}

export async function openStage({
  programs = PROGRAMS,
  env: more = {},
  node = [],
  migrateTo,
  issueKey = newKey,
}: StageOptions = {}): Promise<Stage> {
  const folder = await mkdtemp(join(tmpdir(), 'deposit-engine-drill-'));
  const undo: (() => Promise<unknown>)[] = [() => rm(folder, { recursive: true, force: true })];
  const stop = async () => {
    for (const step of undo.splice(0).toReversed()) await step().catch(() => undefined);
  };
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.once(signal, () => void stop().then(() => process.exit(130)));
  try {
    const ports = { api: 0, callback: 0, sandbox: 0 };
    for (const name of ['api', 'callback', 'sandbox'] as const) ports[name] = await freePort();
    const directory = join(folder, 'postgres');
    let postgres = await startPostgres({ directory, fsync: false, removeOnStop: true });
    undo.push(() => postgres.stop());
    await migrateTemplate(postgres.url, migrateTo);
    const { db, drop } = await cloneTemplate(postgres.url);
    undo.push(drop);
    const sandboxDatabase = new URL(postgres.url);
    sandboxDatabase.pathname = '/sandbox';
    const dbFile = join(folder, 'temporal.db');
    let temporal = await startTemporal({ dbFile, uiPort: 'headless' });
    undo.push(() => temporal.stop());
    const bundle = join(folder, 'workflow-bundle.js');
    await writeFile(bundle, await bundleWorkflows());

    const mtpay = { accessKey: secret(), secretKey: secret(), controlToken: secret() };
    const callbackKey = secret();
    const engineEnv = {
      DATABASE_URL_API: db.urlFor('app_api'),
      DATABASE_URL_WORKER: db.urlFor('app_worker'),
      DATABASE_URL_DECISIONS: db.urlFor('app_decisions'),
      MTPAY_BASE_URL: `http://127.0.0.1:${ports.sandbox}`,
      MTPAY_ACCESS_KEY: mtpay.accessKey,
      MTPAY_SECRET_KEY: mtpay.secretKey,
      MTPAY_DEADLINE: '5s',
      API_LISTEN: `127.0.0.1:${ports.api}`,
      CALLBACK_LISTEN: `127.0.0.1:${ports.callback}`,
      CALLBACK_BASE_URL: `http://127.0.0.1:${ports.callback}`,
      API_RATE_LIMIT: '99999',
      API_RATE_BURST: '99999',
      CALLBACK_KEY: callbackKey,
      PAYER_NAME_KEY: secret(),
      FINGERPRINT_KEY: secret(),
      ...SEAL_ENV,
      WORKFLOW_BUNDLE: bundle,
      TEMPORAL_ADDRESS: temporal.address,
      LOG_LEVEL: 'info',
      ...more,
    };
    const sandboxEnv = {
      SANDBOX_LISTEN: `127.0.0.1:${ports.sandbox}`,
      SANDBOX_TLS: 'off',
      SANDBOX_ALLOW_PLAIN_HTTP: 'loopback',
      DATABASE_URL_SANDBOX: sandboxDatabase.href,
      SANDBOX_ACCESS_KEY: mtpay.accessKey,
      SANDBOX_SECRET_KEY: mtpay.secretKey,
      SANDBOX_CONTROL_TOKEN: mtpay.controlToken,
      SANDBOX_CONSOLE_PASSWORD: secret(),
      // Its retries come within seconds instead of minutes; their order stays.
      SANDBOX_SPEED: '600',
      SANDBOX_ANSWER_TIMEOUT: '20s',
      SANDBOX_LOG_LEVEL: 'warn',
      ...more,
    };
    const admin = <T>(work: (client: pg.Client) => Promise<T>): Promise<T> =>
      withClient({ connectionString: db.url, options: '-c default_transaction_read_only=off' }, work);
    await admin((client) => client.query('create database sandbox'));

    const programsBy = Object.fromEntries(
      PROGRAMS.map((name) => [name, program(name, name === 'sandbox' ? sandboxEnv : engineEnv, root, node)]),
    ) as Record<Program, ReturnType<typeof program>>;
    undo.push(() => Promise.all(PROGRAMS.map((name) => programsBy[name].end('kill'))));
    for (const name of ['sandbox', 'api', 'worker'] as const)
      if (programs.includes(name)) await programsBy[name].start();

    const { pid: temporalPid } = { pid: () => temporal.pid };
    return {
      db,
      admin,
      apiUrl: `http://127.0.0.1:${ports.api}`,
      callbackUrl: `http://127.0.0.1:${ports.callback}`,
      sandboxUrl: `http://127.0.0.1:${ports.sandbox}`,
      apiKey: await issueKey(db.url),
      controlToken: mtpay.controlToken,
      pieces: {
        ...programsBy,
        postgres: server(
          () => postgres.pid,
          async () => {
            postgres = await startPostgres({ directory, port: postgres.port, fsync: false, removeOnStop: true });
          },
          // Its own stop would delete the data.
          async () => {
            process.kill(postgres.pid, 'SIGINT');
            await until('PostgreSQL to be gone', async () => !isAlive(postgres.pid));
          },
        ),
        temporal: server(
          temporalPid,
          async () => {
            temporal = await startTemporal({ dbFile, uiPort: 'headless', port: temporal.port });
          },
          () => temporal.stop(),
        ),
      },
      callbackOf: callbacksOf(`http://127.0.0.1:${ports.callback}`, { ...mtpay, callbackKey }),
      logOf: (name) => programsBy[name].log(),
      historyOf: (workflowId) => historyOf(temporal.address, workflowId),
      postgresLog: join(directory, 'server.log'),
      another(name, env, at = root) {
        const piece = program(name, { ...engineEnv, ...env }, at, node);
        undo.push(() => piece.end('kill'));
        return piece;
      },
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function historyOf(address: string, workflowId: string): Promise<string> {
  const connection = await Connection.connect({ address });
  try {
    const handle = new Client({ connection }).workflow.getHandle(workflowId);
    const { events } = await handle.fetchHistory();
    const { raw } = await handle.describe();
    return JSON.stringify({
      last: events?.slice(-15),
      activities: raw.pendingActivities,
      task: raw.pendingWorkflowTask,
    });
  } catch (error) {
    return String(error);
  } finally {
    await connection.close();
  }
}

async function newKey(url: string): Promise<string> {
  const owner = new pg.Pool({ connectionString: url, max: 1 });
  try {
    return await createApiKey(owner, { name: 'drill', scopes: ['deposits:create', 'deposits:read'] });
  } finally {
    await owner.end();
  }
}

/** A server whose process another module starts. */
function server(pid: () => number, start: () => Promise<void>, stop: () => Promise<void>): Piece {
  return {
    pid,
    isAlive: () => isAlive(pid()),
    start,
    async end(how) {
      if (how === 'stop') return stop();
      // PostgreSQL's own children end when they notice; a new start waits for them.
      process.kill(pid(), 'SIGKILL');
      await until('the server to be gone', async () => !isAlive(pid()));
    },
  };
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

function program(
  name: keyof typeof ENTRY,
  env: Readonly<Record<string, string | undefined>>,
  at: string,
  node: readonly string[],
): Piece & { log(): string } {
  let child: ChildProcess | null = null;
  let exited: Promise<void> = Promise.resolve();
  let text = '';
  return {
    pid: () => child!.pid!,
    isAlive: () => child !== null && child.exitCode === null && child.signalCode === null,
    log: () => text,
    async start() {
      const begin = text.length;
      const started = spawn(process.execPath, [...node, '--import', 'tsx', ENTRY[name]], {
        cwd: at,
        env: { PATH: process.env['PATH'], HOME: process.env['HOME'], ...env },
        stdio: ['ignore', 'pipe', 'pipe'],
      });
      child = started;
      exited = new Promise((resolve) => started.once('exit', () => resolve()));
      for (const stream of [started.stdout, started.stderr]) {
        stream.setEncoding('utf8').on('data', (chunk: string) => (text = (text + chunk).slice(-4_000_000)));
      }
      const isReady = async () => {
        if (started.exitCode !== null) throw new Error(`${name} did not start:\n${text.slice(begin).slice(-3_000)}`);
        if (text.slice(begin).includes(READY[name])) return true;
        return name === 'sandbox' && (await isUp(`http://${env['SANDBOX_LISTEN']}/healthz`));
      };
      await until(`${name} to be ready`, isReady, READY_WITHIN_MS);
    },
    async end(how) {
      child?.kill(how === 'kill' ? 'SIGKILL' : 'SIGTERM');
      await exited;
    },
  };
}

const isUp = (url: string): Promise<boolean> =>
  fetch(url).then(
    (response) => response.ok,
    () => false,
  );

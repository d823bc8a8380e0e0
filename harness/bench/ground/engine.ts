import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type pg from 'pg';
import { publicSealKey } from '../../../config/keys/inbox-seal.ts';
import { Secret } from '../../../config/keys/secret.ts';
import { freePort } from '../../../local/servers/ports.ts';
import { type Callback, callbacksOf } from '../load/callbacks.ts';
import type { Built } from './build.ts';
import { setLoginPasswords } from '../servers/logins.ts';
import { openNamespace } from '../servers/namespace.ts';
import { type BenchProgram, benchProgram } from './program.ts';
import type { BenchServers } from '../servers/servers.ts';
import type { Undo } from './undo.ts';

const run = promisify(execFile);
const secret = () => randomBytes(32).toString('base64url');

/** The engine's processes on a database of their own, with a provider that responds at once. */
export interface BenchEngine {
  /** The name of its database, and of its namespace in Temporal. */
  readonly database: string;
  readonly apiUrl: string;
  readonly apiKey: string;
  /** The URL at which the provider takes orders. */
  readonly providerUrl: string;
  readonly programs: Readonly<Record<'provider' | 'api' | 'worker', BenchProgram>>;
  /** Makes the provider's callback for a payment of this order, signed now. */
  callbackOf(externalOrderNumber: string): Callback;
  admin<T>(work: (client: pg.Client) => Promise<T>): Promise<T>;
  /** The processes of the engine, PostgreSQL and Temporal, by name. */
  readonly pids: () => Readonly<Record<'temporal' | 'worker' | 'api' | 'postgres', readonly number[]>>;
  /** Another API or worker of the same engine, not started. Another API has its own addresses. */
  another(name: 'api' | 'worker'): Promise<BenchProgram & { readonly apiUrl: string; readonly callbackUrl: string }>;
  stop(): Promise<void>;
}

export interface BenchEngineOptions {
  /** Fills the new database before the processes start. */
  readonly fill?: (url: string) => Promise<void>;
  /** False: no worker starts, so open deposits do not change. */
  readonly worker?: boolean;
  /** Further settings of its processes. */
  readonly env?: Readonly<Record<string, string>>;
}

export async function startBenchEngine(
  servers: BenchServers,
  { engine: at, floors }: Built,
  undo: Undo,
  { fill, worker = true, env: more = {} }: BenchEngineOptions = {},
): Promise<BenchEngine> {
  const database = `engine_${randomBytes(4).toString('hex')}`;
  await servers.admin((client) => client.query(`create database ${database}`));
  await openNamespace(servers.temporalAddress, database);
  const urlFor = (login?: string) => servers.urlOf(database, login);
  const seal = randomBytes(32);
  const seals = { INBOX_SEAL_KEY: seal.toString('base64url'), INBOX_SEAL_PUBLIC_KEYS: publicSealKey(new Secret(seal)) };
  const command = (file: string, ...args: string[]) =>
    run(process.execPath, [join(at, file), ...args], {
      cwd: at,
      env: { PATH: process.env['PATH'], HOME: process.env['HOME'], DATABASE_URL: urlFor(), ...seals },
    }).then(({ stdout }) => stdout.trim());
  await command('worker/migrate.js');
  await fill?.(urlFor());
  await servers.admin(setLoginPasswords, database);
  await command('commands/seal-key.js', '--register');
  const apiKey = await command('commands/keys.js', 'create', 'bench', '--scopes', 'deposits:create,deposits:read');

  const listens = async () => ({ api: await freePort(), callback: await freePort() });
  const ports = await listens();
  const providerPort = await freePort();
  const mtpay = { accessKey: secret(), secretKey: secret() };
  const callbackKey = secret();
  const env = (at2: typeof ports) => ({
    DATABASE_URL_API: urlFor('app_api'),
    DATABASE_URL_WORKER: urlFor('app_worker'),
    DATABASE_URL_DECISIONS: urlFor('app_decisions'),
    MTPAY_BASE_URL: `http://127.0.0.1:${providerPort}`,
    MTPAY_ACCESS_KEY: mtpay.accessKey,
    MTPAY_SECRET_KEY: mtpay.secretKey,
    API_LISTEN: `127.0.0.1:${at2.api}`,
    CALLBACK_LISTEN: `127.0.0.1:${at2.callback}`,
    CALLBACK_BASE_URL: `http://127.0.0.1:${ports.callback}`,
    API_RATE_LIMIT: '99999',
    API_RATE_BURST: '99999',
    CALLBACK_KEY: callbackKey,
    PAYER_NAME_KEY: secretOfNames,
    FINGERPRINT_KEY: secretOfPrints,
    TEMPORAL_ADDRESS: servers.temporalAddress,
    TEMPORAL_NAMESPACE: database,
    LOG_LEVEL: 'warn',
    ...seals,
    ...more,
  });
  const [secretOfNames, secretOfPrints] = [secret(), secret()];
  const program = (name: 'api' | 'worker', at2 = ports) =>
    benchProgram(
      // `ready` is logged at level info.
      {
        name,
        file: join(at, `${name}/main.js`),
        cwd: at,
        env: { ...env(at2), LOG_LEVEL: 'info' },
        ready: `"${name} ready"`,
      },
      undo,
    );
  const provider = benchProgram(
    {
      name: 'provider',
      file: join(floors, 'provider.mjs'),
      args: [`${providerPort}`],
      cwd: floors,
      env: {},
      ready: 'provider ready',
    },
    undo,
  );
  const programs = { provider, api: program('api'), worker: program('worker') };
  for (const one of Object.values(programs)) if (worker || one.name !== 'worker') await one.start();
  const others: BenchProgram[] = [];
  const alive = (name: 'api' | 'worker') =>
    [programs[name], ...others.filter((one) => one.name === name)]
      .filter((one) => one.isAlive())
      .map((one) => one.pid());
  return {
    database,
    apiUrl: `http://127.0.0.1:${ports.api}`,
    apiKey,
    providerUrl: `http://127.0.0.1:${providerPort}`,
    programs,
    callbackOf: callbacksOf(`http://127.0.0.1:${ports.callback}`, { ...mtpay, callbackKey }),
    admin: (work) => servers.admin(work, database),
    pids: () => ({
      temporal: servers.pidsOfTemporal(),
      worker: alive('worker'),
      api: alive('api'),
      postgres: [servers.postgres.pid],
    }),
    async another(name) {
      const own = await listens();
      const started = program(name, own);
      others.push(started);
      const urls = { apiUrl: `http://127.0.0.1:${own.api}`, callbackUrl: `http://127.0.0.1:${own.callback}` };
      return Object.assign(started, urls);
    },
    async stop() {
      for (const one of [...others, programs.worker, programs.api, provider]) await one.end();
    },
  };
}

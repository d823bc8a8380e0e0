/** The composition: servers, migrations, sandbox, worker, API, as separate processes in the right order. */

import { mkdirSync } from 'node:fs';
import { createApiKey } from '../database/api-keys.ts';
import { createPool } from '../database/pool.ts';
import { type EngineApi, engineApi } from './engine-api.ts';
import { databases, type Embedded, embeddedUrl, environmentsOf, type Facts, mtpayAck } from './environment.ts';
import { type Places, placesOf, readEmbedded } from './environment.ts';
import { writeLocalEnv } from './local-env.ts';
import { answersOk, endLeftovers, nodePart, runTask } from './node-part.ts';
import type { PostgresServer } from './postgres.ts';
import { createDatabases, postgresPart, temporalPart } from './servers.ts';
import { type LocalState, loadState, type Ports, saveState, settlePorts } from './state.ts';
import { describePostgres, describeTemporal, tellEvent } from './stack-story.ts';
import type { Story } from './story.ts';
import { createSupervisor, type Part } from './supervisor.ts';
import type { TemporalServer } from './temporal.ts';
import { resolveTemporalCli } from './temporal-binary.ts';

/** Nothing is accepted before what it needs is gone: those who are called stop after those who call. */
const STOP_ORDER = ['api', 'worker', 'sandbox', 'temporal', 'postgres'] as const;
type PartName = (typeof STOP_ORDER)[number];

/** The worker lets a placement under way finish, 45 s at most. */
const WORKER_STOP_MS = 50_000;
const STOP_MS = 20_000;

export type StackOptions = {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly dataDirectory: string;
  readonly clone: string;
  readonly story: Story;
};

/** What runs, for the story that follows. */
export type StackFacts = {
  readonly embedded: Embedded;
  readonly places: Places;
  readonly api: EngineApi;
  readonly controlToken: string;
  /** The owner's address of the engine's database. */
  readonly databaseUrl: string;
  readonly temporalUiUrl: string | null;
};

export type Stack = {
  /** Starts everything and resolves when the API answers and the worker polls. Rejects with the part that did not start. */
  start(): Promise<StackFacts>;
  /** Stops everything in order; also during `start`, which then rejects. */
  stop(): Promise<void>;
  /** Ends everything at once. */
  kill(): void;
};

/** The local stack of a clone; nothing happens before `start`. */
export function createStack(options: StackOptions): Stack {
  const { env, dataDirectory, clone, story } = options;
  const pids: { [name in PartName]?: number } = {};
  let rewriteLocalEnv = () => {};
  const supervisor = createSupervisor((event) => {
    if (event.kind === 'restarted') pids[event.part as PartName] = event.pid;
    tellEvent(story, event);
    rewriteLocalEnv();
  });
  const supervise = async (part: Part, where: () => string) => {
    const since = performance.now();
    const running = await supervisor.supervise(part);
    pids[part.name as PartName] = running.pid;
    story.up(part.name, where(), performance.now() - since);
  };

  async function start(): Promise<StackFacts> {
    const embedded = readEmbedded(env);
    mkdirSync(dataDirectory, { recursive: true });
    let state = await loadState(dataDirectory, clone);
    await clearLeftovers(dataDirectory, embedded, story);
    state = await settle(state, options, embedded);

    const servers = await startServers(state, embedded);
    state = saveState(dataDirectory, { ...state, ports: servers.ports });
    const places = placesOf(env, state.ports, embedded);
    const facts: Facts = { embedded, keys: state.keys, ...servers };
    const environments = environmentsOf(env, facts);
    const databaseUrl =
      facts.postgresAt === null
        ? (env['DATABASE_URL_MIGRATOR'] ?? env['DATABASE_URL'] ?? '')
        : embeddedUrl(facts.postgresAt, 'postgres', databases.engine);
    const temporalUiUrl = facts.temporal === null ? (env['TEMPORAL_UI_URL'] ?? null) : facts.temporal.uiUrl;

    const migrated = (async () => {
      const since = performance.now();
      await runTask('migrations', 'database/main.ts', environments.migrate);
      story.up('migrations', 'every schema is up to date', performance.now() - since);
    })();
    await together([
      migrated,
      startSandbox(places, environments.sandbox),
      ...startEngine(places, environments, migrated),
    ]);

    const apiKey = await ensureApiKey(state, places.apiUrl, databaseUrl);
    state = saveState(dataDirectory, { ...state, apiKey });
    rewriteLocalEnv = () =>
      writeLocalEnv(dataDirectory, {
        API_URL: places.apiUrl,
        API_KEY: apiKey,
        CALLBACK_BASE_URL: places.callbackBaseUrl,
        MTPAY_BASE_URL: places.mtpayBaseUrl,
        MTPAY_ACCESS_KEY: environments.api['MTPAY_ACCESS_KEY'] ?? null,
        MTPAY_SECRET_KEY: environments.api['MTPAY_SECRET_KEY'] ?? null,
        MTPAY_ACK: mtpayAck(env),
        SANDBOX_CONSOLE_URL: places.sandboxUrl === null ? null : `${places.sandboxUrl}/`,
        SANDBOX_CONTROL_TOKEN: places.sandboxUrl === null ? null : state.keys.sandboxControl,
        TEMPORAL_ADDRESS: facts.temporal?.address ?? env['TEMPORAL_ADDRESS'] ?? null,
        TEMPORAL_UI_URL: temporalUiUrl,
        DATABASE_URL: databaseUrl,
        WORKER_PID: pids.worker?.toString() ?? null,
        API_PID: pids.api?.toString() ?? null,
        SANDBOX_PID: pids.sandbox?.toString() ?? null,
      });
    rewriteLocalEnv();
    return {
      embedded,
      places,
      api: engineApi(places.apiUrl, apiKey),
      controlToken: state.keys.sandboxControl,
      databaseUrl,
      temporalUiUrl,
    };
  }

  /** Both at once: the one initialises while the other is downloaded. */
  async function startServers(state: LocalState, embedded: Embedded) {
    const up: { postgres?: PostgresServer; temporal?: TemporalServer } = {};
    const startPostgres = async () => {
      const part = postgresPart(dataDirectory, state.ports, (server) => (up.postgres = server));
      await supervise(part, () => (up.postgres ? describePostgres(up.postgres) : ''));
      if (up.postgres) await createDatabases(up.postgres.url);
    };
    const startTemporal = async () => {
      const executable = await resolveTemporalCli({
        env: { ...env },
        onProgress: (progress) => story.progress(progress),
      });
      const part = temporalPart(dataDirectory, state.ports, executable, (server) => (up.temporal = server));
      await supervise(part, () => (up.temporal ? describeTemporal(up.temporal) : ''));
    };
    await together([embedded.postgres ? startPostgres() : nothing, embedded.temporal ? startTemporal() : nothing]);
    return placed(state.ports, up.postgres ?? null, up.temporal ?? null);
  }

  async function startSandbox(places: Places, environment: Record<string, string>): Promise<void> {
    const { sandboxUrl } = places;
    if (sandboxUrl === null) return;
    const part = nodePart({
      name: 'sandbox',
      entry: 'sandbox/main.ts',
      env: environment,
      dataDirectory,
      isReady: () => answersOk(`${sandboxUrl}/healthz`),
      stopTimeoutMs: STOP_MS,
    });
    await supervise(part, () => sandboxUrl);
  }

  function startEngine(
    places: Places,
    environments: ReturnType<typeof environmentsOf>,
    migrated: Promise<void>,
  ): Array<Promise<void>> {
    const worker = nodePart({
      name: 'worker',
      entry: 'worker/main.ts',
      env: environments.worker,
      dataDirectory,
      isReady: (output) => output().includes('"msg":"worker ready"'),
      stopTimeoutMs: WORKER_STOP_MS,
    });
    const api = nodePart({
      name: 'api',
      entry: 'api/main.ts',
      env: environments.api,
      dataDirectory,
      isReady: () => answersOk(`${places.apiUrl}/readyz`),
      stopTimeoutMs: STOP_MS,
    });
    return [
      migrated.then(() => supervise(worker, () => 'waits for deposits')),
      migrated.then(() => supervise(api, () => `${places.apiUrl}, callbacks ${places.callbackBaseUrl}`)),
    ];
  }

  return {
    start,
    stop: () => supervisor.stop(STOP_ORDER),
    kill: () => supervisor.kill(),
  };
}

const nothing = Promise.resolve();

/** All at once; the first failure is thrown only when every other one has come to its end, so that none is forgotten. */
async function together(work: ReadonlyArray<Promise<unknown>>): Promise<void> {
  for (const result of await Promise.allSettled(work)) {
    if (result.status === 'rejected') throw result.reason;
  }
}

async function clearLeftovers(dataDirectory: string, embedded: Embedded, story: Story): Promise<void> {
  const found = await endLeftovers(dataDirectory, [
    { name: 'api', signal: 'SIGTERM', timeoutMs: STOP_MS },
    { name: 'worker', signal: 'SIGTERM', timeoutMs: WORKER_STOP_MS },
    { name: 'sandbox', signal: 'SIGTERM', timeoutMs: STOP_MS },
    // Servers that are wanted again are taken over as they are.
    ...(embedded.temporal ? [] : [{ name: 'temporal', signal: 'SIGTERM' as const, timeoutMs: STOP_MS }]),
    ...(embedded.postgres ? [] : [{ name: 'postgres', signal: 'SIGINT' as const, timeoutMs: STOP_MS }]),
  ]);
  if (found.length > 0) story.say(`stopped what an earlier start had left running: ${found.join(', ')}`);
}

async function settle(state: LocalState, { env, dataDirectory }: StackOptions, embedded: Embedded) {
  const needed = new Set<keyof Ports>([
    ...((env['API_LISTEN'] ?? '') === '' ? ['api' as const] : []),
    ...((env['CALLBACK_LISTEN'] ?? '') === '' ? ['callback' as const] : []),
    ...(embedded.sandbox ? ['sandbox' as const] : []),
  ]);
  return saveState(dataDirectory, { ...state, ports: await settlePorts(state.ports, needed) });
}

function placed(ports: Ports, postgres: PostgresServer | null, temporal: TemporalServer | null) {
  const uiPort = temporal === null || temporal.uiUrl === null ? ports.temporalUi : Number(new URL(temporal.uiUrl).port);
  return {
    ports: {
      ...ports,
      postgres: postgres?.port ?? ports.postgres,
      temporal: temporal?.port ?? ports.temporal,
      temporalUi: uiPort,
    },
    postgresAt: postgres === null ? null : `127.0.0.1:${postgres.port}`,
    temporal: temporal === null ? null : { address: temporal.address, uiUrl: temporal.uiUrl },
  };
}

/** The kept key as long as the database knows it; another database does not. */
async function ensureApiKey(state: LocalState, apiUrl: string, databaseUrl: string): Promise<string> {
  if (state.apiKey !== null && (await engineApi(apiUrl, state.apiKey).knowsKey())) return state.apiKey;
  const pool = createPool({ url: databaseUrl, max: 1, applicationName: 'local-stack' });
  try {
    return await createApiKey(pool, { name: 'local', scopes: ['deposits:create', 'deposits:read', 'audit:read'] });
  } finally {
    await pool.end();
  }
}

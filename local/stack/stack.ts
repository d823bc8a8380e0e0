/** The composition: servers, migrations, sandbox, worker, notifier and API. Each starts as soon as its dependencies are ready. */

import { createDepositClient, type DepositClient } from '../../client/src/client.ts';
import { loadApiConfig } from '../../config/settings/api.ts';
import { loadArchiveEvery } from '../../config/settings/migration.ts';
import { ConfigError } from '../../config/settings/read-environment.ts';
import { loadNotifierConfig } from '../../config/settings/notifier.ts';
import { loadWorkerConfig } from '../../config/settings/worker.ts';
import { loadDataConverter } from '../../config/temporal.ts';
import { createApiKey, findCaller, listKeys, type NewKey, revokeKeys } from '../../database/queries/api-keys.ts';
import { createPool, type Db } from '../../database/pool.ts';
import { loadSandboxConfig, SandboxConfigError } from '../../sandbox/config.ts';
import { askDatabaseElsewhere, askTemporalElsewhere } from './external-servers.ts';
import {
  apiPart,
  notifierPart,
  sandboxPart,
  SERVER_STOP_MS,
  shopPart,
  WORKER_STOP_MS,
  workerPart,
} from './engine-parts.ts';
import { type EmbeddedParts, engineEnvironments, LocalSettingsError, mtpayAck, ownerUrl } from './environment.ts';
import {
  notifierEnvironment,
  type Places,
  placesOf,
  readEmbedded,
  sandboxEnvironment,
  shopEnvironment,
  type Sources,
  uiCodecEndpoint,
} from './environment.ts';
import { type LocalEnv, writeLocalEnv } from './local-env.ts';
import { migrateEngine, scheduleArchive } from './migrations.ts';
import { endLeftovers } from './node-part.ts';
import { errorSentence } from '../servers/error-sentences.ts';
import { cacheDirectory } from '../servers/paths.ts';
import { whyNotListen } from '../servers/ports.ts';
import type { PostgresServer } from '../servers/postgres.ts';
import { createDatabases, postgresPart, temporalPart } from './servers.ts';
import { describePostgres, describeTemporal, tellEvent, tellOtherVersion, tellOutside } from './stack-story.ts';
import { type LocalState, loadState, type Ports, saveState, settlePorts } from '../servers/state.ts';
import type { Story } from '../terminal/story.ts';
import { createSupervisor, type StackPart, type Supervisor } from './supervisor.ts';
import type { TemporalServer } from '../servers/temporal.ts';
import { type OtherVersion, resolveTemporalCli } from '../servers/temporal-binary.ts';
import { currentBundle } from './workflow-bundle.ts';

/** Callers stop before the processes that they call, so no process loses a dependency. */
export const STOP_ORDER = ['shop', 'api', 'worker', 'notifier', 'sandbox', 'temporal', 'postgres'] as const;
type PartName = (typeof STOP_ORDER)[number];

export type StackOptions = {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly dataDirectory: string;
  readonly clone: string;
  readonly story: Story;
};

/** The facts about the running stack, for the story. */
export type StackFacts = {
  readonly places: Places;
  readonly api: DepositClient;
  readonly controlToken: string;
  /** The owner's URL of the engine's database. */
  readonly databaseUrl: string;
  readonly temporalUiUrl: string | null;
  /**
   * Starts the sample shop, which nothing depends on; resolves with its address when it is open. Null: there is none,
   * or it does not start, and the story says why unless the start was interrupted.
   */
  openShop(interrupted: AbortSignal): Promise<string | null>;
};

export type Stack = {
  /** Starts everything; resolves when the API responds and the worker polls, rejects with a failed part's error. */
  start(): Promise<StackFacts>;
  /** Stops everything in order, also during `start`, which then rejects. */
  stop(): Promise<void>;
  /** Whether there is anything to stop. */
  hasStarted(): boolean;
  /** Ends everything at once. */
  kill(): void;
};

/** Creates the local stack of a clone; nothing runs before `start`. */
export function createStack(options: StackOptions): Stack {
  const crew = createCrew(options.story);
  return {
    async start() {
      const plan = await makePlan(options);
      const running = await startParts(options, plan, crew);
      return settle(options, plan, running, crew);
    },
    stop: () => crew.supervisor.stop(STOP_ORDER),
    hasStarted: () => Object.keys(crew.pids).length > 0,
    kill: () => crew.supervisor.kill(),
  };
}

/** Starts parts, watches them, and prints both. */
type Crew = {
  readonly supervisor: Supervisor;
  /** The pids of the started parts. */
  readonly pids: { [name in PartName]?: number };
  /** Called when a part has another pid. */
  onPidChange: () => void;
  supervise(part: StackPart, where: () => string): Promise<void>;
  timed<T>(name: string, work: () => Promise<T>, where: (value: T) => string): Promise<T>;
};

function createCrew(story: Story): Crew {
  const supervisor = createSupervisor((event) => {
    tellEvent(story, event);
    if (event.kind !== 'restarted') return;
    crew.pids[event.part as PartName] = event.pid;
    crew.onPidChange();
  });
  const crew: Crew = {
    supervisor,
    pids: {},
    onPidChange: () => {},
    async supervise(part, where) {
      const { pid } = await crew.timed(part.name, () => supervisor.supervise(part), where);
      crew.pids[part.name as PartName] = pid;
    },
    async timed(name, work, where) {
      const since = performance.now();
      const value = await work();
      story.up(name, where(value), performance.now() - since);
      return value;
    },
  };
  return crew;
}

/** The parts to start, and their places. */
type Plan = { readonly sources: Sources; readonly state: LocalState; readonly places: Places };

/** Checks first all that could make a start fail: external servers, the state of an earlier start, the addresses. */
async function makePlan({ env, dataDirectory, clone, story }: StackOptions): Promise<Plan> {
  const embedded = readEmbedded(env);
  if (!embedded.temporal) await askTemporalElsewhere(env);
  if (!embedded.postgres) await askDatabaseElsewhere(env);
  const found = await loadState(dataDirectory, clone);
  await clearLeftovers(dataDirectory, embedded, story);
  await askListens(env);
  const ports = await settlePorts(found.ports, neededPorts(env, embedded));
  const sources = { env, embedded, keys: found.keys, ports };
  askSettings(sources);
  const state = saveState(dataDirectory, { ...found, ports });
  return { state, sources, places: placesOf(env, ports, embedded) };
}

/** @throws LocalSettingsError that names each wrong variable of a part, before anything is started. */
function askSettings(sources: Sources): void {
  const { embedded } = sources;
  const postgresUrl = embedded.postgres ? 'postgres://postgres@127.0.0.1:1/postgres' : null;
  const { api, worker } = engineEnvironments(sources, postgresUrl, null);
  try {
    loadApiConfig(api);
    loadWorkerConfig(worker);
    loadNotifierConfig(notifierEnvironment(sources, postgresUrl));
    loadDataConverter(api);
    loadArchiveEvery(sources.env);
    if (embedded.sandbox) loadSandboxConfig(sandboxEnvironment(sources, postgresUrl));
  } catch (error) {
    if (!(error instanceof ConfigError || error instanceof SandboxConfigError)) throw error;
    throw new LocalSettingsError(error.message, { cause: error });
  }
}

type Running = {
  readonly postgres: PostgresServer | null;
  readonly temporal: TemporalServer | null;
  readonly environments: ReturnType<typeof engineEnvironments>;
};

/** Starts each part when its dependencies are ready. After a failure, `stop` awaits or ends parts that still start. */
async function startParts(options: StackOptions, { sources, places }: Plan, crew: Crew): Promise<Running> {
  const { dataDirectory } = options;
  const { embedded, ports } = sources;
  const postgres = embedded.postgres ? startPostgres(options, ports, crew) : Promise.resolve(null);
  const temporal = embedded.temporal ? startTemporal(options, ports, crew) : Promise.resolve(null);
  const bundle = bundleOf(options);
  const postgresUrl = postgres.then((server) => server?.url ?? null);

  const migrated = postgresUrl.then((url) => {
    const migrate = () => migrateEngine(sources, url, dataDirectory);
    return crew.timed('migrations', migrate, () => 'every schema is up to date');
  });
  const sandbox = postgresUrl.then(async (url) => {
    const { sandboxUrl } = places;
    if (sandboxUrl === null) return;
    await crew.supervise(sandboxPart(dataDirectory, sandboxUrl, sandboxEnvironment(sources, url)), () => sandboxUrl);
  });
  // Before the migrations, the worker would continue open deposits on an older schema.
  const engine = Promise.all([postgresUrl, temporal, migrated]).then(([url, server]) =>
    engineEnvironments(sources, url, server),
  );
  const scheduled = temporal.then(async (server) => {
    if (server !== null) await scheduleArchive(sources, server.address);
  });
  const api = engine.then((environments) => {
    const where = () => `${places.apiUrl}, callbacks ${places.callbackBaseUrl}`;
    return crew.supervise(apiPart(dataDirectory, places, environments.api), where);
  });
  const worker = Promise.all([engine, bundle]).then(([environments, bundled]) => {
    const part = workerPart(dataDirectory, { ...environments.worker, WORKFLOW_BUNDLE: bundled });
    return crew.supervise(part, () => 'waits for deposits');
  });
  const notifier = Promise.all([postgresUrl, migrated]).then(([url]) =>
    crew.supervise(notifierPart(dataDirectory, notifierEnvironment(sources, url)), () => 'sends events to endpoints'),
  );
  await Promise.all([postgres, temporal, bundle, migrated, scheduled, sandbox, api, worker, notifier]);
  return { postgres: await postgres, temporal: await temporal, environments: await engine };
}

async function startPostgres(
  { dataDirectory, story }: StackOptions,
  ports: Ports,
  crew: Crew,
): Promise<PostgresServer> {
  let server: PostgresServer | undefined;
  const part = postgresPart(dataDirectory, ports, (started) => (server ??= started));
  await crew.supervise(part, () => describePostgres(server!));
  tellOutside(story, server!);
  await createDatabases(server!.url);
  return server!;
}

async function startTemporal(
  { env, dataDirectory, story }: StackOptions,
  ports: Ports,
  crew: Crew,
): Promise<TemporalServer> {
  const onProgress = story.progress.bind(story);
  const onOtherVersion = (found: OtherVersion) => tellOtherVersion(story, found);
  const executable = await resolveTemporalCli({ env: { ...env }, onProgress, onOtherVersion });
  let server: TemporalServer | undefined;
  const part = temporalPart(dataDirectory, ports, executable, uiCodecEndpoint(env), (started) => (server ??= started));
  await crew.supervise(part, () => describeTemporal(server!));
  return server!;
}

async function bundleOf({ env, clone, dataDirectory }: StackOptions): Promise<string> {
  const given = env['WORKFLOW_BUNDLE'] ?? '';
  return given === '' ? currentBundle({ clone, cache: cacheDirectory, dataDirectory, env }) : given;
}

/** Saves the ports and the API key for the next start, and writes `local.env` for terminals. */
async function settle(options: StackOptions, plan: Plan, running: Running, crew: Crew): Promise<StackFacts> {
  const { env, dataDirectory } = options;
  const { places, state } = plan;
  const { postgres, temporal } = running;
  const settled = { ...state, ports: actualPorts(state.ports, postgres, temporal) };
  saveState(dataDirectory, settled);
  const databaseUrl = ownerUrl(env, postgres?.url ?? null);
  const { apiKey, shopKey } = await ensureKeys(settled, databaseUrl);
  saveState(dataDirectory, { ...settled, apiKey, shopKey });

  const facts: StackFacts = {
    places,
    api: createDepositClient({ baseUrl: places.apiUrl, apiKey }),
    controlToken: state.keys.sandboxControl,
    databaseUrl,
    temporalUiUrl: temporal?.uiUrl ?? env['TEMPORAL_UI_URL'] ?? null,
    openShop: (interrupted) => openShop(options, plan, shopKey, crew, interrupted),
  };
  const known = localEnvOf(options, facts, apiKey, running);
  crew.onPidChange = () => writeLocalEnv(dataDirectory, { ...known, ...pidVariables(crew.pids) });
  crew.onPidChange();
  return facts;
}

async function openShop(
  { dataDirectory, story }: StackOptions,
  { places, sources }: Plan,
  key: string,
  crew: Crew,
  interrupted: AbortSignal,
): Promise<string | null> {
  const { shopUrl } = places;
  if (shopUrl === null) return null;
  try {
    const part = shopPart(dataDirectory, shopUrl, shopEnvironment(sources, places, key));
    crew.pids.shop = (await crew.supervisor.supervise(part)).pid;
    crew.onPidChange();
    return shopUrl;
  } catch (error) {
    if (!interrupted.aborted) story.warn(`The sample shop does not open: ${errorSentence(error)}`);
    return null;
  }
}

function localEnvOf(
  { env }: StackOptions,
  { places, controlToken, databaseUrl, temporalUiUrl }: StackFacts,
  apiKey: string,
  { environments: { api } }: Running,
): LocalEnv {
  const { sandboxUrl } = places;
  return {
    API_URL: places.apiUrl,
    API_KEY: apiKey,
    CALLBACK_BASE_URL: places.callbackBaseUrl,
    SHOP_URL: places.shopUrl,
    MTPAY_BASE_URL: places.mtpayBaseUrl,
    MTPAY_ACCESS_KEY: api['MTPAY_ACCESS_KEY'] ?? null,
    MTPAY_SECRET_KEY: api['MTPAY_SECRET_KEY'] ?? null,
    MTPAY_ACK: mtpayAck(env),
    SANDBOX_CONSOLE_URL: sandboxUrl === null ? null : `${sandboxUrl}/console`,
    SANDBOX_CONTROL_TOKEN: sandboxUrl === null ? null : controlToken,
    TEMPORAL_ADDRESS: api['TEMPORAL_ADDRESS'] ?? null,
    TEMPORAL_UI_URL: temporalUiUrl,
    DATABASE_URL: databaseUrl,
  };
}

async function clearLeftovers(dataDirectory: string, embedded: EmbeddedParts, story: Story): Promise<void> {
  const found = await endLeftovers(dataDirectory, [
    { name: 'shop', signal: 'SIGTERM', timeoutMs: SERVER_STOP_MS },
    { name: 'api', signal: 'SIGTERM', timeoutMs: SERVER_STOP_MS },
    { name: 'worker', signal: 'SIGTERM', timeoutMs: WORKER_STOP_MS },
    { name: 'notifier', signal: 'SIGTERM', timeoutMs: SERVER_STOP_MS },
    { name: 'sandbox', signal: 'SIGTERM', timeoutMs: SERVER_STOP_MS },
    // Servers that are wanted again are adopted.
    ...(embedded.temporal ? [] : [{ name: 'temporal', signal: 'SIGTERM' as const, timeoutMs: SERVER_STOP_MS }]),
    ...(embedded.postgres ? [] : [{ name: 'postgres', signal: 'SIGINT' as const, timeoutMs: SERVER_STOP_MS }]),
  ]);
  if (found.length > 0) story.say(`stopped what an earlier start had left running: ${found.join(', ')}`);
}

/** The ports that we assign, without those that the user sets. */
function neededPorts(env: StackOptions['env'], embedded: EmbeddedParts): Set<keyof Ports> {
  const isSet = (name: string) => (env[name] ?? '') !== '';
  const needed = new Set<keyof Ports>();
  if (!isSet('API_LISTEN')) needed.add('api');
  if (!isSet('CALLBACK_LISTEN')) needed.add('callback');
  if (embedded.sandbox) needed.add('sandbox').add('shop');
  return needed;
}

/** @throws LocalSettingsError if we cannot listen on the user's address, for example because another program does. */
async function askListens(env: StackOptions['env']): Promise<void> {
  for (const name of ['API_LISTEN', 'CALLBACK_LISTEN']) {
    const [, host, port] = /^\[?(.*?)\]?:(\d+)$/.exec(env[name] ?? '') ?? [];
    const problem = host === undefined ? null : await whyNotListen(Number(port), host);
    if (problem === null) continue;
    throw new LocalSettingsError(
      `${errorSentence(problem)} ${name} names that address; set another, or end what has it.`,
    );
  }
}

function actualPorts(ports: Ports, postgres: PostgresServer | null, temporal: TemporalServer | null): Ports {
  return {
    ...ports,
    ...(postgres === null ? {} : { postgres: postgres.port }),
    ...(temporal === null ? {} : { temporal: temporal.port }),
    ...(temporal === null || temporal.uiUrl === null ? {} : { temporalUi: Number(new URL(temporal.uiUrl).port) }),
  };
}

/** The callers of the local stack. A name has its endpoints, so the shop's are apart. */
const LOCAL_KEY = {
  name: 'local',
  scopes: ['deposits:create', 'deposits:read', 'events:read', 'endpoints:manage', 'audit:read'],
} as const satisfies NewKey;
const SHOP_KEY = {
  name: 'sample-shop',
  scopes: ['deposits:create', 'deposits:read', 'events:read', 'endpoints:manage'],
} as const satisfies NewKey;

async function ensureKeys({ apiKey, shopKey }: LocalState, databaseUrl: string) {
  const pool = createPool({ url: databaseUrl, max: 1, applicationName: 'local-stack' });
  try {
    return {
      apiKey: await ensureKey(pool, apiKey, LOCAL_KEY),
      shopKey: await ensureKey(pool, shopKey ?? null, SHOP_KEY),
    };
  } finally {
    await pool.end();
  }
}

/** Returns the kept key if the database knows it with all its scopes. Otherwise revokes older keys of the name and makes one. */
async function ensureKey(db: Db, kept: string | null, wanted: NewKey): Promise<string> {
  const known = kept === null ? null : await findCaller(db, kept);
  if (kept !== null && wanted.scopes.every((scope) => known?.scopes.includes(scope) === true)) return kept;
  const old = (await listKeys(db)).filter(({ name, isLiving }) => name === wanted.name && isLiving);
  await revokeKeys(
    db,
    old.map(({ keyId }) => keyId),
  );
  return createApiKey(db, wanted);
}

function pidVariables(pids: { readonly [name in PartName]?: number }): LocalEnv {
  return {
    WORKER_PID: pids.worker?.toString() ?? null,
    API_PID: pids.api?.toString() ?? null,
    SANDBOX_PID: pids.sandbox?.toString() ?? null,
    NOTIFIER_PID: pids.notifier?.toString() ?? null,
    SHOP_PID: pids.shop?.toString() ?? null,
  };
}

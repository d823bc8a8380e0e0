import { randomBytes } from 'node:crypto';
import { Client, Connection } from '@temporalio/client';
import { startApi, type RunningApi } from '../../api/start.ts';
import type { RelayTimes } from '../../intake/relay/relay.ts';
import { loadApiConfig } from '../../config/settings/api.ts';
import { loadWorkerConfig } from '../../config/settings/worker.ts';
import { loadDataConverter } from '../../config/temporal.ts';
import { createApiKey } from '../../database/queries/api-keys.ts';
import { freePort } from '../../local/servers/ports.ts';
import { loadSandboxConfig } from '../../sandbox/config.ts';
import { startSandbox } from '../../sandbox/server.ts';
import { type RunningWorker, startWorker } from '../../worker/start.ts';
import { createTestDatabase, required, type TestDatabase } from './database.ts';
import { orderNumber } from './builders.ts';
import { quietRuntime } from './runtime.ts';
import { openTemporal, type OwnTemporal, startOwnTemporal, type TestTemporal } from './temporal.ts';
import { until } from './until.ts';
import { SEAL_ENV } from './seals.ts';
import { quietLog } from './warnings.ts';

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  /** The parsed body; null when it is not JSON. */
  // oxlint-disable-next-line typescript/no-explicit-any -- tests look into whatever came
  readonly body: any;
}

export interface Engine {
  readonly db: TestDatabase;
  temporal: TestTemporal;
  /** With `ownTemporal`: where the server keeps everything. */
  readonly temporalFile: string;
  /** With `ownTemporal`, after `temporal.stop()`: the same server, file and port. */
  startTemporal(): Promise<void>;
  /** The Temporal client that the API of the next start uses. */
  client: Client;
  readonly env: Readonly<Record<string, string>>;
  api: RunningApi;
  /** Calls the internal API; `raw` is sent as it is. */
  call(
    method: string,
    path: string,
    body?: unknown,
    options?: { key?: string | null; raw?: string | Uint8Array; headers?: Record<string, string> },
  ): Promise<Answer>;
  /** Calls the sandbox's control API. Throws unless the status is a success. */
  control(method: string, path: string, body?: unknown): Promise<Answer['body']>;
  /** POSTs bytes to the callback listener at `url`, or at a path of it. */
  callback(pathOrUrl: string, raw: string | Uint8Array, headers?: Record<string, string>): Promise<Answer>;
  /** The document's first example, with `change` applied. */
  body(change?: Record<string, unknown>): Record<string, unknown>;
  create(change?: Record<string, unknown>): Promise<Answer>;
  /** Creates a deposit as a caller has to: again where the answer is late. Throws unless its order is placed. */
  place(change?: Record<string, unknown>): Promise<Answer['body']>;
  /** The customer pays and the seller releases at once. */
  pay(externalOrderNumber: string): Promise<void>;
  deposit(externalOrderNumber: string): Promise<Answer['body']>;
  untilState(externalOrderNumber: string, state: string): Promise<Answer['body']>;
  startWorker(): Promise<RunningWorker>;
  stopWorker(): Promise<void>;
  /** After `api.close()`: the same addresses and database; with other times of the relay, where given. */
  startApi(relay?: RelayTimes): Promise<void>;
  stopSandbox(): Promise<void>;
  /** Where the sandbox listens; null when the provider is the test's own. */
  readonly sandboxUrl: string | null;
  /** Throws unless every row of the ledger's own audit is 0 and no wallet was credited twice. */
  auditLedger(): Promise<void>;
}

export interface EngineOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly sandboxEnv?: Readonly<Record<string, string>>;
  readonly relay?: RelayTimes;
  readonly worker?: boolean;
  /** A Temporal server for this file alone, instead of a namespace on the run's own. */
  readonly ownTemporal?: boolean;
  /** Such a server, with its Web UI. */
  readonly webUi?: boolean;
  /** The endpoint at which that Web UI decrypts payloads. */
  readonly uiCodecEndpoint?: string;
  /** The address of a test's own provider instead of the sandbox. */
  readonly provider?: string;
}

/** Quick enough for a test; the order of events is that of production. */
const QUICK_RELAY: RelayTimes = { everyMs: 250, freshMs: 500, againMs: 2_000, unstartedMs: 1_000 };
const key = () => randomBytes(32).toString('base64url');

/** Whether nobody answered in time; the caller has to ask again. */
export const isLate = ({ status }: Answer): boolean => status === 202 || status === 503;

/** The engine for a test file, on the run's own Postgres; stopped when the file is done. */
export async function startEngine(options: EngineOptions = {}): Promise<Engine> {
  // Imported here: commands that start the engine without vitest load this file as well.
  const { afterAll } = await import('vitest');
  const db = await createTestDatabase();
  const { engine, stop } = await launchEngine(db, required('TEST_WORKFLOW_BUNDLE'), options);
  afterAll(stop);
  return engine;
}

export interface LaunchedEngine {
  readonly engine: Engine;
  readonly stop: () => Promise<void>;
}

/** The whole engine on real parts: this database, Temporal, sandbox, worker and API in this process. */
export async function launchEngine(
  db: TestDatabase,
  workflowBundle: string,
  options: EngineOptions = {},
): Promise<LaunchedEngine> {
  quietRuntime();
  const { webUi, uiCodecEndpoint } = options;
  const own =
    options.ownTemporal === true || webUi === true
      ? await startOwnTemporal(webUi === true ? { uiPort: await freePort(), uiCodecEndpoint } : {})
      : null;
  const temporal = own?.temporal ?? (await openTemporal());
  const end = own?.remove ?? temporal.stop;
  try {
    const { engine, stop } = await launchOn(temporal, own, db, workflowBundle, options);
    const stopAll = async () => {
      await stop();
      await end();
    };
    return { engine, stop: stopAll };
  } catch (error) {
    // An engine that does not start leaves no server behind.
    await end();
    throw error;
  }
}

async function launchOn(
  temporal: TestTemporal,
  own: OwnTemporal | null,
  db: TestDatabase,
  workflowBundle: string,
  options: EngineOptions,
): Promise<LaunchedEngine> {
  const mtpay = { accessKey: key(), secretKey: key(), controlToken: key() };
  const [apiPort, callbackPort] = [await freePort(), await freePort()];
  const sandbox =
    options.provider === undefined
      ? await startSandbox(
          loadSandboxConfig({
            SANDBOX_LISTEN: '127.0.0.1:0',
            SANDBOX_TLS: 'off',
            SANDBOX_ALLOW_PLAIN_HTTP: 'loopback',
            DATABASE_URL_SANDBOX: db.url,
            SANDBOX_ACCESS_KEY: mtpay.accessKey,
            SANDBOX_SECRET_KEY: mtpay.secretKey,
            SANDBOX_CONTROL_TOKEN: mtpay.controlToken,
            SANDBOX_SPEED: '60',
            SANDBOX_LOG_LEVEL: 'silent',
            ...options.sandboxEnv,
          }),
        )
      : null;
  const env = {
    DATABASE_URL_API: db.urlFor('app_api'),
    DATABASE_URL_WORKER: db.urlFor('app_worker'),
    DATABASE_URL_DECISIONS: db.urlFor('app_decisions'),
    MTPAY_BASE_URL: options.provider ?? sandbox!.url,
    MTPAY_ACCESS_KEY: mtpay.accessKey,
    MTPAY_SECRET_KEY: mtpay.secretKey,
    API_LISTEN: `127.0.0.1:${apiPort}`,
    CALLBACK_LISTEN: `127.0.0.1:${callbackPort}`,
    CALLBACK_BASE_URL: `http://127.0.0.1:${callbackPort}`,
    CALLBACK_KEY: key(),
    PAYER_NAME_KEY: key(),
    FINGERPRINT_KEY: key(),
    ENDPOINT_SECRET_KEY: key(),
    DATABASE_URL_NOTIFIER: db.urlFor('app_notifier'),
    ...SEAL_ENV,
    WORKFLOW_BUNDLE: workflowBundle,
    TEMPORAL_ADDRESS: temporal.address,
    TEMPORAL_NAMESPACE: temporal.namespace,
    ...(temporal.uiUrl === null ? {} : { TEMPORAL_UI_URL: temporal.uiUrl }),
    LOG_LEVEL: process.env['TEST_LOG_LEVEL'] ?? 'silent',
    ...options.env,
  };
  const connection = await Connection.connect({ address: temporal.address });
  const client = new Client({ connection, namespace: temporal.namespace, dataConverter: loadDataConverter(env) });
  const apiKey = await createApiKey(db.owner, { name: 'test', scopes: ['deposits:create', 'deposits:read'] });
  const launchApi = (using = client, relay = options.relay ?? QUICK_RELAY) =>
    startApi(loadApiConfig(env), using, quietLog('api'), relay);
  let worker: RunningWorker | null = null;

  const engine: Engine = {
    db,
    temporal,
    get temporalFile() {
      return given(own).file;
    },
    client,
    env,
    api: await launchApi(),
    call: (method, path, body, { key: used = apiKey, raw, headers = {} } = {}) =>
      send(`${engine.api.apiUrl}${path}`, {
        method,
        headers: {
          ...(used === null ? {} : { authorization: `Bearer ${used}` }),
          ...(body === undefined && raw === undefined ? {} : { 'content-type': 'application/json' }),
          ...headers,
        },
        ...(raw === undefined ? (body === undefined ? {} : { body: JSON.stringify(body) }) : { body: raw }),
      }),
    async control(method, path, body) {
      const answer = await send(`${sandbox!.url}/control${path}`, {
        method,
        headers: { authorization: `Bearer ${mtpay.controlToken}`, 'content-type': 'application/json' },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
      if (answer.status >= 300) throw new Error(`sandbox ${method} ${path}: ${answer.status} ${answer.text}`);
      return answer.body;
    },
    callback: (pathOrUrl, raw, headers = {}) =>
      send(pathOrUrl.startsWith('http') ? pathOrUrl : `${engine.api.callbackUrl}${pathOrUrl}`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', ...headers },
        body: raw,
      }),
    body: (change = {}) => ({
      externalOrderNumber: orderNumber(),
      wallet: 'wallet-42',
      buyCoinMode: 'MtcAmount',
      mtcAmount: '5000',
      currencyCode: 'CNY',
      supportLanguage: 'en',
      payerRealName: 'Li Ming',
      ...change,
    }),
    create: (change) => engine.call('POST', '/v1/deposits', engine.body(change)),
    async place(change) {
      const body = engine.body(change);
      const {
        status,
        text,
        body: placed,
      } = await until('the deposit to be placed', async () => {
        const answer = await engine.call('POST', '/v1/deposits', body);
        return !isLate(answer) && answer;
      });
      if (status !== 200 && status !== 201) throw new Error(`a deposit was not placed: ${status} ${text}`);
      return placed;
    },
    async pay(externalOrderNumber) {
      await engine.control('POST', `/orders/${externalOrderNumber}/pay`, { immediately: true });
    },
    async deposit(externalOrderNumber) {
      const answer = await until(`deposit ${externalOrderNumber}`, async () => {
        const found = await engine.call('GET', `/v1/deposits/${externalOrderNumber}`);
        return !isLate(found) && found;
      });
      if (answer.status !== 200) throw new Error(`no deposit ${externalOrderNumber}: ${answer.text}`);
      return answer.body;
    },
    async untilState(externalOrderNumber, state) {
      let last: Answer['body'] = null;
      const is = async () => {
        last = await engine.deposit(externalOrderNumber);
        return last.state === state && last;
      };
      return until(`${externalOrderNumber} to be ${state}`, is, undefined, () => `; it is ${JSON.stringify(last)}`);
    },
    async startWorker() {
      worker ??= await startWorker(
        loadWorkerConfig(env),
        {
          connectionOptions: { address: temporal.address },
          namespace: temporal.namespace,
          dataConverter: loadDataConverter(env),
        },
        quietLog('worker'),
      );
      return worker;
    },
    async stopWorker() {
      await worker?.stop();
      worker = null;
    },
    async startApi(relay) {
      engine.api = await launchApi(engine.client, relay);
    },
    async startTemporal() {
      engine.temporal = await given(own).restart();
    },
    sandboxUrl: sandbox?.url ?? null,
    async stopSandbox() {
      await sandbox?.close();
    },
    async auditLedger() {
      const { rows } = await db.owner.query<{ fault: string; found: string }>(
        'select * from ledger.audit() where found <> 0',
      );
      if (rows.length > 0) throw new Error(`the ledger's audit found ${JSON.stringify(rows)}`);
    },
  };
  if (options.worker !== false) await engine.startWorker();
  const stop = async () => {
    await engine.stopWorker();
    // A test that left the API closed did so on purpose.
    await engine.api.close().catch(() => undefined);
    await sandbox?.close();
    await connection.close();
  };
  return { engine, stop };
}

function given(own: OwnTemporal | null): OwnTemporal {
  if (own === null) throw new Error('the run’s Temporal server is everybody’s: start the engine with `ownTemporal`');
  return own;
}

async function send(url: string, init: RequestInit): Promise<Answer> {
  const response = await fetch(url, { ...init, redirect: 'manual' });
  const text = await response.text();
  return { status: response.status, headers: response.headers, text, body: parsed(text) };
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

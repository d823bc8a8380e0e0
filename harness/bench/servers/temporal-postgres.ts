import { existsSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { withClient } from '../../../database/pool.ts';
import { cacheDirectory } from '../../../local/servers/paths.ts';
import { startPostgres } from '../../../local/servers/postgres.ts';
import { end, isAlive, lastLines, run, start } from '../../../local/servers/process.ts';
import { isServing } from '../../../local/servers/temporal.ts';
import { openNamespace } from './namespace.ts';
import type { BenchTemporal } from './temporal-server.ts';
import type { Undo } from '../ground/undo.ts';

/** The version in docker-compose.yml. The server has its own PostgreSQL, so the engine's counts only the engine. */
export const SERVER_VERSION = 'v1.32.0';
const PACKAGES = ['cmd/server', 'cmd/tools/sql'].map((path) => `go.temporal.io/server/${path}@${SERVER_VERSION}`);
const BUILD_TIMEOUT_MS = 3_600_000;
const SCHEMAS = { temporal: 'temporal', temporal_visibility: 'visibility' } as const;
const SHARDS = 4;
const READY_WITHIN_MS = 120_000;
const STOP_TIMEOUT_MS = 30_000;

/** Builds through Go's module proxy and checksum database; takes minutes, once per clone. Rejects if there is no Go. */
export async function buildTemporalServer(tell: (line: string) => void): Promise<string> {
  const at = join(cacheDirectory, `temporal-server-${SERVER_VERSION}`);
  if (existsSync(join(at, 'server')) && existsSync(join(at, 'sql'))) return at;
  tell(`building the Temporal server ${SERVER_VERSION} from its Go modules: minutes, once`);
  await mkdir(at, { recursive: true });
  const env = { ...process.env, GOBIN: at, GOFLAGS: '', GOSUMDB: 'sum.golang.org' };
  const built = await run('go', ['install', ...PACKAGES], { timeoutMs: BUILD_TIMEOUT_MS, env, cwd: at });
  if (built.code !== 0) throw new Error(`go install: ${built.stderr.trim().split('\n').at(-1)}`);
  return at;
}

/** Starts the server with the namespace `default`. `port`: the frontend's; the server uses the next seven as well. */
export async function startTemporalOnPostgres(
  programs: string,
  folder: string,
  port: number,
  undo: Undo,
): Promise<BenchTemporal> {
  const directory = join(folder, 'temporal-postgres');
  const starting = startPostgres({ directory, fsync: false, removeOnStop: true });
  undo.add(async () => (await starting).stop());
  const postgres = await starting;
  const { hostname, port: postgresPort, username, password } = new URL(postgres.url);
  const database = { host: `${hostname}:${postgresPort}`, user: username, password };
  await makeSchemas(programs, postgres.url);
  const home = join(folder, 'temporal-server');
  await mkdir(home, { recursive: true });
  // JSON is valid YAML.
  const config = join(home, 'server.yaml');
  await writeFile(config, JSON.stringify(configOf(port, database)), { mode: 0o600 });
  const logFile = join(home, 'server.log');
  const address = `127.0.0.1:${port}`;
  let pid = 0;
  const server: BenchTemporal = {
    address,
    pids: () => [pid, postgres.pid],
    async start() {
      const args = ['--config-file', config, '--allow-no-auth', 'start'];
      ({ pid } = await start(join(programs, 'server'), args, { cwd: home, logFile }));
      for (const endMs = performance.now() + READY_WITHIN_MS; !(await isServing(address)); await sleep(100)) {
        if (isAlive(pid) && performance.now() < endMs) continue;
        throw new Error(`the Temporal server does not serve:\n${lastLines(logFile, 3).slice(-2_000)}`);
      }
    },
    stop: () => end(pid, { signal: 'SIGTERM', timeoutMs: STOP_TIMEOUT_MS, group: true }),
  };
  undo.add(() => server.stop());
  await server.start();
  await openNamespace(address, 'default');
  return server;
}

async function makeSchemas(programs: string, url: string): Promise<void> {
  const { hostname, port, username, password } = new URL(url);
  for (const [database, schema] of Object.entries(SCHEMAS)) {
    await withClient({ connectionString: url }, (client) => client.query(`create database ${database}`));
    const target = ['--plugin', 'postgres12_pgx', '--ep', hostname, '-p', port, '-u', username, '--db', database];
    for (const step of [
      ['setup-schema', '-v', '0.0'],
      ['update-schema', '--schema-name', `postgresql/v12/${schema}`],
    ]) {
      const env = { ...process.env, SQL_PASSWORD: password };
      const made = await run(join(programs, 'sql'), [...target, ...step], { timeoutMs: READY_WITHIN_MS, env });
      if (made.code !== 0) throw new Error(`${step[0]} of ${database}: ${made.stderr.slice(-500)}`);
    }
  }
}

function configOf(
  port: number,
  { host, user, password }: { readonly host: string; readonly user: string; readonly password: string },
) {
  const sql = (databaseName: string, maxConns: number) => ({
    sql: {
      pluginName: 'postgres12_pgx',
      databaseName,
      connectAddr: host,
      connectProtocol: 'tcp',
      user,
      password,
      maxConns,
      maxIdleConns: maxConns,
      maxConnLifetime: '1h',
    },
  });
  // The ports are beside the frontend's and below 32768: the server stores them in columns of 16 bits.
  const service = (nth: number) => ({
    rpc: { grpcPort: port + 2 * nth, membershipPort: port + 2 * nth + 1, bindOnLocalHost: true },
  });
  const here = `127.0.0.1:${port}`;
  return {
    log: { stdout: true, level: 'warn' },
    persistence: {
      numHistoryShards: SHARDS,
      defaultStore: 'default',
      visibilityStore: 'visibility',
      datastores: { default: sql('temporal', 20), visibility: sql('temporal_visibility', 10) },
    },
    global: { membership: { maxJoinDuration: '30s', broadcastAddress: '127.0.0.1' } },
    services: {
      frontend: service(0),
      matching: service(1),
      history: service(2),
      worker: service(3),
    },
    clusterMetadata: {
      enableGlobalNamespace: false,
      failoverVersionIncrement: 10,
      masterClusterName: 'active',
      currentClusterName: 'active',
      clusterInformation: {
        active: { enabled: true, initialFailoverVersion: 1, rpcName: 'frontend', rpcAddress: here },
      },
    },
    dcRedirectionPolicy: { policy: 'noop' },
    publicClient: { hostPort: here },
  };
}

/** A Temporal dev server of our own on loopback, with its Web UI: for `npm start`, `npm run audit` and the test suite. */

import { existsSync, mkdirSync, readFileSync, realpathSync, rmSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { Connection } from '@temporalio/client';
import { withoutProxy } from '../../config/loopback.ts';
import { writePrivately } from './files.ts';
import { belongsTo } from './paths.ts';
import { freePort, freePortNear } from './ports.ts';
import { type Exit, end, gone, isAlive, isSameProcess, lastLines, type ProcessRecord } from './process.ts';
import { processesWith, recordOf, start, type RunningProgram, untilReady } from './process.ts';
import { resolveTemporalCli, withReadableHome } from './temporal-binary.ts';
import { type Door, type HiddenPlace, hiddenPlace, openDoor } from './web-ui-door.ts';

export type TemporalOptions = {
  /** The SQLite file that holds everything; its directory is created if it is missing. */
  readonly dbFile: string;
  /** The preferred port; if it is taken, another one is used. Default: any. */
  readonly port?: number;
  /** The same for the door to the Web UI; `headless` starts none. Default: any. */
  readonly uiPort?: number | 'headless';
  /** Default: `<dbFile>.log`. */
  readonly logFile?: string;
  /** Registered in the namespace. Default: those of a deposit. */
  readonly searchAttributes?: Readonly<Record<string, string>>;
  /** The codec server that decrypts payloads for the Web UI. Default: none. */
  readonly uiCodecEndpoint?: string | undefined;
  /** The server's own settings (dynamic configuration), by their names. Default: its own defaults. */
  readonly settings?: Readonly<Record<string, unknown>>;
  /** The program, if it was resolved already. */
  readonly executable?: string;
};

export type TemporalServer = {
  readonly address: string;
  readonly port: number;
  /** Null when the server has no Web UI. */
  readonly uiUrl: string | null;
  readonly pid: number;
  /** Whether the server still ran from an earlier start. */
  readonly adopted: boolean;
  /** Resolves when the server is gone, for any reason. */
  readonly exited: Promise<Exit>;
  /** Resolves when the server is gone; everything it accepted is in the file. */
  stop(): Promise<void>;
};

/** No personal data: search attributes are shown and indexed in the clear. */
const depositSearchAttributes: Readonly<Record<string, string>> = {
  DepositState: 'Keyword',
  Currency: 'Keyword',
  BuyCoinMode: 'Keyword',
  TransactionCode: 'Keyword',
  ReviewReason: 'Keyword',
  MtcAmount: 'Double',
};

/** The retention of histories of closed deposits; the dev server's own default is one day. */
const RETENTION_SECONDS = 720 * 3600;
const READINESS = { timeoutMs: 60_000, everyMs: 50, late: 'did not serve' };
const STOP_TIMEOUT_MS = 15_000;
const CALL_TIMEOUT_MS = 2_000;
const ATTEMPTS = 3;
/** `grpc.health.v1.HealthCheckResponse.ServingStatus.SERVING`; the enum is not exported for use here. */
const SERVING = 1;

export class TemporalStartError extends Error {
  override name = 'TemporalStartError';
}

/**
 * Starts a dev server on the file, waits until it serves and sets the retention. A server that an earlier start left on
 * this file is adopted if it responds, and ended if not.
 * @throws ProgramNotFoundError when there is no program; TemporalStartError with the log's end when it does not start.
 */
export async function startTemporal(options: TemporalOptions): Promise<TemporalServer> {
  mkdirSync(dirname(options.dbFile), { recursive: true });
  const dbFile = join(realpathSync(dirname(options.dbFile)), basename(options.dbFile));
  const left = await adopt(dbFile);
  if (left !== null) return left;

  const executable = options.executable ?? (await resolveTemporalCli());
  let port = await freePortNear(options.port);
  for (let attempt = 1; ; attempt += 1) {
    const httpPort = await freePort();
    const hidden = options.uiPort === 'headless' ? null : await hiddenPlace();
    const started = await launch(executable, dbFile, { port, httpPort, ui: hidden }, options);
    const identity = recordOf(started.pid)?.identity ?? '';
    const wishedUiPort = typeof options.uiPort === 'number' ? options.uiPort : 0;
    const ui = hidden === null ? null : { port: wishedUiPort, hidden };
    const note: Note = { for: dbFile, pid: started.pid, identity, port, httpPort, ui };
    writeNote(note);
    const address = addressAt(port);
    const isReady = async () => (await isServing(address)) && keepHistories(address);
    const failure = (await untilReady(started.exited, isReady, READINESS)) ?? (await httpApiFault(httpPort));
    if (failure === null) return serverOf(await withDoor(note, false), started);
    if (isAlive(started.pid)) await end(started.pid, { signal: 'SIGTERM', timeoutMs: STOP_TIMEOUT_MS, group: true });
    const log = lastLines(logFileOf(options), 15);
    if (attempt === ATTEMPTS || !/address already in use|port .* already|can't set/i.test(log)) {
      throw new TemporalStartError(`The Temporal server ${failure}. The end of ${logFileOf(options)}:\n${log}`);
    }
    // Another program took a port after we checked it; the server also picks some of its own in the same way.
    port = await freePort();
  }
}

/** The record beside the file about the server that works on it. */
type Note = ProcessRecord & {
  readonly for: string;
  readonly port: number;
  /** Absent in notes of servers whose HTTP API was open to every web page. */
  readonly httpPort?: number;
  /** The port of the Web UI's door, and where the door leads. */
  readonly ui: { readonly port: number; readonly hidden: HiddenPlace } | null;
};

function writeNote(note: Note): void {
  writePrivately(noteFile(note.for), `${JSON.stringify(note)}\n`);
}

type NotedUi = { readonly note: Note; readonly door: Door | null };

/** With `insist`, uses no other port: the process that started the server may be alive and still keep the door. */
async function withDoor(note: Note, insist: boolean): Promise<NotedUi> {
  if (note.ui === null) return { note, door: null };
  const door = await openDoor(note.ui.port, note.ui.hidden, insist);
  if (door === null) return { note, door };
  const known = { ...note, ui: { ...note.ui, port: door.port } };
  writeNote(known);
  return { note: known, door };
}

/**
 * The server's HTTP API has no login, no check of a call's origin, and no off switch. So it is configured to serve only
 * a name that no Host header can hold. Returns null if it refuses our call or does not respond, else the fault.
 */
async function httpApiFault(port: number): Promise<string | null> {
  const url = `http://127.0.0.1:${port}/api/v1/namespaces`;
  const status = await fetch(url, { signal: AbortSignal.timeout(CALL_TIMEOUT_MS) }).then(
    (answer) => answer.status,
    () => null,
  );
  if (status === null || status === 403) return null;
  return (
    `answers ${status} on its HTTP API at port ${port}, where every web page could end workflows: ` +
    'a Temporal CLI of version 1.2 or later can refuse them, set TEMPORAL_CLI_PATH to one'
  );
}

function noteFile(dbFile: string): string {
  return `${dbFile}.server.json`;
}

function logFileOf(options: TemporalOptions): string {
  return options.logFile ?? `${options.dbFile}.log`;
}

function addressAt(port: number): string {
  return `127.0.0.1:${port}`;
}

/** Finds the server that still works on the file, if it responds. Two servers on one file would corrupt it. */
async function adopt(dbFile: string): Promise<TemporalServer | null> {
  const note = existsSync(noteFile(dbFile)) ? (JSON.parse(readFileSync(noteFile(dbFile), 'utf8')) as Note) : null;
  if (note !== null && belongsTo(dbFile, note.for) && isSameProcess(note)) {
    // A server of an earlier version serves its HTTP API to every web page, so it is restarted.
    if (note.httpPort !== undefined && (await isServing(addressAt(note.port)))) {
      await keepHistories(addressAt(note.port));
      return serverOf(await withDoor(note, true), null);
    }
    await end(note.pid, { signal: 'SIGTERM', timeoutMs: STOP_TIMEOUT_MS, group: true });
  }
  rmSync(noteFile(dbFile), { force: true });
  // A start that was killed before it wrote the note may have left its server, and so may one of an earlier version.
  const left = [markOf(dbFile), `--db-filename ${dbFile} `].flatMap((text) => processesWith(['start-dev', text]));
  for (const pid of left) await end(pid, { signal: 'SIGTERM', timeoutMs: STOP_TIMEOUT_MS, group: true });
  return null;
}

/** Marks the command line of the server that works on the file; for the server it is an unused setting. */
function markOf(dbFile: string): string {
  return `depositEngine.file=${JSON.stringify(dbFile)}`;
}

function launch(
  executable: string,
  dbFile: string,
  { port, httpPort, ui }: { readonly port: number; readonly httpPort: number; readonly ui: HiddenPlace | null },
  options: TemporalOptions,
): Promise<RunningProgram> {
  const attributes = Object.entries(options.searchAttributes ?? depositSearchAttributes);
  const settings = Object.entries(options.settings ?? {});
  // The file is given by its name alone, from its own directory: the server makes a URL of it and would decode `%41`,
  // `?` and `#` in a path.
  const args = ['server', 'start-dev', '--ip', '127.0.0.1', '--port', String(port), '--db-filename', basename(dbFile)]
    .concat(['--dynamic-config-value', markOf(dbFile)])
    // Twice the throughput of the defaults. Data survive kill -9; a power cut may lose the last moments.
    .concat(['--sqlite-pragma', 'journal_mode=wal', '--sqlite-pragma', 'synchronous=1'])
    .concat(['--http-port', String(httpPort), '--dynamic-config-value', 'frontend.httpAllowedHosts=["no host"]'])
    .concat(ui === null ? ['--headless'] : ['--ui-ip', ui.host, '--ui-port', String(ui.port)])
    .concat(options.uiCodecEndpoint === undefined ? [] : ['--ui-codec-endpoint', options.uiCodecEndpoint])
    .concat(settings.flatMap(([name, value]) => ['--dynamic-config-value', `${name}=${JSON.stringify(value)}`]))
    .concat(attributes.flatMap(([name, type]) => ['--search-attribute', `${name}=${type}`]));
  // The caller's TEMPORAL_… variables refer to another server.
  const own = Object.entries(withReadableHome(process.env)).filter(([name]) => !name.startsWith('TEMPORAL_'));
  return start(executable, args, {
    cwd: dirname(dbFile),
    env: Object.fromEntries(own),
    logFile: logFileOf(options),
  });
}

/** Whether a Temporal server at the address reports that it serves. */
export async function isServing(address: string): Promise<boolean> {
  return (
    (await asking(address, async (connection) => {
      const { status } = await connection.healthService.check({
        service: 'temporal.api.workflowservice.v1.WorkflowService',
      });
      return (status as number) === SERVING;
    })) === true
  );
}

/** Sets the retention unless it is set; false while the namespace does not exist yet. */
async function keepHistories(address: string): Promise<boolean> {
  return (
    (await asking(address, async (connection) => {
      const { config } = await connection.workflowService.describeNamespace({ namespace: 'default' });
      if (Number(config?.workflowExecutionRetentionTtl?.seconds) !== RETENTION_SECONDS) {
        await connection.workflowService.updateNamespace({
          namespace: 'default',
          config: { workflowExecutionRetentionTtl: { seconds: RETENTION_SECONDS as never } },
        });
      }
      return true;
    })) === true
  );
}

async function asking<T>(address: string, ask: (connection: Connection) => Promise<T>): Promise<T | null> {
  // The client's own retries are off: here a refused connection is a result, and the caller retries at once.
  const patience = { connectTimeout: CALL_TIMEOUT_MS, interceptors: [] };
  const connection = Connection.lazy({ address, ...patience, channelArgs: withoutProxy });
  try {
    return await connection.withDeadline(Date.now() + CALL_TIMEOUT_MS, () => ask(connection));
  } catch {
    return null;
  } finally {
    await connection.close();
  }
}

function serverOf({ note, door }: NotedUi, started: RunningProgram | null): TemporalServer {
  return {
    address: addressAt(note.port),
    port: note.port,
    uiUrl: note.ui === null ? null : `http://127.0.0.1:${note.ui.port}`,
    pid: note.pid,
    adopted: started === null,
    exited: started?.exited ?? gone(note.pid),
    async stop() {
      door?.close();
      await end(note.pid, { signal: 'SIGTERM', timeoutMs: STOP_TIMEOUT_MS, group: true });
      rmSync(noteFile(note.for), { force: true });
    },
  };
}

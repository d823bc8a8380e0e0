import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Connection } from '@temporalio/client';
import { startTemporal, type TemporalOptions } from '../../local/servers/temporal.ts';
import { registerSearchAttributes } from '../../worker/search-attributes.ts';

/** Where one test file's workflows are. */
export interface TestTemporal {
  readonly address: string;
  readonly port: number;
  readonly namespace: string;
  /** Null where the server has no Web UI. */
  readonly uiUrl: string | null;
  /** Ends a server of the file's own; the run's server goes on. */
  readonly stop: () => Promise<void>;
}

/** A server that one file may stop, start again and put another file under. */
export interface OwnTemporal {
  readonly temporal: TestTemporal;
  /** The file in which the server keeps everything. */
  readonly file: string;
  /** After `stop()`: the same file and port. */
  readonly restart: () => Promise<TestTemporal>;
  /** Ends the server and deletes the file. */
  readonly remove: () => Promise<void>;
}

/** As in production: the engine warns of a lost history at half of it. */
const RETENTION_SECONDS = 720 * 3600;

/**
 * Deletes at once. By default the server first waits until it has recorded that the workflow closed, twice a minute.
 */
const SETTINGS = {
  'history.transferProcessorEnsureCloseBeforeDelete': false,
  'history.visibilityProcessorEnsureCloseBeforeDelete': false,
};

/** The server that global-setup.ts has started for all files; undefined in commands that run without Vitest. */
const SHARED = 'TEST_TEMPORAL_PORT';
export const shareTemporal = (port: number): void => void (process.env[SHARED] = String(port));

/**
 * A namespace for one test file on the server that all files of a run share: nothing in it is seen from another one. A
 * server of its own where there is none to share.
 */
export async function openTemporal(): Promise<TestTemporal> {
  const port = process.env[SHARED];
  if (port === undefined) {
    const { temporal, remove } = await startOwnTemporal();
    return { ...temporal, stop: remove };
  }
  const address = `127.0.0.1:${port}`;
  const namespace = `test-${randomBytes(6).toString('hex')}`;
  const connection = await Connection.connect({ address });
  try {
    await connection.workflowService.registerNamespace({
      namespace,
      workflowExecutionRetentionPeriod: { seconds: RETENTION_SECONDS as never },
    });
    await registerSearchAttributes(connection, namespace);
  } finally {
    await connection.close();
  }
  return { address, port: Number(port), namespace, uiUrl: null, stop: () => Promise.resolve() };
}

/** A server of one file's own, for those that stop it, look at its Web UI, or put another state under it. */
export async function startOwnTemporal(options: Partial<TemporalOptions> = {}): Promise<OwnTemporal> {
  const folder = await mkdtemp(join(tmpdir(), 'deposit-temporal-'));
  const file = join(folder, 'temporal.db');
  const start = async (port?: number): Promise<TestTemporal> => ({
    ...(await startTemporal({
      dbFile: file,
      uiPort: 'headless',
      settings: SETTINGS,
      ...options,
      ...(port === undefined ? {} : { port }),
    })),
    namespace: 'default',
  });
  let temporal = await start();
  return {
    temporal,
    file,
    restart: async () => (temporal = await start(temporal.port)),
    async remove() {
      await temporal.stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

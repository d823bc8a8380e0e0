import { readFile } from 'node:fs/promises';
import { Client } from '@temporalio/client';
import { NativeConnection, Worker } from '@temporalio/worker';
import { createActivities } from '../activities/index.ts';
import { type ArchiveObjects, archiveObjects } from '../archive/objects.ts';
import { refuseIfForgotten } from '../database/empty-database.ts';
import { watchKeys } from '../config/keys/key-watch.ts';
import { mapKeyring } from '../config/keys/keyring.ts';
import type { WorkerConfig } from '../config/settings/worker.ts';
import type { Log } from '../telemetry/log.ts';
import { type Loop, startLoop } from '../telemetry/background-loop.ts';
import type { TemporalConfig } from '../config/temporal.ts';
import { watchClock } from '../database/clock-watch.ts';
import { isEmpty } from '../database/queries/deposits.ts';
import { warnOfLogging } from '../database/log-settings.ts';
import { createPool, refuseWrongSession } from '../database/pool.ts';
import { capabilityKey } from '../providers/callback-address.ts';
import { createProviderClock } from '../providers/clock.ts';
import { sealPublicKeys } from '../config/keys/inbox-seal.ts';
import { nameKeys } from '../providers/key-names.ts';
import { createOwnStamps } from '../providers/own-stamps.ts';
import { PROVIDERS } from '../providers/providers.ts';
import { TASK_QUEUE } from '../workflows/messages.ts';
import { keepBundle } from './bundle-keeping.ts';
import { temporalHistories } from './temporal-histories.ts';
import { workerTuning } from './tuning.ts';
import { startPruning } from './pruning.ts';
import { startPublishing, startWatchingDeliveries } from './publishing.ts';
import { startShredding } from './shredding.ts';
import { engineVersion } from './version.ts';
import { workflowSource } from './workflow-source.ts';

/** In addition to WORKER_CONNECTIONS; few, because decisions are rare. */
const DECISION_CONNECTIONS = 2;
const WATCH_HISTORIES_MS = 10 * 60_000;

export interface RunningWorker {
  /** Resolves when the worker has ended by `stop` or by a signal to the process; rejects if an error ended it. */
  readonly ended: Promise<void>;
  /** Finishes the work in progress, then closes the connection and the pools. */
  stop(): Promise<void>;
}

/**
 * Wires the worker together and starts polling. Throws when Temporal is unreachable, `ForgottenError` when the database
 * was lost, and `WrongSession` when a database session is not the requested one.
 */
export async function startWorker(config: WorkerConfig, temporal: TemporalConfig, log: Log): Promise<RunningWorker> {
  const connections = await connect(config, temporal, log);
  const objects = archiveObjects(connections.pool, config.archiveDirectory);
  const { activities, drain, watchHistories } = await wireActivities(config, connections, objects, log);
  const source = await workflowSource(config, temporal.dataConverter.payloadCodecs !== undefined);
  const worker = await Worker.create({
    connection: connections.connection,
    namespace: temporal.namespace,
    taskQueue: TASK_QUEUE,
    ...source,
    dataConverter: temporal.dataConverter,
    activities,
    ...workerTuning(config),
  });
  const rounds = startRounds(config, connections, watchHistories, log);
  const keeping = keepBundle({ objects, log }, source.workflowBundle.code);
  const run = async () => {
    try {
      await worker.run();
    } finally {
      await rounds.close();
      await keeping.close();
      await drain();
      await disconnect(connections);
    }
  };
  const ended = run();
  return {
    ended,
    async stop() {
      if (worker.getState() === 'RUNNING') worker.shutdown();
      await ended;
    },
  };
}

interface WorkerConnections {
  readonly pool: ReturnType<typeof createPool>;
  readonly decisions: ReturnType<typeof createPool>;
  readonly connection: NativeConnection;
  readonly client: Client;
}

async function connect(config: WorkerConfig, temporal: TemporalConfig, log: Log): Promise<WorkerConnections> {
  const onIdleError = (error: Error) => log.warn({ error: error.message }, 'database connection lost');
  const pool = createPool({
    url: config.database.url,
    role: 'app_worker',
    applicationName: 'deposit-worker',
    max: config.connections,
    onIdleError,
  });
  const decisions = createPool({
    url: config.decisions.url,
    role: 'app_decisions',
    applicationName: 'deposit-decisions',
    max: DECISION_CONNECTIONS,
    onIdleError,
  });
  const connection = await NativeConnection.connect(temporal.connectionOptions);
  const client = new Client({ connection, namespace: temporal.namespace, dataConverter: temporal.dataConverter });
  const connections = { pool, decisions, connection, client };
  try {
    await refuseWrongSession(pool, decisions);
    await warnOfLogging(pool, log);
    await refuseIfForgotten(() => isEmpty(pool), client, config.restoredFromEmpty);
    return connections;
  } catch (error) {
    await disconnect(connections);
    throw error;
  }
}

async function disconnect({ pool, decisions, connection }: WorkerConnections): Promise<void> {
  await connection.close();
  await Promise.all([pool.end(), decisions.end()]);
}

async function wireActivities(
  config: WorkerConfig,
  { pool, decisions, client }: WorkerConnections,
  objects: ArchiveObjects,
  log: Log,
): Promise<ReturnType<typeof createActivities>> {
  const { caFile, proxy } = config.mtpay;
  const { rings } = config.keys;
  const sealKeys = mapKeyring(rings.inboxSealPublic, sealPublicKeys);
  return createActivities({
    pool,
    decisions,
    providers: {
      mtpay: PROVIDERS.mtpay.createPlacement({
        keys: rings.mtpay,
        placeUrl: config.mtpay.placeUrl,
        redirectHosts: config.mtpay.redirectHosts,
        plainHttpHosts: config.mtpay.plainHttpHosts,
        ...(caFile === undefined ? {} : { ca: await readFile(caFile, 'utf8') }),
        ...(proxy === undefined ? {} : { proxy }),
      }),
    },
    clock: createProviderClock(pool),
    stamps: createOwnStamps(config.ownStampGridMs),
    capabilities: mapKeyring(rings.callback, capabilityKey),
    payerNameKeys: rings.payerName,
    callbackBaseUrl: config.callbackBaseUrl,
    placeWithinMs: config.placeWithinMs,
    callDeadlineMs: config.callDeadlineMs,
    histories: temporalHistories(client),
    objects,
    sealTrust: () => ({ publicKeys: sealKeys.current, epoch: config.sealEpoch }),
    signatures: config.signatures,
    version: engineVersion(),
    log,
  });
}

/** Starts the background loops: watching keys, the clock and the archive's backlog, erasing names, pruning. */
function startRounds(
  config: WorkerConfig,
  { pool }: WorkerConnections,
  watchHistories: () => Promise<unknown>,
  log: Log,
): Loop {
  // A name is decrypted when its order is placed, and orders are placed within this time.
  const overlapMs = { payerName: config.placeWithinMs };
  const stopWatching = watchKeys(config.keys, { overlapMs, show: nameKeys, log });
  const stopClock = watchClock(pool, log);
  const loops = [
    startShredding({ pool, log }, config.payerNameRetentionMs),
    startPruning({ pool, log }, config.pruneAfterMs),
    startPublishing({ pool, log }),
    startWatchingDeliveries({ pool, log }),
    // Runs even if nothing archives: the schedule may be paused or deleted.
    startLoop({
      work: async () => {
        await watchHistories();
        return WATCH_HISTORIES_MS;
      },
      failed: () => WATCH_HISTORIES_MS,
    }),
  ];
  return {
    async close() {
      stopWatching();
      stopClock();
      await Promise.all(loops.map((loop) => loop.close()));
    },
  };
}

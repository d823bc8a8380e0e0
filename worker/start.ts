import { readFile } from 'node:fs/promises';
import { Client } from '@temporalio/client';
import { NativeConnection, Worker } from '@temporalio/worker';
import { createActivities } from '../activities/index.ts';
import { archiveObjects } from '../archive/objects.ts';
import { refuseIfForgotten } from '../config/empty-database.ts';
import { watchKeys } from '../config/keys/key-watch.ts';
import { mapKeyring } from '../config/keys/keyring.ts';
import type { WorkerConfig } from '../config/settings/worker.ts';
import type { Log } from '../telemetry/log.ts';
import { startLoop } from '../telemetry/loop.ts';
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
import { startPruning } from './pruning.ts';
import { startShredding } from './shredding.ts';
import { engineVersion } from './version.ts';
import { workflowSource } from './workflow-source.ts';

/** Beside WORKER_CONNECTIONS: people decide seldom. */
const DECISION_CONNECTIONS = 2;
const WATCH_HISTORIES_MS = 10 * 60_000;

export interface RunningWorker {
  /** Settles when the worker has ended: by `stop`, by a signal to the process, or with the error that ended it. */
  readonly ended: Promise<void>;
  /** Finishes what is under way, then gives back connection and pool. */
  stop(): Promise<void>;
}

/** Wires the worker together and starts polling. Throws when Temporal cannot be reached, `ForgottenError` on a database that was lost, `WrongSession`. */
export async function startWorker(config: WorkerConfig, temporal: TemporalConfig, log: Log): Promise<RunningWorker> {
  const pool = createPool({
    url: config.database.url,
    role: 'app_worker',
    applicationName: 'deposit-worker',
    max: config.connections,
    onIdleError: (error) => log.warn({ error: error.message }, 'database connection lost'),
  });
  const decisions = createPool({
    url: config.decisions.url,
    role: 'app_decisions',
    applicationName: 'deposit-decisions',
    max: DECISION_CONNECTIONS,
    onIdleError: (error) => log.warn({ error: error.message }, 'database connection lost'),
  });
  const connection = await NativeConnection.connect(temporal.connectionOptions);
  const client = new Client({ connection, namespace: temporal.namespace, dataConverter: temporal.dataConverter });
  const refuse = async () => {
    await refuseWrongSession(pool, decisions);
    await warnOfLogging(pool, log);
    await refuseIfForgotten(() => isEmpty(pool), client, config.restoredFromEmpty);
  };
  await refuse().catch(async (error: unknown) => {
    await Promise.all([connection.close(), pool.end(), decisions.end()]);
    throw error;
  });
  const objects = archiveObjects(pool, config.archiveDirectory);
  const { caFile, proxy } = config.mtpay;
  const { rings } = config.keys;
  const sealKeys = mapKeyring(rings.inboxSealPublic, sealPublicKeys);
  const { activities, drain, watchHistories } = createActivities({
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
  const source = await workflowSource(config, temporal.dataConverter.payloadCodecs !== undefined);
  const worker = await Worker.create({
    connection,
    namespace: temporal.namespace,
    taskQueue: TASK_QUEUE,
    ...source,
    dataConverter: temporal.dataConverter,
    activities,
    maxCachedWorkflows: 2_000,
    // Above the 25 s a provider call may take: a placement under way is finished, not abandoned.
    shutdownGraceTime: '35s',
    shutdownForceTime: '45s',
    // A lost worker's deposits are taken over after this long (measured: about 2 s instead of 10).
    stickyQueueScheduleToStartTimeout: '2s',
  });
  // A name is opened when its order is placed, and orders are placed within this time.
  const stopWatching = watchKeys(config.keys, {
    overlapMs: { payerName: config.placeWithinMs },
    show: nameKeys,
    log,
  });
  const stopClock = watchClock(pool, log);
  const keeping = keepBundle({ objects, log }, source.workflowBundle.code);
  const shredding = startShredding({ pool, log }, config.payerNameRetentionMs);
  const pruning = startPruning({ pool, log }, config.pruneAfterMs);
  // Also where nothing archives: the schedule may be paused, or gone.
  const watching = startLoop({
    work: async () => {
      await watchHistories();
      return WATCH_HISTORIES_MS;
    },
    failed: () => WATCH_HISTORIES_MS,
  });
  const run = async () => {
    try {
      await worker.run();
    } finally {
      stopWatching();
      stopClock();
      await Promise.all([shredding.close(), pruning.close(), watching.close()]);
      await keeping.close();
      await drain();
      await connection.close();
      await Promise.all([pool.end(), decisions.end()]);
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

import { readFile } from 'node:fs/promises';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { loadTemporal } from '../config/temporal.ts';
import { DefaultLogger, NativeConnection, Runtime, Worker } from '@temporalio/worker';
import { createActivities } from '../activities/index.ts';
import { armCrashPoint } from '../config/crash.ts';
import { loadWorkerConfig } from '../config/load.ts';
import { createLog } from '../config/log.ts';
import { createPool } from '../database/pool.ts';
import { capabilityKey } from '../mtpay/capability.ts';
import { createProviderClock } from '../mtpay/clock.ts';
import { createMtpay } from '../mtpay/place.ts';
import { TASK_QUEUE } from '../workflows/messages.ts';

/** The worker process: builds what activities depend on, runs, and stops cleanly on SIGTERM and SIGINT. */

const config = loadWorkerConfig();
const log = createLog('worker', config.logLevel);
armCrashPoint();

Runtime.install({
  logger: new DefaultLogger('INFO', ({ level, message, meta }) => {
    const fields = {
      workflowId: meta?.['workflowId'],
      activityType: meta?.['activityType'],
      error: errorName(meta?.['error']),
    };
    if (level === 'ERROR') log.error(fields, message);
    else if (level === 'WARN') log.warn(fields, message);
    else log.debug(fields, message);
  }),
});

const pool = createPool({
  url: config.database.url,
  ...(config.database.setRole ? { role: 'app_worker' as const } : {}),
  applicationName: 'deposit-worker',
  onIdleError: (error) => log.warn({ error: error.message }, 'database connection lost'),
});
const { activities, drain } = createActivities({
  pool,
  provider: createMtpay({
    placeUrl: config.mtpay.placeUrl,
    key: config.mtpay,
    redirectHosts: config.mtpay.redirectHosts,
    plainHttpHosts: config.mtpay.plainHttpHosts,
    ...(config.mtpay.caFile === undefined ? {} : { ca: await readFile(config.mtpay.caFile, 'utf8') }),
  }),
  clock: createProviderClock(pool),
  mtpayKey: config.mtpay,
  capability: capabilityKey(config.callbackKey),
  payerNameKey: config.payerNameKey,
  callbackBaseUrl: config.callbackBaseUrl,
  placeWithinMs: config.placeWithinMs,
  log,
});

const { connectionOptions, namespace } = loadTemporal();
const connection = await NativeConnection.connect(connectionOptions);
const worker = await Worker.create({
  connection,
  namespace,
  taskQueue: TASK_QUEUE,
  ...workflowSource(),
  activities,
  maxCachedWorkflows: 2_000,
  // Above the 25 s a provider call may take: a placement under way is finished, not abandoned.
  shutdownGraceTime: '35s',
  shutdownForceTime: '45s',
  stickyQueueScheduleToStartTimeout: '2s',
});
log.info({ namespace, taskQueue: TASK_QUEUE }, 'worker ready');
try {
  await worker.run();
} finally {
  await drain();
  await connection.close();
  await pool.end();
  log.info('worker stopped');
}

/** The prebuilt bundle beside the compiled code if there is one, the sources otherwise. */
function workflowSource() {
  const prebuilt = config.workflowBundle ?? fileURLToPath(new URL('../workflow-bundle.js', import.meta.url));
  if (existsSync(prebuilt)) return { workflowBundle: { codePath: prebuilt } };
  return { workflowsPath: fileURLToPath(new URL('../workflows/index.ts', import.meta.url)) };
}

function errorName(error: unknown): string | undefined {
  return error instanceof Error ? `${error.name}: ${error.message}` : undefined;
}

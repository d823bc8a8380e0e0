import { DefaultLogger, Runtime } from '@temporalio/worker';
import { armCrashPoint } from '../telemetry/crash-points.ts';
import { tellMisspelt } from '../config/known-variables.ts';
import { loadedOrExit } from '../config/settings/read-environment.ts';
import { loadWorkerConfig } from '../config/settings/worker.ts';
import { createLog } from '../telemetry/log.ts';
import { takesNoArguments } from '../config/command-line.ts';
import { loadTemporal } from '../config/temporal.ts';
import { startWorker } from './start.ts';

/** The worker process. Temporal's runtime stops it cleanly on SIGTERM and SIGINT. */

takesNoArguments('npm run worker', 'runs the workflows and activities of deposits.');

const [config, temporal] = loadedOrExit(() => [loadWorkerConfig(), loadTemporal()] as const);
const log = createLog('worker', config.logLevel);
armCrashPoint();
tellMisspelt((line) => log.warn(line));

Runtime.install({
  logger: new DefaultLogger('INFO', ({ level, message, meta }) => {
    const { error } = meta ?? {};
    const fields = {
      workflowId: meta?.['workflowId'],
      activityType: meta?.['activityType'],
      error: error instanceof Error ? `${error.name}: ${error.message}` : undefined,
    };
    if (level === 'ERROR') log.error(fields, message);
    else if (level === 'WARN') log.warn(fields, message);
    else log.debug(fields, message);
  }),
});

const worker = await startWorker(config, temporal, log);
log.info('worker ready');
await worker.ended;
log.info('worker stopped');

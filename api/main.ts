import { Client, Connection } from '@temporalio/client';
import { loadTemporal } from '../config/temporal.ts';
import { armCrashPoint } from '../telemetry/crash-points.ts';
import { tellMisspelt } from '../config/known-variables.ts';
import { loadApiConfig } from '../config/settings/api.ts';
import { loadedOrExit } from '../config/settings/read-environment.ts';
import { createLog } from '../telemetry/log.ts';
import { takesNoArguments } from '../config/command-line.ts';
import { startApi } from './start.ts';
import { stopOnSignal } from '../telemetry/stop.ts';

/**
 * The API process: the private listener, the public callback listener and the relay. Stops cleanly on SIGTERM and
 * SIGINT.
 */

takesNoArguments('npm run api', 'the private API, the public callback endpoint, and the relay behind them.');

const [config, temporal] = loadedOrExit(() => [loadApiConfig(), loadTemporal()] as const);
const log = createLog('api', config.logLevel);
armCrashPoint();
tellMisspelt((line) => log.warn(line));

const { connectionOptions, namespace, dataConverter } = temporal;
// Lazy: without Temporal, callbacks are still accepted, and raised later.
const connection = Connection.lazy(connectionOptions ?? {});
const api = await startApi(config, new Client({ connection, namespace, dataConverter }), log);
log.info({ api: api.apiUrl, callbacks: api.callbackUrl }, 'api ready');

stopOnSignal('api', () => api.close().then(() => connection.close()), log);

import { armCrashPoint } from '../telemetry/crash-points.ts';
import { tellMisspelt } from '../config/known-variables.ts';
import { loadCallbacksConfig } from '../config/settings/callbacks.ts';
import { loadedOrExit } from '../config/settings/read-environment.ts';
import { createLog } from '../telemetry/log.ts';
import { takesNoArguments } from '../config/command-line.ts';
import { startCallbacks } from './start-callbacks.ts';
import { stopOnSignal } from '../telemetry/stop.ts';

/** The public callback listener in a process of its own, without Temporal. Stops cleanly on SIGTERM and SIGINT. */

takesNoArguments('npm run callbacks', 'the public callback endpoint alone, beside an API that raises what it keeps.');

const config = loadedOrExit(loadCallbacksConfig);
const log = createLog('callbacks', config.logLevel);
armCrashPoint();
tellMisspelt((line) => log.warn(line));

const running = await startCallbacks(config, log);
log.info({ health: running.apiUrl, callbacks: running.callbackUrl }, 'callbacks ready');
stopOnSignal('callbacks', () => running.close(), log);

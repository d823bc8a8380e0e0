import { armCrashPoint } from '../telemetry/crash-points.ts';
import { loadCallbacksConfig } from '../config/settings/callbacks.ts';
import { createLog } from '../telemetry/log.ts';
import { takesNoArguments } from '../config/command-line.ts';
import { startCallbacks } from './start-callbacks.ts';
import { stopOnSignal } from './stop.ts';

/** The public callback listener in a process of its own, without Temporal. Stops cleanly on SIGTERM and SIGINT. */

takesNoArguments('npm run callbacks', 'the public callback endpoint alone, beside an API that raises what it keeps.');

const config = loadCallbacksConfig();
const log = createLog('callbacks', config.logLevel);
armCrashPoint();

const running = await startCallbacks(config, log);
log.info({ health: running.apiUrl, callbacks: running.callbackUrl }, 'callbacks ready');
stopOnSignal('callbacks', () => running.close(), log);

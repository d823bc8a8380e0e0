import { stopOnSignal } from '../telemetry/stop.ts';
import { armCrashPoint } from '../telemetry/crash-points.ts';
import { tellMisspelt } from '../config/known-variables.ts';
import { loadNotifierConfig } from '../config/settings/notifier.ts';
import { loadedOrExit } from '../config/settings/read-environment.ts';
import { createLog } from '../telemetry/log.ts';
import { takesNoArguments } from '../config/command-line.ts';
import { startNotifier } from './start.ts';

/** Sends events to the endpoints of merchants. Stops cleanly on SIGTERM and SIGINT. */

takesNoArguments('npm run notifier', 'sends events to the endpoints of merchants.');

const config = loadedOrExit(loadNotifierConfig);
const log = createLog('notifier', config.logLevel);
armCrashPoint();
tellMisspelt((line) => log.warn(line));

const running = await startNotifier(config, log);
log.info('notifier ready');
stopOnSignal('notifier', () => running.close(), log);

import { tellMisspelt } from '../../config/known-variables.ts';
import { loadCodecServerConfig } from '../../config/settings/codec-server.ts';
import { ConfigError, loadedOrExit } from '../../config/settings/read-environment.ts';
import { createLog } from '../../telemetry/log.ts';
import { takesNoArguments } from '../../config/command-line.ts';
import { loadPayloadKeys } from '../../config/temporal.ts';
import { createPayloadCodec } from '../../encoding/payload-codec.ts';
import { warnOfLogging } from '../../database/log-settings.ts';
import { createPool } from '../../database/pool.ts';
import { createAccess } from '../http/authenticate.ts';
import { createCodecServer } from './codec-server.ts';
import { listen } from '../http/http.ts';
import { stopOnSignal } from '../../telemetry/stop.ts';

/** `npm run codec`: shows encrypted payloads in the Temporal Web UI. Stops cleanly on SIGTERM and SIGINT. */

takesNoArguments('npm run codec', 'shows encrypted payloads in the Temporal Web UI.');

/** A page of the Web UI requests many payloads at once. `failure` slows down a client that guesses keys. */
const LIMITS = { key: { perSecond: 500, burst: 1_000 }, failure: { perSecond: 5, burst: 50 } };

const { config, keys } = loadedOrExit(() => {
  const found = { config: loadCodecServerConfig(), keys: loadPayloadKeys() };
  if (found.keys === null) throw new ConfigError('TEMPORAL_CODEC_KEY: is not set');
  return { ...found, keys: found.keys };
});
const log = createLog('codec', config.logLevel);
tellMisspelt((line) => log.warn(line));
const pool = createPool({
  url: config.database.url,
  role: 'app_api',
  applicationName: 'deposit-codec',
  max: 4,
  onIdleError: (error) => log.warn({ error: error.message }, 'database connection lost'),
});
const codec = createPayloadCodec(keys);
const access = createAccess(LIMITS);
const listener = await listen(createCodecServer({ pool, access, codec, origin: config.origin, log }), config.listen);
void warnOfLogging(pool, log);
log.info({ codec: listener.url, origin: config.origin }, 'codec ready');

stopOnSignal('codec server', () => listener.close().then(() => pool.end()), log);

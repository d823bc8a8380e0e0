import { createSealer, sealKey } from '../config/keys/inbox-seal.ts';
import { watchKeys } from '../config/keys/key-watch.ts';
import { mapKeyring } from '../config/keys/keyring.ts';
import type { CallbacksConfig } from '../config/settings/callbacks.ts';
import type { Log } from '../telemetry/log.ts';
import { tellAccepted } from '../database/queries/callbacks.ts';
import { warnOfCatalogue } from '../database/schema/catalogue.ts';
import { watchClock } from '../database/clock-watch.ts';
import { isEmpty } from '../database/queries/deposits.ts';
import { warnOfLogging } from '../database/log-settings.ts';
import { refuseWrongSession } from '../database/pool.ts';
import { warnOfSealKey } from '../database/queries/seal-macs.ts';
import { nameKeys } from '../providers/key-names.ts';
import { callbackOverlaps, openCallbackListener, recognitionKeys } from './callback-listener.ts';
import { createHealthApp } from './health.ts';
import { listen, LISTENER_LIMITS } from './http/http.ts';
import { openPools } from './pools.ts';
import { countUnderWay } from '../intake/admission-control.ts';
import { createWitness } from '../intake/receive-callback.ts';
import { createBackgroundSignals } from '../intake/signal-workflow.ts';
import type { RunningApi } from './start.ts';

/**
 * Starts the public listener alone, with its health: it uses the database but not Temporal. It notifies an API process
 * of a stored callback, which raises it. Throws when a listener's address is taken, and `WrongSession` if a database
 * session lacks its requested settings.
 */
export async function startCallbacks(config: CallbacksConfig, log: Log): Promise<RunningApi> {
  const pools = openPools(config.database.url, config.connections, log);
  const { rings } = config.keys;
  try {
    await refuseWrongSession(pools.private);
    await warnOfLogging(pools.private, log);
    await warnOfSealKey(pools.private, log, sealKey(rings.inboxSeal.current).id);
  } catch (error) {
    await pools.end();
    throw error;
  }
  // The start does not wait for it.
  void warnOfCatalogue(pools.private, log);
  const callbacks = countUnderWay();
  const signals = createBackgroundSignals(log, callbacks.isBurst);
  let accepting = true;
  let mayBeEmpty = config.restoredFromEmpty;

  const healthListener = await listen(
    createHealthApp({
      isAccepting: () => accepting,
      isDatabaseUp: () => pools.isWritable(),
      refused: createWitness({ ...recognitionKeys(rings), log }),
      log,
    }),
    config.apiListen,
    LISTENER_LIMITS,
    log,
  );
  const callbackListener = await openCallbackListener({
    config,
    rings,
    underWay: callbacks,
    pool: pools.callbacks,
    seal: createSealer(mapKeyring(rings.inboxSeal, sealKey)),
    signal: ({ id }) => signals.begin(id, () => tellAccepted(pools.relay, id)),
    // This process cannot ask whether Temporal knows deposits. An API does, and then does not start
    // (docs/guides/restore.md).
    isEmpty: async () => {
      mayBeEmpty ||= !(await isEmpty(pools.callbacks));
      return !mayBeEmpty;
    },
    log,
  });
  const stopWatching = watchKeys(config.keys, { overlapMs: callbackOverlaps(config.settings), show: nameKeys, log });
  const stopClock = watchClock(pools.private, log);
  return {
    apiUrl: healthListener.url,
    callbackUrl: callbackListener.url,
    async close() {
      accepting = false;
      stopWatching();
      stopClock();
      await Promise.all([healthListener.close(), callbackListener.close()]);
      await signals.drain();
      await pools.end();
    },
  };
}

import type { Client } from '@temporalio/client';
import { refuseIfForgotten } from '../database/empty-database.ts';
import { watchKeys } from '../config/keys/key-watch.ts';
import { mapKeyring } from '../config/keys/keyring.ts';
import type { ApiConfig } from '../config/settings/api.ts';
import type { Log } from '../telemetry/log.ts';
import { watchClock } from '../database/clock-watch.ts';
import { listenerName } from '../database/queries/callbacks.ts';
import { findVersions, isEmpty, SETTLED_CHANNEL } from '../database/queries/deposits.ts';
import { PUBLISHED_CHANNEL } from '../database/queries/events.ts';
import { warnOfCatalogue } from '../database/schema/catalogue.ts';
import { warnOfLogging } from '../database/log-settings.ts';
import { warnOfSealKey } from '../database/queries/seal-macs.ts';
import { openConnection, refuseWrongSession } from '../database/pool.ts';
import { createSealer, sealKey, sealPublicKeys } from '../config/keys/inbox-seal.ts';
import { createAccess } from './http/authenticate.ts';
import { nameKeys } from '../providers/key-names.ts';
import { callbackOverlaps, openCallbackListener, recognitionKeys } from './callback-listener.ts';
import { listen, LISTENER_LIMITS } from './http/http.ts';
import { createInternalApp } from './private-app.ts';
import { createDepositWaiter } from './routes/deposit-waiter.ts';
import { countUnderWay, limitPerKey } from '../intake/admission-control.ts';
import { startNotificationListener } from '../database/notification-listener.ts';
import { openPools } from './pools.ts';
import { createWitness } from '../intake/receive-callback.ts';
import { createBackgroundSignals, signalCallback, signalCallbackById } from '../intake/signal-workflow.ts';
import { RELAY_TIMES, type RelayTimes, startRelay } from '../intake/relay/relay.ts';
import { createPlacementWaiter } from '../intake/placement-waiter.ts';

export interface RunningApi {
  readonly apiUrl: string;
  readonly callbackUrl: string;
  /** Turns readiness off, closes the listeners, finishes requests and signals under way, then closes the database. */
  close(): Promise<void>;
}

const TEMPORAL_PROBE_MS = 1_000;

/**
 * Wires the API together. Throws when a listener's address is taken, `ForgottenError` on a database that was lost, and
 * `WrongSession` if a database session lacks its requested settings.
 */
export async function startApi(
  config: ApiConfig,
  client: Client,
  log: Log,
  relayTimes: RelayTimes = RELAY_TIMES,
): Promise<RunningApi> {
  const { url } = config.database;
  const pools = openPools(url, config.connections, log);
  const refuse = async () => {
    await refuseWrongSession(pools.private);
    await warnOfLogging(pools.private, log);
    await warnOfSealKey(pools.private, log, sealKey(config.keys.rings.inboxSeal.current).id);
    await refuseIfForgotten(() => isEmpty(pools.private), client, config.restoredFromEmpty);
    // The start does not wait for it.
    void warnOfCatalogue(pools.private, log);
  };
  await refuse().catch(async (error: unknown) => {
    await pools.end();
    throw error;
  });
  const settled = createPlacementWaiter();
  const changes = createDepositWaiter((orderNumbers) => findVersions(pools.private, orderNumbers));
  const callbacks = countUnderWay();
  const signals = createBackgroundSignals(log, callbacks.isBurst);
  const signaling = { pool: pools.relay, client, log };
  const me = listenerName();
  const listening = startNotificationListener(
    () => openConnection({ url, role: 'app_api', applicationName: me }),
    {
      [SETTLED_CHANNEL]: (externalOrderNumber) => settled.wake(externalOrderNumber),
      [PUBLISHED_CHANNEL]: () => changes.wake(),
      // From a process that only takes callbacks.
      [me]: (inboxId) => {
        if (/^\d{1,18}$/.test(inboxId)) signals.begin(inboxId, () => signalCallbackById(signaling, inboxId));
      },
    },
    log,
  );
  const { rings } = config.keys;
  const seal = createSealer(mapKeyring(rings.inboxSeal, sealKey));
  const sealKeys = mapKeyring(rings.inboxSealPublic, sealPublicKeys);
  let accepting = true;

  const internal = createInternalApp({
    pool: pools.private,
    client,
    settled,
    changes,
    log,
    access: createAccess(config.limits),
    settings: config.settings,
    fingerprintKeys: rings.fingerprint,
    payerNameKeys: rings.payerName,
    archiveDirectory: config.archiveDirectory,
    seal,
    sealTrust: () => ({ publicKeys: sealKeys.current, epoch: config.sealEpoch }),
    endpointSecrets: config.endpointSecrets,
    targets: config.targets,
    links: config.links,
    signatures: config.signatures,
    webUi: { url: config.temporalUiUrl, namespace: client.options.namespace },
    limitPerKey: limitPerKey(),
    isAccepting: () => accepting,
    isDatabaseUp: () => pools.isWritable(),
    isTemporalUp: () => isTemporalUp(client),
    refused: createWitness({ ...recognitionKeys(rings), log }),
  });
  const apiListener = await listen(internal, config.apiListen, LISTENER_LIMITS, log);
  const callbackListener = await openCallbackListener({
    config,
    rings,
    underWay: callbacks,
    pool: pools.callbacks,
    seal,
    signal: (callback) => signals.begin(callback.id, () => signalCallback(signaling, callback)),
    log,
  });
  const stopWatching = watchKeys(config.keys, { overlapMs: callbackOverlaps(config.settings), show: nameKeys, log });
  const stopClock = watchClock(pools.private, log);
  const relay = startRelay({ pool: pools.relay, client, log, seal }, relayTimes);
  return {
    apiUrl: apiListener.url,
    callbackUrl: callbackListener.url,
    async close() {
      accepting = false;
      changes.close();
      stopWatching();
      stopClock();
      await Promise.all([apiListener.close(), callbackListener.close(), relay.close()]);
      await listening.close();
      await signals.drain();
      await pools.end();
    },
  };
}

/** Whether Temporal responds and has our namespace: without the namespace it is of no use. */
async function isTemporalUp(client: Client): Promise<boolean> {
  try {
    await client.withDeadline(Date.now() + TEMPORAL_PROBE_MS, () =>
      client.workflowService.describeNamespace({ namespace: client.options.namespace }),
    );
    return true;
  } catch {
    return false;
  }
}

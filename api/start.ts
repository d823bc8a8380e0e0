import type { Client } from '@temporalio/client';
import { refuseIfForgotten } from '../config/forgotten.ts';
import { watchKeys } from '../config/key-watch.ts';
import { mapKeyring } from '../config/keyring.ts';
import type { ApiConfig } from '../config/load.ts';
import { type Log, raiseAlarm } from '../config/log.ts';
import { watchClock } from '../database/clock-watch.ts';
import { isEmpty } from '../database/deposits.ts';
import { warnOfCatalogue } from '../database/catalogue.ts';
import { warnOfLogging } from '../database/log-settings.ts';
import { warnOfSealKey } from '../database/seal-macs.ts';
import { openConnection, refuseWrongSession } from '../database/pool.ts';
import { capabilityKey } from '../mtpay/capability.ts';
import { createProviderClock } from '../mtpay/clock.ts';
import { createSealer, sealKey, sealPublicKeys } from '../config/inbox-seal.ts';
import { nameKeys } from '../mtpay/key-names.ts';
import { createAccess } from './authenticate.ts';
import { createCallbackApp } from './callback.ts';
import { listen, LISTENER_LIMITS } from './http.ts';
import { createInternalApp } from './internal.ts';
import { limitPerKey, takeTurns } from './limits.ts';
import { openPools } from './pools.ts';
import { createRaiser } from './raise.ts';
import { createReceiver } from './receive-callback.ts';
import { RELAY_TIMES, type RelayTimes, startRelay } from './relay.ts';
import { createSettled } from './settled.ts';

export interface RunningApi {
  readonly apiUrl: string;
  readonly callbackUrl: string;
  /** Readiness off, listeners closed, requests and signals under way finished, then the database. */
  close(): Promise<void>;
}

const TEMPORAL_PROBE_MS = 1_000;

/**
 * Wires the API together. Throws when a listener's address is taken, `ForgottenError` on a database that was lost, and
 * `WrongSession` where a session is not what was asked for.
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
    // Nothing waits for it.
    void warnOfCatalogue(pools.private, log);
  };
  await refuse().catch(async (error: unknown) => {
    await pools.end();
    throw error;
  });
  const settled = createSettled(
    () => openConnection({ url, role: 'app_api', applicationName: 'deposit-api-listen' }),
    log,
  );
  const raiser = createRaiser({ pool: pools.relay, client, log });
  const { rings } = config.keys;
  const seal = createSealer(mapKeyring(rings.inboxSeal, sealKey));
  const sealKeys = mapKeyring(rings.inboxSealPublic, sealPublicKeys);
  let accepting = true;

  const internal = createInternalApp({
    pool: pools.private,
    client,
    settled,
    log,
    access: createAccess(config.limits),
    settings: config.settings,
    fingerprintKeys: rings.fingerprint,
    payerNameKeys: rings.payerName,
    archiveDirectory: config.archiveDirectory,
    seal,
    sealTrust: () => ({ publicKeys: sealKeys.current, epoch: config.sealEpoch }),
    links: config.links,
    signatures: config.signatures,
    webUi: { url: config.temporalUiUrl, namespace: client.options.namespace },
    limitPerKey: limitPerKey(),
    isAccepting: () => accepting,
    isDatabaseUp: () => pools.isWritable(),
    isTemporalUp: () => isTemporalUp(client),
  });
  const receiver = createReceiver({
    pool: pools.callbacks,
    log,
    mtpayKeys: rings.mtpay,
    capabilities: mapKeyring(rings.callback, capabilityKey),
    clock: createProviderClock(pools.callbacks),
    seal,
    raise: (callback) => raiser.raise(callback),
  });
  const turn = takeTurns();
  const callbacks = createCallbackApp({
    receiver: {
      ...receiver,
      receive: async (request) => {
        await turn().catch((error: unknown) => {
          raiseAlarm(log, 'callback_not_stored', { error: 'TooManyWait' });
          throw error;
        });
        return receiver.receive(request);
      },
    },
    ack: config.ack,
    log,
  });

  const apiListener = await listen(internal, config.apiListen, LISTENER_LIMITS, log);
  const callbackListener = await listen(callbacks, config.callbackListen, LISTENER_LIMITS, log, receiver.refused);
  // The last callback under a key may come both windows after the last order was placed with it.
  const { paymentWindowMs, listeningWindowMs } = config.settings;
  const overlapMs = paymentWindowMs + listeningWindowMs;
  const stopWatching = watchKeys(config.keys, {
    overlapMs: { mtpay: overlapMs, callback: overlapMs },
    show: nameKeys,
    log,
  });
  const stopClock = watchClock(pools.private, log);
  const relay = startRelay({ pool: pools.relay, client, log, seal }, relayTimes);
  return {
    apiUrl: apiListener.url,
    callbackUrl: callbackListener.url,
    async close() {
      accepting = false;
      stopWatching();
      stopClock();
      await Promise.all([apiListener.close(), callbackListener.close(), relay.close()]);
      await raiser.drain();
      await settled.close();
      await pools.end();
    },
  };
}

/** Whether it has our namespace: without that the server is of no use. */
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

import type { Client } from '@temporalio/client';
import { refuseIfForgotten } from '../config/forgotten.ts';
import { watchKeys } from '../config/key-watch.ts';
import { mapKeyring } from '../config/keyring.ts';
import type { ApiConfig } from '../config/load.ts';
import type { Log } from '../config/log.ts';
import { watchClock } from '../database/clock-watch.ts';
import { isEmpty } from '../database/deposits.ts';
import { createPool } from '../database/pool.ts';
import { capabilityKey } from '../mtpay/capability.ts';
import { createProviderClock } from '../mtpay/clock.ts';
import { nameKeys } from '../mtpay/key-names.ts';
import { createAccess } from './authenticate.ts';
import { createCallbackApp } from './callback.ts';
import { listen } from './http.ts';
import { createInternalApp } from './internal.ts';
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

/** Wires the API together. Throws when a listener's address is taken, and `ForgottenError` on a database that was lost. */
export async function startApi(
  config: ApiConfig,
  client: Client,
  log: Log,
  relayTimes: RelayTimes = RELAY_TIMES,
): Promise<RunningApi> {
  const role = config.database.setRole ? { role: 'app_api' as const } : {};
  const pool = createPool({
    url: config.database.url,
    ...role,
    applicationName: 'deposit-api',
    max: 20,
    onIdleError: (error) => log.warn({ error: error.message }, 'database connection lost'),
  });
  await refuseIfForgotten(() => isEmpty(pool), client, config.restoredFromEmpty).catch(async (error: unknown) => {
    await pool.end();
    throw error;
  });
  const settled = createSettled(
    { connectionString: config.database.url, application_name: 'deposit-api-listen', connectionTimeoutMillis: 3_000 },
    log,
  );
  const raiser = createRaiser({ pool, client, log });
  const { rings } = config.keys;
  let accepting = true;

  const internal = createInternalApp({
    pool,
    client,
    settled,
    log,
    access: createAccess(config.limits),
    settings: config.settings,
    fingerprintKeys: rings.fingerprint,
    payerNameKeys: rings.payerName,
    archiveDirectory: config.archiveDirectory,
    webUi: { url: config.temporalUiUrl, namespace: client.options.namespace },
    isAccepting: () => accepting,
    isTemporalUp: () => isTemporalUp(client),
  });
  const callbacks = createCallbackApp({
    receiver: createReceiver({
      pool,
      log,
      mtpayKeys: rings.mtpay,
      capabilities: mapKeyring(rings.callback, capabilityKey),
      clock: createProviderClock(pool),
      raise: (callback) => raiser.raise(callback),
    }),
    ack: config.ack,
    log,
  });

  const apiListener = await listen(internal, config.apiListen);
  const callbackListener = await listen(callbacks, config.callbackListen);
  // The last callback under a key may come both windows after the last order was placed with it.
  const { paymentWindowMs, listeningWindowMs } = config.settings;
  const overlapMs = paymentWindowMs + listeningWindowMs;
  const stopWatching = watchKeys(config.keys, {
    overlapMs: { mtpay: overlapMs, callback: overlapMs },
    show: nameKeys,
    log,
  });
  const stopClock = watchClock(pool, log);
  const relay = startRelay({ pool, client, log }, relayTimes);
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
      await pool.end();
    },
  };
}

async function isTemporalUp(client: Client): Promise<boolean> {
  try {
    await client.withDeadline(Date.now() + TEMPORAL_PROBE_MS, () =>
      client.connection.workflowService.getSystemInfo({}),
    );
    return true;
  } catch {
    return false;
  }
}

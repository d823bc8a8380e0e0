import { watchKeys } from '../config/keys/key-watch.ts';
import type { NotifierConfig } from '../config/settings/notifier.ts';
import { startNotificationListener } from '../database/notification-listener.ts';
import { createPool, openConnection, refuseWrongSession } from '../database/pool.ts';
import { forgetAnswers } from '../database/queries/notifications/deliveries.ts';
import { encryptionKeyId } from '../encoding/encryption.ts';
import { type Loop, startLoop } from '../telemetry/background-loop.ts';
import type { Log } from '../telemetry/log.ts';
import { startSender } from './sender.ts';

const CONNECTIONS = 4;
const FORGET_EVERY_MS = 60 * 60_000;
const FORGET_AT_ONCE = 1_000;

/** Wires the notifier together. Throws `WrongSession` when a database session is not the requested one. */
export async function startNotifier(config: NotifierConfig, log: Log): Promise<Loop> {
  const as = { url: config.database.url, role: 'app_notifier', applicationName: 'deposit-notifier' } as const;
  const pool = createPool({
    ...as,
    max: CONNECTIONS,
    onIdleError: (error) => log.warn({ error: error.message }, 'database connection lost'),
  });
  try {
    await refuseWrongSession(pool);
  } catch (error) {
    await pool.end();
    throw error;
  }
  const { targets, ca, atOnce, keys } = config;
  const stopWatching = watchKeys(keys, {
    overlapMs: {},
    show: ({ endpointSecret }) => ({ endpointSecret: encryptionKeyId(endpointSecret.current, 'endpoint-secret') }),
    log,
  });
  const sender = startSender({ pool, secrets: keys.rings.endpointSecret, targets, ca, atOnce, log });
  const listener = startNotificationListener(
    () => openConnection({ ...as, applicationName: 'deposit-notifier-listens' }),
    { event_published: () => sender.wake() },
    log,
  );
  const forgetting = startLoop({
    work: async () => ((await forgetAnswers(pool, FORGET_AT_ONCE)) < FORGET_AT_ONCE ? FORGET_EVERY_MS : 0),
    failed: () => FORGET_EVERY_MS,
  });
  return {
    async close() {
      stopWatching();
      await Promise.all([listener.close(), sender.close(), forgetting.close()]);
      await pool.end();
    },
  };
}

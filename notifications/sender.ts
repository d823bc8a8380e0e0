import type pg from 'pg';
import type { Keyring } from '../config/keys/keyring.ts';
import type { Secret } from '../config/keys/secret.ts';
import type { TargetRules } from '../config/settings/notifications.ts';
import {
  type AttemptResult,
  claimDeliveries,
  type ClaimedDelivery,
  settleDeliveries,
} from '../database/queries/notifications/deliveries.ts';
import { type Loop, startLoop } from '../telemetry/background-loop.ts';
import { raiseAlarm } from '../telemetry/alarms.ts';
import { crashPoint } from '../telemetry/crash-points.ts';
import type { Log } from '../telemetry/log.ts';
import { openEndpointSecret } from './endpoint-secrets.ts';
import { postOnce } from './post.ts';
import { signatureHeaders } from './signature.ts';
import { type Lookup, parseTarget } from './target.ts';

export interface SenderDependencies {
  readonly pool: pg.Pool;
  readonly secrets: Keyring<Secret>;
  readonly targets: TargetRules;
  /** Authorities as PEM, trusted in addition to Node's own. */
  readonly ca?: string | undefined;
  /** Messages under way at once. */
  readonly atOnce: number;
  readonly lookup?: Lookup;
  readonly log: Log;
}

export interface Sender extends Loop {
  /** Looks for messages now: something was published. */
  wake(): void;
}

/** In case a notification is lost; also how late a repeated message may be. */
const LOOK_EVERY_MS = 1_000;
/** Answers that arrive within this time are recorded together, and their places are filled together. */
const GATHER_MS = 5;
const AFTER_FAILURE_MS = 1_000;

/**
 * Sends events to endpoints (docs/reference/webhooks.md). All state is in the database: any number of senders may run,
 * and one that is killed loses nothing. `close` waits for the messages that are under way.
 */
export function startSender(deps: SenderDependencies): Sender {
  const { pool, log } = deps;
  const finished: AttemptResult[] = [];
  const underWay = new Set<Promise<void>>();
  let wake = () => undefined as void;
  let isWoken = false;
  const wakeUp = () => {
    isWoken = true;
    wake();
  };

  async function send(one: ClaimedDelivery): Promise<void> {
    const result = await attempt(deps, one);
    crashPoint('notify.afterAnswer');
    finished.push(result);
    wakeUp();
  }

  async function settle(): Promise<void> {
    const results = finished.splice(0);
    if (results.length === 0) return;
    try {
      for (const { endpoint, alarm } of await settleDeliveries(pool, results))
        raiseAlarm(log, alarm, { key: endpoint });
    } catch (error) {
      finished.unshift(...results);
      throw error;
    }
  }

  const work = async (stop: AbortSignal): Promise<number> => {
    isWoken = false;
    await settle();
    const room = stop.aborted ? 0 : deps.atOnce - underWay.size;
    const claimed = room === 0 ? [] : await claimDeliveries(pool, room);
    if (claimed.length > 0) crashPoint('notify.afterClaim');
    for (const one of claimed) {
      const sending = send(one);
      underWay.add(sending);
      void sending.finally(() => underWay.delete(sending));
    }
    // A full look may have left messages behind.
    if (claimed.length === 0 && !isWoken) await asleep(stop);
    return GATHER_MS;
  };

  const asleep = (stop: AbortSignal): Promise<void> =>
    new Promise((resolve) => {
      const end = () => {
        clearTimeout(timer);
        stop.removeEventListener('abort', end);
        wake = () => undefined;
        resolve();
      };
      const timer = setTimeout(end, LOOK_EVERY_MS);
      stop.addEventListener('abort', end, { once: true });
      wake = end;
    });

  const loop = startLoop({
    work,
    failed(error, failures) {
      if (failures === 1)
        log.warn({ error: (error as Error).message }, 'the database is away: nothing is sent meanwhile');
      return AFTER_FAILURE_MS;
    },
  });
  return {
    wake: wakeUp,
    async close() {
      await loop.close();
      await Promise.all(underWay);
      // What cannot be recorded now is sent again after its lease.
      await settle().catch((error: Error) => log.warn({ error: error.message }, 'the last answers are not recorded'));
    },
  };
}

/** Never throws. */
async function attempt(deps: SenderDependencies, one: ClaimedDelivery): Promise<AttemptResult> {
  const none = { attempt: one.attempt, status: null, answer: null, waitMs: null };
  const message = signed(deps, one);
  if (message === null) return { ...none, fault: 'secret_unreadable', ms: 0 };
  const target = parseTarget(one.url, deps.targets);
  if ('fault' in target) return { ...none, fault: target.fault, ms: 0 };
  const { targets: rules, ca, lookup } = deps;
  const found = await postOnce(target, message, {
    rules,
    ...(ca === undefined ? {} : { ca }),
    ...(lookup === undefined ? {} : { lookup }),
  });
  if ('fault' in found) return { ...none, fault: found.fault, ms: found.ms };
  const { status, ms, answer, retryAfterMs } = found;
  return { attempt: one.attempt, status, fault: null, ms, answer, waitMs: retryAfterMs };
}

/** Null: a secret cannot be decrypted. */
function signed({ secrets, log }: SenderDependencies, one: ClaimedDelivery) {
  try {
    const opened = [openEndpointSecret(secrets, one.owner, one.secret), ...before(secrets, one)];
    const timestamp = Math.floor(Date.now() / 1_000);
    return {
      body: one.body,
      headers: {
        'content-type': 'application/json',
        'user-agent': 'deposit-engine',
        ...signatureHeaders({ id: one.name, timestamp, body: one.body }, opened),
        ...(one.isRedelivery ? { 'webhook-redelivery': 'true' } : {}),
      },
    };
  } catch (error) {
    log.error(
      { endpoint: `ep_${one.endpoint}`, error: (error as Error).name },
      'the secret of an endpoint cannot be read',
    );
    return null;
  }
}

/** The secret of before signs as well; not once its key has gone, when the present one is enough. */
function before(secrets: Keyring<Secret>, { owner, secretBefore }: ClaimedDelivery): string[] {
  try {
    return secretBefore === null ? [] : [openEndpointSecret(secrets, owner, secretBefore)];
  } catch {
    return [];
  }
}

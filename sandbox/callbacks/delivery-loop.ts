import type pg from 'pg';
import type { Logger } from 'pino';
import { parseAckForm } from '../wire/acknowledgement.ts';
import { combineAttempt } from '../faults/attempt-faults.ts';
import { callbackBody, fieldsOf, withFields } from '../wire/callback-body.ts';
import { callbackUrlProblem } from '../wire/callback-hosts.ts';
import { sendCallback } from './callback-sender.ts';
import { decimal, toText } from '../wire/decimal.ts';
import {
  type AttemptResult,
  beginAttempt,
  finishAttempt,
  type LeasedDelivery,
  leaseDue,
  readHeld,
  untilNextDue,
} from './deliveries.ts';
import { drawAttemptFaults } from '../faults/faults.ts';
import { expireOrders, ordersToRelease } from '../orders/orders.ts';
import { releaseOrder } from './release.ts';
import type { Settings } from '../settings.ts';
import { zonelessTime } from '../wire/zoneless-time.ts';

export interface LoopParts {
  readonly pool: pg.Pool;
  readonly logger: Logger;
  readonly settings: () => Settings;
  readonly concurrency: number;
  readonly timeZone: string;
}

/** Expires and releases orders and sends callbacks when they are due. All its state is in the database. */
export interface DeliveryLoop {
  /** Wakes the loop: something may be due earlier than it expects. */
  wake(): void;
  /** Sends a delivery that the caller has leased; resolves when its attempt is over. */
  sendHeld(id: number): Promise<void>;
  /** Starts no new work and waits for the running attempts. */
  stop(): Promise<void>;
}

/** The longest sleep of the loop, and its wait after a database error. */
const IDLE_MS = 1_000;
/** The shortest sleep, while something is due that the loop cannot take. */
const BUSY_MS = 5;
/** The time until an attempt without a result counts as lost: its longest duration, and time to record it. */
const leaseMs = (settings: Settings): number => settings.answerTimeoutMs + 2_000;

export function startDeliveryLoop(parts: LoopParts): DeliveryLoop {
  const { pool, logger, settings, concurrency } = parts;
  const underWay = new Set<Promise<void>>();
  const stopping = new AbortController();
  let wakeUp = (): void => undefined;
  let woken = false;

  const wake = (): void => {
    woken = true;
    wakeUp();
  };

  async function sleep(ms: number): Promise<void> {
    if (!woken) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, ms);
        wakeUp = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
    woken = false;
  }

  /** Starts an attempt. If it fails through our own fault, it keeps its lease and is repeated when the lease ends. */
  function start(delivery: LeasedDelivery): Promise<void> {
    const sending = attempt(parts, delivery)
      .catch((error: Error) => logger.error({ deliveryId: delivery.id, reason: error.message }, 'attempt not recorded'))
      .finally(() => {
        underWay.delete(sending);
        wake();
      });
    underWay.add(sending);
    return sending;
  }

  /** Does everything that is due; resolves to the milliseconds until the next work. */
  async function pass(): Promise<number> {
    await expireOrders(pool);
    for (const id of await ordersToRelease(pool, concurrency)) await releaseOrder(pool, id);
    const free = concurrency - underWay.size;
    if (free <= 0) return IDLE_MS;
    for (const delivery of await leaseDue(pool, free, leaseMs(settings()), settings().signsWith)) void start(delivery);
    if (underWay.size >= concurrency) return IDLE_MS;
    const next = await untilNextDue(pool);
    return Math.min(IDLE_MS, Math.max(BUSY_MS, next ?? IDLE_MS));
  }

  /** Runs until it is stopped. A database error does not end it: the failed work is still due at the next pass. */
  async function run(): Promise<void> {
    while (!stopping.signal.aborted) {
      const pauseMs = await pass().catch((error: Error) => {
        logger.error({ reason: error.message }, 'delivery loop could not look for work');
        return IDLE_MS;
      });
      if (!stopping.signal.aborted) await sleep(pauseMs);
    }
  }

  const running = run();
  return {
    wake,
    sendHeld: async (id) => start(await readHeld(pool, id, settings().signsWith)),
    stop: async () => {
      stopping.abort();
      wake();
      await running;
      await Promise.all(underWay);
    },
  };
}

async function attempt(parts: LoopParts, delivery: LeasedDelivery): Promise<void> {
  const { pool, logger, timeZone } = parts;
  const settings = parts.settings();
  const faults = combineAttempt((await drawAttemptFaults(pool, delivery.externalOrderNumber)).effects);
  const baseStampMs = settings.resign === 'same' ? (delivery.firstStampMs ?? Date.now()) : Date.now();
  const body = callbackBody(delivery, baseStampMs, fieldsToTell(delivery, timeZone), faults);
  const stampMs = baseStampMs + faults.stampOffsetMs;
  const open = await beginAttempt(pool, delivery, { stampMs, baseStampMs, body });
  const result = await call(delivery.callbackUrl, body, settings);
  const counted = faults.ignoreAck ? unnoticed(result) : result;
  const state = await finishAttempt(pool, open, counted, settings);
  const { id: deliveryId, externalOrderNumber, retry } = delivery;
  const { outcome, httpStatus, problem, tookMs } = counted;
  logger.info({ externalOrderNumber, deliveryId, retry, outcome, httpStatus, problem, tookMs, state }, 'callback');
}

function fieldsToTell(delivery: LeasedDelivery, timeZone: string) {
  const facts = {
    ...delivery,
    transactionAmount: toText(decimal(delivery.transactionAmount), 2),
    paymentPrice: toText(decimal(delivery.paymentPrice), 2),
    transactionCreateTime: zonelessTime(delivery.createdAt, timeZone),
    paymentFinishedTime: zonelessTime(delivery.finishedAt, timeZone),
  };
  return withFields(fieldsOf(facts), new Map(Object.entries(delivery.overrides)));
}

async function call(url: string, body: string, settings: Settings): Promise<AttemptResult> {
  const problem = callbackUrlProblem(url, settings.callbackHosts);
  if (problem !== null) {
    const nothing = { httpStatus: null, contentType: null, answerPrefix: null };
    return { outcome: 'NO_ANSWER', ...nothing, problem: `not sent: callbackUrl ${problem}`, tookMs: 0 };
  }
  const accepted = settings.acks.map((form) => parseAckForm(form)!);
  return sendCallback(url, body, accepted, settings.answerTimeoutMs);
}

const unnoticed = (result: AttemptResult): AttemptResult =>
  result.outcome === 'ACKNOWLEDGED'
    ? { ...result, outcome: 'REFUSED', problem: 'acknowledged, but a fault ignores it' }
    : result;

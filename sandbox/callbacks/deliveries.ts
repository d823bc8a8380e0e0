import type pg from 'pg';
import { inTransaction } from '../database.ts';
import { record } from '../event-log.ts';
import { RETRIES, retryDue } from '../wire/retry-schedule.ts';
import type { Settings } from '../settings.ts';
import { sha256 } from '../wire/signature.ts';

/** PENDING: an attempt is due or running. FAILED: the documents call it "Callback Failed". */
export type DeliveryState = 'PENDING' | 'ACKNOWLEDGED' | 'FAILED';

/** A delivery that one sender has leased, with everything for its next attempt. */
export interface LeasedDelivery {
  readonly id: number;
  readonly externalOrderNumber: string;
  readonly callbackUrl: string;
  /** The key that signs. */
  readonly accessKey: string;
  readonly secretKey: string;
  /** The key that placed the order and its header timestamp; null for orders made before that was kept. */
  readonly placement: { readonly accessKey: string; readonly secretKey: string; readonly stamp: string } | null;
  /** 0 for the first delivery, 1 to 16 for the retries of the table, more for manual retries. */
  readonly retry: number;
  readonly overrides: Readonly<Record<string, string>>;
  readonly transactionCode: string;
  readonly transactionAmount: string;
  readonly paymentPrice: string;
  readonly currencyCode: string;
  readonly createdAt: Date;
  readonly finishedAt: Date;
  /** One attempt and no retries. */
  readonly single: boolean;
  /** Timestamp of the first attempt, before faults changed it; null before that attempt. */
  readonly firstStampMs: number | null;
}

const LEASED = `d.id, d.next_retry AS retry, d.single, d.overrides, d.first_stamp::float8 AS "firstStampMs",
  o.external_order_number AS "externalOrderNumber", o.callback_url AS "callbackUrl",
  o.currency_code AS "currencyCode", signing.access_key AS "accessKey", signing.secret_key AS "secretKey",
  CASE WHEN o.placed_stamp IS NOT NULL THEN jsonb_build_object(
    'accessKey', k.access_key, 'secretKey', k.secret_key, 'stamp', o.placed_stamp) END AS placement, t.transaction_code AS "transactionCode",
  t.transaction_amount AS "transactionAmount", t.payment_price AS "paymentPrice", t.created_at AS "createdAt",
  t.finished_at AS "finishedAt"`;

/**
 * A disabled key signs no more: the newest key in force signs instead. If the merchant has disabled every key, the
 * placing key still signs.
 */
const joined = (signsWith: Settings['signsWith']): string => `sandbox.buy_order o
  JOIN sandbox.access_key k ON k.access_key = o.access_key
  CROSS JOIN LATERAL (
    SELECT c.access_key, c.secret_key FROM sandbox.access_key c
    WHERE c.revoked_at IS NULL OR c.revoked_at > now() OR c.access_key = k.access_key
    ORDER BY (c.revoked_at IS NULL OR c.revoked_at > now()) DESC,
      ${signsWith === 'placing' ? '(c.access_key = k.access_key) DESC,' : ''} c.position DESC LIMIT 1
  ) signing, sandbox.transaction t
  WHERE o.id = d.order_id AND t.transaction_code = d.transaction_code`;

/** True for a delivery that does not wait for another, pending one. */
const FREE = `NOT EXISTS (SELECT FROM sandbox.delivery p WHERE p.id = d.after_delivery AND p.state = 'PENDING')`;

/**
 * Leases up to `limit` deliveries that are due. Skips rows that another sender has locked. An expired lease counts as
 * none: its sender was killed.
 */
export async function leaseDue(
  pool: pg.Pool,
  limit: number,
  leaseMs: number,
  signsWith: Settings['signsWith'],
): Promise<LeasedDelivery[]> {
  const { rows } = await pool.query<LeasedDelivery>(
    `WITH due AS (
       SELECT d.id FROM sandbox.delivery d
       WHERE d.state = 'PENDING' AND d.next_attempt_at <= now() AND (d.lease_until IS NULL OR d.lease_until <= now())
         AND ${FREE}
       ORDER BY d.next_attempt_at, d.id LIMIT $1 FOR UPDATE OF d SKIP LOCKED
     ), leased AS (
       UPDATE sandbox.delivery d SET lease_until = now() + $2 * interval '1 ms' FROM due WHERE d.id = due.id RETURNING d.*
     )
     SELECT ${LEASED} FROM leased d, ${joined(signsWith)} ORDER BY d.id`,
    [limit, leaseMs],
  );
  return rows;
}

/** Reads a delivery that was inserted with a lease for the caller. */
export async function readHeld(pool: pg.Pool, id: number, signsWith: Settings['signsWith']): Promise<LeasedDelivery> {
  const { rows } = await pool.query<LeasedDelivery>(
    `SELECT ${LEASED} FROM sandbox.delivery d, ${joined(signsWith)} AND d.id = $1`,
    [id],
  );
  return rows[0]!;
}

export interface OpenAttempt {
  readonly id: number;
  readonly delivery: LeasedDelivery;
}

/**
 * Records an attempt before it is sent, so that every attempt is recorded. An earlier attempt that is still open
 * belongs to a process that died: its outcome is unknown, and this one repeats its step of the schedule.
 */
export async function beginAttempt(
  pool: pg.Pool,
  delivery: LeasedDelivery,
  sending: { readonly stampMs: number; readonly baseStampMs: number; readonly body: string },
): Promise<OpenAttempt> {
  return inTransaction(pool, async (client) => {
    const lost = await client.query(
      `UPDATE sandbox.attempt SET outcome = 'UNKNOWN' WHERE delivery_id = $1 AND outcome = 'SENDING'`,
      [delivery.id],
    );
    const repeated = (lost.rowCount ?? 0) > 0;
    const { rows } = await client.query<{ id: number }>(
      `INSERT INTO sandbox.attempt (delivery_id, retry, repeated, due_at, stamp, body)
       SELECT id, next_retry, $2, next_attempt_at, $3, $4 FROM sandbox.delivery WHERE id = $1 RETURNING id`,
      [delivery.id, repeated, sending.stampMs, sending.body],
    );
    await client.query(
      `UPDATE sandbox.delivery SET first_attempt_at = coalesce(first_attempt_at, now()),
         first_stamp = coalesce(first_stamp, $2) WHERE id = $1`,
      [delivery.id, sending.baseStampMs],
    );
    await record(client, 'callback.sending', delivery.externalOrderNumber, {
      deliveryId: delivery.id,
      attemptId: rows[0]!.id,
      transactionCode: delivery.transactionCode,
      retry: delivery.retry,
      repeated,
      timestamp: sending.stampMs,
      bodySha256: sha256(sending.body),
    });
    return { id: rows[0]!.id, delivery };
  });
}

/** The result of an attempt. */
export interface AttemptResult {
  readonly outcome: 'ACKNOWLEDGED' | 'REFUSED' | 'NO_ANSWER';
  readonly httpStatus: number | null;
  readonly contentType: string | null;
  /** The first characters of the response body. */
  readonly answerPrefix: string | null;
  /** Why the response does not acknowledge, or how the attempt failed. */
  readonly problem: string | null;
  readonly tookMs: number;
}

/** Closes an attempt, schedules the next step, and returns the new state of the delivery. */
export async function finishAttempt(
  pool: pg.Pool,
  attempt: OpenAttempt,
  result: AttemptResult,
  settings: Settings,
): Promise<DeliveryState> {
  const { delivery } = attempt;
  return inTransaction(pool, async (client) => {
    await client.query(
      `UPDATE sandbox.attempt SET outcome = $2, http_status = $3, content_type = $4, answer_prefix = $5, problem = $6,
         took_ms = $7 WHERE id = $1`,
      [
        attempt.id,
        result.outcome,
        result.httpStatus,
        result.contentType,
        result.answerPrefix,
        result.problem,
        result.tookMs,
      ],
    );
    await record(client, 'callback.answered', delivery.externalOrderNumber, {
      deliveryId: delivery.id,
      attemptId: attempt.id,
      transactionCode: delivery.transactionCode,
      retry: delivery.retry,
      outcome: result.outcome,
      httpStatus: result.httpStatus,
      problem: result.problem,
      tookMs: result.tookMs,
    });
    if (result.outcome === 'ACKNOWLEDGED') return acknowledge(client, delivery);
    const due = delivery.single ? null : retryDue(delivery.retry + 1, settings.retryReading, settings.speed);
    return due === null ? giveUp(client, delivery) : schedule(client, attempt, due);
  });
}

async function acknowledge(client: pg.PoolClient, delivery: LeasedDelivery): Promise<DeliveryState> {
  await client.query(
    `UPDATE sandbox.delivery SET state = 'ACKNOWLEDGED', acknowledged_at = coalesce(acknowledged_at, now()),
       lease_until = NULL WHERE id = $1`,
    [delivery.id],
  );
  return 'ACKNOWLEDGED';
}

async function schedule(
  client: pg.PoolClient,
  attempt: OpenAttempt,
  due: NonNullable<ReturnType<typeof retryDue>>,
): Promise<DeliveryState> {
  await client.query(
    `UPDATE sandbox.delivery d SET next_retry = $3, lease_until = NULL,
       next_attempt_at = CASE WHEN $4 THEN d.first_attempt_at ELSE a.started_at END + $5 * interval '1 ms'
     FROM sandbox.attempt a WHERE d.id = $1 AND a.id = $2`,
    [attempt.delivery.id, attempt.id, attempt.delivery.retry + 1, due.since === 'first', due.waitMs],
  );
  return 'PENDING';
}

/** Ends a delivery after the last retry. An acknowledged delivery stays so: only a manual retry failed. */
async function giveUp(client: pg.PoolClient, delivery: LeasedDelivery): Promise<DeliveryState> {
  const { rows } = await client.query<{ state: DeliveryState }>(
    `UPDATE sandbox.delivery SET lease_until = NULL, failed_at = coalesce(failed_at, now()),
       state = CASE WHEN acknowledged_at IS NULL THEN 'FAILED' ELSE 'ACKNOWLEDGED' END
     WHERE id = $1 RETURNING state`,
    [delivery.id],
  );
  const state = rows[0]!.state;
  if (state === 'FAILED' && delivery.retry === RETRIES && !delivery.single) {
    await record(client, 'callback.failed', delivery.externalOrderNumber, {
      deliveryId: delivery.id,
      transactionCode: delivery.transactionCode,
      status: 'Callback Failed',
    });
  }
  return state;
}

/**
 * Makes a delivery due now. A pending delivery gets its next retry earlier; an acknowledged or failed one gets an
 * attempt beyond the table. Returns false if there is no such delivery or if it is being sent now.
 */
export async function retryNow(pool: pg.Pool, id: number): Promise<boolean> {
  const { rowCount } = await pool.query(
    `UPDATE sandbox.delivery SET state = 'PENDING', next_attempt_at = now(), lease_until = NULL,
       next_retry = CASE WHEN state = 'PENDING' THEN next_retry ELSE greatest(next_retry, $2) + 1 END
     WHERE id = $1 AND (lease_until IS NULL OR lease_until <= now())`,
    [id, RETRIES],
  );
  return rowCount === 1;
}

/** Returns the milliseconds until the loop's next work; negative if overdue, null if nothing is planned. */
export async function untilNextDue(pool: pg.Pool): Promise<number | null> {
  const { rows } = await pool.query<{ ms: number | null }>(
    `SELECT extract(epoch FROM least(
       (SELECT min(greatest(d.next_attempt_at, d.lease_until)) FROM sandbox.delivery d
        WHERE d.state = 'PENDING' AND ${FREE}),
       (SELECT min(release_at) FROM sandbox.buy_order WHERE state = 'PAID'),
       (SELECT min(pay_before) FROM sandbox.buy_order WHERE state = 'WAITING')
     ) - clock_timestamp())::float8 * 1000 AS ms`,
  );
  return rows[0]!.ms;
}

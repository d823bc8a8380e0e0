import type pg from 'pg';
import type { DeliveryState } from '../callbacks/deliveries.ts';
import type { Order } from './orders.ts';
import { RETRIES } from '../wire/retry-schedule.ts';

/** An attempt in the control API. */
export interface AttemptView {
  readonly id: number;
  readonly deliveryId: number;
  readonly retry: number;
  readonly repeated: boolean;
  readonly dueAt: string;
  readonly startedAt: string;
  readonly timestamp: number;
  readonly body: string;
  readonly outcome: string;
  readonly httpStatus: number | null;
  readonly contentType: string | null;
  readonly answerPrefix: string | null;
  readonly problem: string | null;
  readonly tookMs: number | null;
}

/** A delivery in the control API and the console; `progress` is a sentence for people. */
export interface DeliveryView {
  readonly id: number;
  readonly orderId: number;
  readonly transactionCode: string;
  readonly state: DeliveryState;
  readonly progress: string;
  readonly nextRetry: number;
  readonly nextAttemptAt: string | null;
  readonly sending: boolean;
  readonly attempts: readonly AttemptView[];
}

interface DeliveryRow extends Omit<DeliveryView, 'progress' | 'nextAttemptAt' | 'attempts'> {
  readonly nextAttemptAt: Date;
}

const iso = (at: Date | null): string | null => at?.toISOString() ?? null;

/** "retry 3 of 16": the last step taken, and when the next is due. */
function progressOf(row: DeliveryRow): string {
  const step = (retry: number): string => {
    if (retry === 0) return 'first delivery';
    return retry > RETRIES ? 'retry by hand' : `retry ${retry} of ${RETRIES}`;
  };
  if (row.state === 'ACKNOWLEDGED') return `acknowledged at ${step(row.nextRetry)}`;
  if (row.state === 'FAILED') return `Callback Failed after ${step(row.nextRetry)}`;
  const next = `next attempt at ${row.nextAttemptAt.toISOString()}`;
  return row.nextRetry === 0
    ? `first delivery, ${next}`
    : `${step(row.nextRetry - 1)} refused, ${step(row.nextRetry)} next, ${next}`;
}

/** Reads the deliveries of the orders with all their attempts, oldest first. */
export async function viewDeliveries(pool: pg.Pool, orderIds: readonly number[]): Promise<DeliveryView[]> {
  const deliveries = await pool.query<DeliveryRow>(
    `SELECT id, order_id AS "orderId", transaction_code AS "transactionCode", state, next_retry AS "nextRetry",
       next_attempt_at AS "nextAttemptAt", coalesce(lease_until > now(), false) AS sending
     FROM sandbox.delivery WHERE order_id = ANY ($1) ORDER BY id`,
    [orderIds],
  );
  const attempts = await pool.query<Omit<AttemptView, 'dueAt' | 'startedAt'> & { dueAt: Date; startedAt: Date }>(
    `SELECT id, delivery_id AS "deliveryId", retry, repeated, due_at AS "dueAt", started_at AS "startedAt",
       stamp::float8 AS timestamp, body, outcome, http_status AS "httpStatus", content_type AS "contentType",
       answer_prefix AS "answerPrefix", problem, took_ms AS "tookMs"
     FROM sandbox.attempt WHERE delivery_id = ANY ($1) ORDER BY id`,
    [deliveries.rows.map((row) => row.id)],
  );
  return deliveries.rows.map((row) => ({
    ...row,
    progress: progressOf(row),
    nextAttemptAt: row.state === 'PENDING' ? iso(row.nextAttemptAt) : null,
    attempts: attempts.rows
      .filter((attempt) => attempt.deliveryId === row.id)
      .map(({ dueAt, startedAt, ...attempt }) => ({
        ...attempt,
        dueAt: dueAt.toISOString(),
        startedAt: startedAt.toISOString(),
      })),
  }));
}

interface TransactionRow {
  readonly orderId: number;
  readonly transactionCode: string;
  readonly transactionAmount: string;
  readonly paymentPrice: string;
  readonly finishedAt: Date;
}

/** Returns orders with their transactions and deliveries, for `GET /control/orders/:externalOrderNumber`. */
export async function viewOrders(pool: pg.Pool, orders: readonly Order[]) {
  const ids = orders.map((order) => order.id);
  const deliveries = await viewDeliveries(pool, ids);
  const { rows } = await pool.query<TransactionRow>(
    `SELECT order_id AS "orderId", transaction_code AS "transactionCode", transaction_amount AS "transactionAmount",
       payment_price AS "paymentPrice", finished_at AS "finishedAt"
     FROM sandbox.transaction WHERE order_id = ANY ($1) ORDER BY finished_at, transaction_code`,
    [ids],
  );
  return orders.map(({ madeAt, payBefore, paidAt, releasedAt, ...order }) => ({
    ...order,
    madeAt: iso(madeAt),
    payBefore: iso(payBefore),
    paidAt: iso(paidAt),
    releasedAt: iso(releasedAt),
    transactions: rows
      .filter((transaction) => transaction.orderId === order.id)
      .map(({ finishedAt, ...transaction }) => ({ ...transaction, finishedAt: finishedAt.toISOString() })),
    deliveries: deliveries.filter((delivery) => delivery.orderId === order.id),
  }));
}

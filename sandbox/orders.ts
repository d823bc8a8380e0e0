import { randomBytes } from 'node:crypto';
import type pg from 'pg';
import type { Advertisement, BuyCoinMode, Currency, Quote } from './advertisements.ts';
import { inTransaction, type Queryable } from './database.ts';
import { toText } from './decimal.ts';
import { record } from './event-log.ts';
import type { Language, Placement } from './parameters.ts';
import type { Settings } from './settings.ts';

/**
 * The life of an order at the provider: WAITING for the payer; PAID, the payer said so and the seller has not released
 * the currency yet; RELEASED, the transaction ended; CANCELLED by the payer; EXPIRED, not paid in time.
 */
export type OrderState = 'WAITING' | 'PAID' | 'RELEASED' | 'CANCELLED' | 'EXPIRED';

export interface Order {
  readonly id: number;
  readonly externalOrderNumber: string;
  readonly nth: number;
  readonly token: string;
  readonly buyCoinMode: BuyCoinMode;
  readonly currencyCode: Currency;
  /** Amounts are decimal texts with the digits they were computed with. */
  readonly mtcAmount: string;
  readonly totalPrice: string;
  readonly unitPrice: string;
  readonly advertisementCode: string;
  readonly callbackUrl: string;
  readonly supportLanguage: Language;
  readonly payerRealName: string;
  readonly state: OrderState;
  readonly madeAt: Date;
  readonly payBefore: Date;
  readonly paidAt: Date | null;
  readonly releasedAt: Date | null;
}

const COLUMNS = `id, external_order_number AS "externalOrderNumber", nth, token, buy_coin_mode AS "buyCoinMode",
  currency_code AS "currencyCode", mtc_amount AS "mtcAmount", total_price AS "totalPrice", unit_price AS "unitPrice",
  advertisement_code AS "advertisementCode", callback_url AS "callbackUrl", support_language AS "supportLanguage",
  payer_real_name AS "payerRealName", state, made_at AS "madeAt", pay_before AS "payBefore", paid_at AS "paidAt",
  released_at AS "releasedAt"`;

export const orderByToken = async (on: Queryable, token: string): Promise<Order | null> =>
  (await on.query<Order>(`SELECT ${COLUMNS} FROM sandbox.buy_order WHERE token = $1`, [token])).rows[0] ?? null;

/** All orders made for one number, the first made first. */
export const ordersByNumber = async (on: Queryable, externalOrderNumber: string): Promise<Order[]> =>
  (
    await on.query<Order>(`SELECT ${COLUMNS} FROM sandbox.buy_order WHERE external_order_number = $1 ORDER BY nth`, [
      externalOrderNumber,
    ])
  ).rows;

/** Locks the order for the rest of the transaction. */
export const lockOrder = async (client: pg.PoolClient, id: number): Promise<Order | null> =>
  (await client.query<Order>(`SELECT ${COLUMNS} FROM sandbox.buy_order WHERE id = $1 FOR UPDATE`, [id])).rows[0] ??
  null;

export interface NewOrder {
  readonly placement: Placement;
  readonly accessKey: string;
  readonly advertisement: Advertisement;
  readonly quote: Quote;
}

/**
 * Makes an order; null if the number has one already and a repeated number is an error. The database's unique
 * constraint decides, so a hundred placements at once make one order.
 */
export async function makeOrder(pool: pg.Pool, order: NewOrder, settings: Settings): Promise<Order | null> {
  return inTransaction(pool, async (client) => {
    for (;;) {
      const made = await insertOrder(client, order, settings);
      if (made !== null) {
        await record(client, 'order.made', made.externalOrderNumber, {
          orderId: made.id,
          nth: made.nth,
          buyCoinMode: made.buyCoinMode,
          mtcAmount: made.mtcAmount,
          totalPrice: made.totalPrice,
          unitPrice: made.unitPrice,
          currencyCode: made.currencyCode,
        });
        return made;
      }
      if (settings.repeatedOrder === 'error') return null;
    }
  });
}

async function insertOrder(client: pg.PoolClient, order: NewOrder, settings: Settings): Promise<Order | null> {
  const { placement, advertisement, quote } = order;
  const { rows } = await client.query<Order>(
    `INSERT INTO sandbox.buy_order
       (external_order_number, nth, token, access_key, buy_coin_mode, currency_code, mtc_amount, total_price,
        unit_price, advertisement_code, callback_url, support_language, payer_real_name, pay_before)
     SELECT $1, CASE WHEN $2 THEN 1 + (SELECT count(*) FROM sandbox.buy_order WHERE external_order_number = $1) ELSE 1 END,
       $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, now() + $14 * interval '1 ms'
     ON CONFLICT (external_order_number, nth) DO NOTHING
     RETURNING ${COLUMNS}`,
    [
      placement.externalOrderNumber,
      settings.repeatedOrder === 'second',
      randomBytes(32).toString('base64url'),
      order.accessKey,
      placement.buyCoinMode,
      placement.currencyCode,
      toText(quote.mtcAmount, 2),
      toText(quote.totalPrice, 2),
      toText(advertisement.unitPrice, 0),
      advertisement.code,
      placement.callbackUrl,
      placement.supportLanguage,
      placement.payerRealName,
      settings.orderLifetimeMs,
    ],
  );
  return rows[0] ?? null;
}

/**
 * The payer says "I have paid". True if the order took it; false if it was not waiting any more. With `evenLate` an
 * expired order takes it too: whether MTPay allows that is not documented, and money does arrive late.
 */
export async function markPaid(pool: pg.Pool, id: number, settings: Settings, evenLate = false): Promise<boolean> {
  return inTransaction(pool, async (client) => {
    const { rows } = await client.query<{ externalOrderNumber: string }>(
      `UPDATE sandbox.buy_order SET state = 'PAID', paid_at = now(), release_at = now() + $2 * interval '1 ms'
       WHERE id = $1 AND ((state = 'WAITING' AND pay_before > now()) OR ($3 AND state IN ('WAITING', 'EXPIRED')))
       RETURNING external_order_number AS "externalOrderNumber"`,
      [id, settings.releaseDelayMs / settings.speed, evenLate],
    );
    if (rows[0] === undefined) return false;
    await record(client, 'order.paid', rows[0].externalOrderNumber, { orderId: id });
    return true;
  });
}

/** The payer gives up. False if the order was not waiting any more. */
export async function cancelOrder(pool: pg.Pool, id: number): Promise<boolean> {
  return inTransaction(pool, async (client) => {
    const { rows } = await client.query<{ externalOrderNumber: string }>(
      `UPDATE sandbox.buy_order SET state = 'CANCELLED' WHERE id = $1 AND state = 'WAITING' AND pay_before > now()
       RETURNING external_order_number AS "externalOrderNumber"`,
      [id],
    );
    if (rows[0] === undefined) return false;
    await record(client, 'order.cancelled', rows[0].externalOrderNumber, { orderId: id });
    return true;
  });
}

/** Marks orders whose time to be paid is over. */
export async function expireOrders(pool: pg.Pool): Promise<void> {
  await pool.query(
    `WITH expired AS (
       UPDATE sandbox.buy_order SET state = 'EXPIRED' WHERE state = 'WAITING' AND pay_before <= now()
       RETURNING id, external_order_number
     )
     INSERT INTO sandbox.event (kind, external_order_number, detail)
     SELECT 'order.expired', external_order_number, jsonb_build_object('orderId', id) FROM expired`,
  );
}

/** Orders whose seller is due to release the currency. */
export async function ordersToRelease(pool: pg.Pool, limit: number): Promise<number[]> {
  const { rows } = await pool.query<{ id: number }>(
    `SELECT id FROM sandbox.buy_order WHERE state = 'PAID' AND release_at <= now() ORDER BY release_at LIMIT $1`,
    [limit],
  );
  return rows.map((row) => row.id);
}

/** The orders made last, newest first. */
export const latestOrders = async (pool: pg.Pool, limit: number): Promise<Order[]> =>
  (await pool.query<Order>(`SELECT ${COLUMNS} FROM sandbox.buy_order ORDER BY id DESC LIMIT $1`, [limit])).rows;

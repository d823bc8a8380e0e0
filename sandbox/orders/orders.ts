import { randomBytes } from 'node:crypto';
import type pg from 'pg';
import { type BuyCoinMode, type Currency, giveBack, type Match, reserve, takeAgain } from './advertisements.ts';
import { inTransaction, type Queryable } from '../database.ts';
import { toText } from '../wire/decimal.ts';
import { record } from '../event-log.ts';
import type { Language, Placement } from './parameters.ts';
import { quote } from './quote.ts';
import type { Settings } from '../settings.ts';

/**
 * The states of an order at MTPay. WAITING: for the payer. PAID: the payer confirmed, and the seller has not released
 * the currency yet. RELEASED: the transaction ended. CANCELLED: by the payer. EXPIRED: not paid in time.
 */
export type OrderState = 'WAITING' | 'PAID' | 'RELEASED' | 'CANCELLED' | 'EXPIRED';

export interface Order {
  readonly id: number;
  readonly externalOrderNumber: string;
  readonly nth: number;
  readonly token: string;
  readonly buyCoinMode: BuyCoinMode;
  readonly currencyCode: Currency;
  /** Amounts are decimal texts with all computed digits. */
  readonly mtcAmount: string;
  readonly totalPrice: string;
  readonly unitPrice: string;
  /** The part of `mtcAmount` that the merchant does not receive, and the part of `totalPrice` that buys no MTC. */
  readonly feeMtc: string;
  readonly feePrice: string;
  /** The `transactionAmount` of the callback. */
  readonly reportedAmount: string;
  readonly advertisementCode: string;
  /** The key that placed the order. */
  readonly accessKey: string;
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
  fee_mtc AS "feeMtc", fee_price AS "feePrice", coalesce(reported_amount, mtc_amount) AS "reportedAmount",
  advertisement_code AS "advertisementCode", access_key AS "accessKey", callback_url AS "callbackUrl", support_language AS "supportLanguage",
  payer_real_name AS "payerRealName", state, made_at AS "madeAt", pay_before AS "payBefore", paid_at AS "paidAt",
  released_at AS "releasedAt"`;

export const orderByToken = async (on: Queryable, token: string): Promise<Order | null> =>
  (await on.query<Order>(`SELECT ${COLUMNS} FROM sandbox.buy_order WHERE token = $1`, [token])).rows[0] ?? null;

/** Reads all orders of one number, oldest first. */
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
  /** The header `timestamp` of the placement. */
  readonly stamp: string;
}

/** `repeated`: the number already has an order, and the settings make that an error. The others: {@link reserve}. */
export type Making =
  | { readonly order: Order; readonly refused: null }
  | { readonly order: null; readonly refused: 'repeated' | 'none' | 'too small' };

/**
 * Makes an order on the best offer, or returns the reason why not. The database's unique constraint decides about a
 * repeated number, and row locks decide about the MTC of an offer. So a hundred concurrent placements of one number
 * make one order and sell nothing twice.
 */
export async function makeOrder(
  pool: pg.Pool,
  asked: NewOrder,
  settings: Settings,
  mtcDecimals: number,
): Promise<Making> {
  const { buyCoinMode, asked: amount, currencyCode } = asked.placement;
  return inTransaction(pool, async (client): Promise<Making> => {
    const match = await reserve(client, currencyCode, settings.prices, (unitPrice) =>
      quote(buyCoinMode, amount, unitPrice, mtcDecimals, settings.fees),
    );
    if (typeof match === 'string') return { order: null, refused: match };
    for (;;) {
      const made = await insertOrder(client, asked, match, settings);
      if (made !== null) {
        await record(client, 'order.made', made.externalOrderNumber, {
          orderId: made.id,
          nth: made.nth,
          buyCoinMode: made.buyCoinMode,
          mtcAmount: made.mtcAmount,
          totalPrice: made.totalPrice,
          unitPrice: made.unitPrice,
          feeMtc: made.feeMtc,
          feePrice: made.feePrice,
          currencyCode: made.currencyCode,
        });
        return { order: made, refused: null };
      }
      if (settings.repeatedOrder === 'error') {
        await giveBack(client, match.advertisementCode, toText(match.quote.mtcAmount, 0));
        return { order: null, refused: 'repeated' };
      }
    }
  });
}

async function insertOrder(
  client: pg.PoolClient,
  { placement, accessKey, stamp }: NewOrder,
  { quote: quoted, unitPrice, advertisementCode }: Match,
  settings: Settings,
): Promise<Order | null> {
  const { rows } = await client.query<Order>(
    `INSERT INTO sandbox.buy_order
       (external_order_number, nth, token, access_key, buy_coin_mode, currency_code, mtc_amount, total_price,
        unit_price, advertisement_code, callback_url, support_language, payer_real_name, pay_before,
        fee_mtc, fee_price, reported_amount, placed_stamp)
     SELECT $1, CASE WHEN $2 THEN 1 + (SELECT count(*) FROM sandbox.buy_order WHERE external_order_number = $1) ELSE 1 END,
       $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, now() + $14 * interval '1 ms', $15, $16, $17, $18
     ON CONFLICT (external_order_number, nth) DO NOTHING
     RETURNING ${COLUMNS}`,
    [
      placement.externalOrderNumber,
      settings.repeatedOrder === 'second',
      randomBytes(32).toString('base64url'),
      accessKey,
      placement.buyCoinMode,
      placement.currencyCode,
      toText(quoted.mtcAmount, 2),
      toText(quoted.totalPrice, 2),
      toText(unitPrice, 0),
      advertisementCode,
      placement.callbackUrl,
      placement.supportLanguage,
      placement.payerRealName,
      settings.orderLifetimeMs,
      toText(quoted.feeMtc, 2),
      toText(quoted.feePrice, 2),
      toText(quoted.reportedAmount, 2),
      stamp,
    ],
  );
  return rows[0] ?? null;
}

/** The delay of a seller who releases only by hand: a hundred years. */
const NEVER_MS = 100 * 366 * 86_400_000;

/** Whether the payer said "I have paid" when the offer of the expired order had no MTC left for it. */
export async function isReportedTooLate(on: Queryable, order: Order): Promise<boolean> {
  const { rowCount } = await on.query(
    `SELECT FROM sandbox.event WHERE external_order_number = $1 AND kind = 'order.paidTooLate'
       AND (detail->>'orderId')::int = $2 LIMIT 1`,
    [order.externalOrderNumber, order.id],
  );
  return rowCount === 1;
}

/**
 * Records the payer's "I have paid". Returns true if the order accepts it, false if it was paid or cancelled before. An
 * expired order accepts it if its offer still has the MTC; otherwise the report is an event, and the result is false.
 * Money does arrive late, and the documents do not say whether MTPay allows that.
 */
export async function markPaid(pool: pg.Pool, id: number, settings: Settings): Promise<boolean> {
  return inTransaction(pool, async (client) => {
    const order = await lockOrder(client, id);
    if (order === null || !['WAITING', 'EXPIRED'].includes(order.state)) return false;
    if (order.state === 'EXPIRED' && !(await takeAgain(client, order.advertisementCode, order.mtcAmount))) {
      if (!(await isReportedTooLate(client, order))) {
        await record(client, 'order.paidTooLate', order.externalOrderNumber, { orderId: id });
      }
      return false;
    }
    await client.query(
      `UPDATE sandbox.buy_order SET state = 'PAID', paid_at = now(), release_at = now() + $2 * interval '1 ms'
       WHERE id = $1`,
      [id, settings.autoRelease ? settings.releaseDelayMs / settings.speed : NEVER_MS],
    );
    await record(client, 'order.paid', order.externalOrderNumber, { orderId: id });
    return true;
  });
}

/** Cancels an order for its payer and returns the MTC to the offer. False if the order was not waiting any more. */
export async function cancelOrder(pool: pg.Pool, id: number): Promise<boolean> {
  return inTransaction(pool, async (client) => {
    const { rows } = await client.query<{ number: string; code: string; mtc: string }>(
      `UPDATE sandbox.buy_order SET state = 'CANCELLED' WHERE id = $1 AND state = 'WAITING' AND pay_before > now()
       RETURNING external_order_number AS number, advertisement_code AS code, mtc_amount AS mtc`,
      [id],
    );
    if (rows[0] === undefined) return false;
    await giveBack(client, rows[0].code, rows[0].mtc);
    await record(client, 'order.cancelled', rows[0].number, { orderId: id });
    return true;
  });
}

/** Marks orders whose payment time is over as expired, and returns their MTC to the offers. */
export async function expireOrders(pool: pg.Pool): Promise<void> {
  await pool.query(
    `WITH expired AS (
       UPDATE sandbox.buy_order SET state = 'EXPIRED' WHERE state = 'WAITING' AND pay_before <= now()
       RETURNING id, external_order_number, advertisement_code, mtc_amount
     ), given_back AS (
       UPDATE sandbox.advertisement a SET remaining = a.remaining + e.mtc
       FROM (SELECT advertisement_code AS code, sum(mtc_amount) AS mtc FROM expired GROUP BY advertisement_code) e
       WHERE a.code = e.code AND a.remaining IS NOT NULL
     )
     INSERT INTO sandbox.event (kind, external_order_number, detail)
     SELECT 'order.expired', external_order_number, jsonb_build_object('orderId', id) FROM expired`,
  );
}

/** Returns the ids of orders whose release by the seller is due. */
export async function ordersToRelease(pool: pg.Pool, limit: number): Promise<number[]> {
  const { rows } = await pool.query<{ id: number }>(
    `SELECT id FROM sandbox.buy_order WHERE state = 'PAID' AND release_at <= now() ORDER BY release_at LIMIT $1`,
    [limit],
  );
  return rows.map((row) => row.id);
}

import type pg from 'pg';
import type { DeliveryState } from '../callbacks/deliveries.ts';
import type { EventDetail } from '../event-log.ts';
import type { OrderState } from '../orders/orders.ts';

/** An order in the console's list. */
export interface OrderLine {
  readonly id: number;
  readonly externalOrderNumber: string;
  readonly nth: number;
  readonly payerRealName: string;
  readonly state: OrderState;
  readonly mtcAmount: string;
  readonly totalPrice: string;
  readonly currencyCode: string;
  readonly madeAt: Date;
}

export interface OrderSearch {
  /** Part of an order number or payer's name, or a whole transaction code; '' finds all. */
  readonly text: string;
  readonly state: OrderState | null;
  /** Only orders made before this one. */
  readonly before: number | null;
  readonly limit: number;
}

/** Newest first. */
export async function searchOrders(pool: pg.Pool, search: OrderSearch): Promise<OrderLine[]> {
  const { rows } = await pool.query<OrderLine>(
    `SELECT id, external_order_number AS "externalOrderNumber", nth, payer_real_name AS "payerRealName", state,
       mtc_amount AS "mtcAmount", total_price AS "totalPrice", currency_code AS "currencyCode", made_at AS "madeAt"
     FROM sandbox.buy_order o
     WHERE ($1 = '' OR position(lower($1) IN lower(external_order_number)) > 0
            OR position(lower($1) IN lower(payer_real_name)) > 0
            OR EXISTS (SELECT FROM sandbox.transaction t WHERE t.order_id = o.id AND t.transaction_code = $1))
       AND ($2::text IS NULL OR state = $2) AND ($3::integer IS NULL OR id < $3)
     ORDER BY id DESC LIMIT $4`,
    [search.text, search.state, search.before, search.limit],
  );
  return rows;
}

/** The number of the order with that id; null if there is none. */
export async function numberOfOrder(pool: pg.Pool, id: number): Promise<string | null> {
  const { rows } = await pool.query<{ number: string }>(
    'SELECT external_order_number AS number FROM sandbox.buy_order WHERE id = $1',
    [id],
  );
  return rows[0]?.number ?? null;
}

/** A delivery with its order and the last response it got. */
export interface DeliveryLine {
  readonly id: number;
  readonly orderId: number;
  readonly externalOrderNumber: string;
  readonly callbackUrl: string;
}

/** Newest first. */
export async function searchDeliveries(
  pool: pg.Pool,
  search: { readonly state: DeliveryState | null; readonly before: number | null; readonly limit: number },
): Promise<DeliveryLine[]> {
  const { rows } = await pool.query<DeliveryLine>(
    `SELECT d.id, d.order_id AS "orderId", o.external_order_number AS "externalOrderNumber",
       o.callback_url AS "callbackUrl"
     FROM sandbox.delivery d JOIN sandbox.buy_order o ON o.id = d.order_id
     WHERE ($1::text IS NULL OR d.state = $1) AND ($2::integer IS NULL OR d.id < $2)
     ORDER BY d.id DESC LIMIT $3`,
    [search.state, search.before, search.limit],
  );
  return rows;
}

export interface EventLine {
  readonly id: number;
  readonly at: Date;
  readonly kind: string;
  readonly externalOrderNumber: string | null;
  readonly detail: EventDetail;
}

export interface EventSearch {
  /** A whole order number; '' for all. */
  readonly number: string;
  /** A kind, or its first part such as `callback`; '' for all. */
  readonly kind: string;
  readonly before: number | null;
  readonly limit: number;
}

/** Newest first, for people. A reader that must miss no event reads the control API's log forward. */
export async function searchEvents(pool: pg.Pool, search: EventSearch): Promise<EventLine[]> {
  const { rows } = await pool.query<EventLine>(
    `SELECT id::float8 AS id, at, kind, external_order_number AS "externalOrderNumber", detail FROM sandbox.event
     WHERE ($1 = '' OR external_order_number = $1) AND ($2 = '' OR kind = $2 OR starts_with(kind, $2 || '.'))
       AND ($3::bigint IS NULL OR id < $3)
     ORDER BY id DESC LIMIT $4`,
    [search.number, search.kind, search.before, search.limit],
  );
  return rows;
}

/** How many orders and deliveries there are in each state. */
export async function countStates(pool: pg.Pool): Promise<{
  readonly orders: Readonly<Record<string, number>>;
  readonly deliveries: Readonly<Record<string, number>>;
}> {
  const count = async (from: 'buy_order' | 'delivery'): Promise<Record<string, number>> => {
    const { rows } = await pool.query<{ state: string; count: number }>(
      `SELECT state, count(*)::integer AS count FROM sandbox.${from} GROUP BY state`,
    );
    return Object.fromEntries(rows.map((row) => [row.state, row.count]));
  };
  return { orders: await count('buy_order'), deliveries: await count('delivery') };
}

import { randomInt } from 'node:crypto';
import type pg from 'pg';
import { inTransaction } from '../database.ts';
import { record } from '../event-log.ts';
import { drawReleaseFaults } from '../faults/faults.ts';
import { lockOrder, type Order } from '../orders/orders.ts';
import type { ReleasePlan, ReleaseWorld } from '../faults/release-faults.ts';

/** Thirty-two characters, including digits as in the documents' sample `ATSA6E40D5FE7UZHE`. */
const CODE_CHARACTERS = '0123456789ABCDEFGHJKLMNPQRSTUVXZ';

/** `AT` and fifteen random characters: 75 bits, and the primary key rejects a repetition. */
function newTransactionCode(): string {
  return `AT${Array.from({ length: 15 }, () => CODE_CHARACTERS[randomInt(CODE_CHARACTERS.length)]).join('')}`;
}

const regularPlan = (order: Order): ReleasePlan => ({
  transactions: [
    {
      transactionCode: newTransactionCode(),
      transactionAmount: order.reportedAmount,
      paymentPrice: order.totalPrice,
    },
  ],
  deliveries: [{ transaction: 0, overrides: {}, delayMs: 0, afterFirst: false, onlyRetry: null }],
});

export interface Release {
  readonly transactionCodes: readonly string[];
  /** Deliveries leased to the caller; the delivery loop sends all others. */
  readonly heldIds: readonly number[];
}

export interface ReleaseOptions {
  /** The payer has paid again: an order that is already RELEASED gets a further transaction. */
  readonly again?: boolean;
  /** Leases deliveries that are due at once to the caller, who sends them, for this many milliseconds. */
  readonly heldMs?: number;
}

/**
 * Releases the currency as the seller: one transaction and its callback, or the faults' version of them. Returns null
 * if the order cannot be released. Order, transactions, deliveries and log entries commit together.
 */
export async function releaseOrder(pool: pg.Pool, id: number, options: ReleaseOptions = {}): Promise<Release | null> {
  return inTransaction(pool, async (client) => {
    const order = await lockOrder(client, id);
    if (order === null || order.state !== (options.again === true ? 'RELEASED' : 'PAID')) return null;
    const faults = await drawReleaseFaults(client, order.externalOrderNumber);
    const world = worldOf(client, order);
    let plan = regularPlan(order);
    for (const effect of faults.effects) plan = await effect(plan, world);
    await client.query(`UPDATE sandbox.buy_order SET state = 'RELEASED', released_at = now() WHERE id = $1`, [id]);
    await insertTransactions(client, order, plan);
    return {
      transactionCodes: plan.transactions.map((transaction) => transaction.transactionCode),
      heldIds: await insertDeliveries(client, order, plan, options.heldMs ?? null),
    };
  });
}

const worldOf = (client: pg.PoolClient, order: Order): ReleaseWorld => ({
  newCode: newTransactionCode,
  async codeOfOther(externalOrderNumber) {
    const { rows } = await client.query<{ code: string }>(
      `SELECT t.transaction_code AS code FROM sandbox.transaction t JOIN sandbox.buy_order o ON o.id = t.order_id
       WHERE o.id <> $1 AND ($2::text IS NULL OR o.external_order_number = $2)
       ORDER BY t.finished_at DESC, t.transaction_code LIMIT 1`,
      [order.id, externalOrderNumber],
    );
    return rows[0]?.code ?? null;
  },
});

async function insertTransactions(client: pg.PoolClient, order: Order, plan: ReleasePlan): Promise<void> {
  for (const { transactionCode, transactionAmount, paymentPrice } of plan.transactions) {
    await client.query(
      `INSERT INTO sandbox.transaction (transaction_code, order_id, transaction_amount, payment_price, created_at)
       VALUES ($1, $2, $3, $4, $5)`,
      [transactionCode, order.id, transactionAmount, paymentPrice, order.madeAt],
    );
    await record(client, 'order.released', order.externalOrderNumber, {
      orderId: order.id,
      transactionCode,
      transactionAmount,
      paymentPrice,
      currencyCode: order.currencyCode,
      deliveries: plan.deliveries.length,
    });
  }
}

/** Inserts the deliveries and returns the ids of those leased to the caller. */
async function insertDeliveries(
  client: pg.PoolClient,
  order: Order,
  plan: ReleasePlan,
  heldMs: number | null,
): Promise<number[]> {
  const held: number[] = [];
  let first: number | null = null;
  for (const delivery of plan.deliveries) {
    const isHeld = heldMs !== null && delivery.delayMs === 0 && !delivery.afterFirst;
    const inserted: pg.QueryResult<{ id: number }> = await client.query(
      `INSERT INTO sandbox.delivery
         (order_id, transaction_code, overrides, after_delivery, next_attempt_at, lease_until, single, next_retry)
       VALUES ($1, $2, $3, $4, now() + $5 * interval '1 ms', now() + $6 * interval '1 ms', $7, $8) RETURNING id`,
      [
        order.id,
        plan.transactions[delivery.transaction]!.transactionCode,
        JSON.stringify(delivery.overrides),
        delivery.afterFirst ? first : null,
        delivery.delayMs,
        isHeld ? heldMs : null,
        delivery.onlyRetry !== null,
        delivery.onlyRetry ?? 0,
      ],
    );
    const id: number = inserted.rows[0]!.id;
    first ??= id;
    if (isHeld) held.push(id);
  }
  return held;
}

import { randomInt } from 'node:crypto';
import type pg from 'pg';
import { z } from 'zod';
import { inTransaction, type Queryable } from '../database.ts';
import { compare, type Decimal, decimal, minus, parseDecimal, significantDecimals, toText } from '../wire/decimal.ts';
import { record } from '../event-log.ts';
import { charactersIn } from '../plain-text.ts';
import type { Quote } from './quote.ts';
import type { Settings } from '../settings.ts';

export const CURRENCIES = ['CNY', 'HKD', 'TWD'] as const;
export type Currency = (typeof CURRENCIES)[number];
export const BUY_COIN_MODES = ['MtcAmount', 'PaymentPrice'] as const;
export type BuyCoinMode = (typeof BUY_COIN_MODES)[number];

type Prices = Settings['prices'];

const isDecimal = (decimals: number, from: 'zero' | 'above zero') => (text: string) => {
  const parsed = parseDecimal(text);
  if (parsed === null || significantDecimals(parsed) > decimals) return false;
  return from === 'zero' || parsed.digits > 0n;
};
const unitPrice = z.string().refine(isDecimal(8, 'above zero'), 'must be a positive decimal, fiat per MTC').nullable();
const price = z.string().refine(isDecimal(2, 'zero'), 'must be fiat with at most 2 decimals');
const mtc = z.string().refine(isDecimal(8, 'zero'), 'must be MTC with at most 8 decimals');
const words = z
  .string()
  .trim()
  .min(1)
  .refine((text) => charactersIn(text) <= 64, 'must have at most 64 characters');

/** The input of a new offer. Amounts are decimal texts. */
export const newAdvertisementSchema = z.strictObject({
  currencyCode: z.enum(CURRENCIES),
  /** Fiat per MTC; null follows the setting `prices`. */
  unitPrice,
  seller: words.default('Sandbox Seller'),
  /** Limits of one order in fiat, without the fee; null: no upper limit. */
  minPrice: price.default('0'),
  maxPrice: price.nullable().default(null),
  /** MTC for sale; null: unlimited. */
  remaining: mtc.nullable().default(null),
  paymentMethods: z.array(words).min(1).max(10).default(['bank transfer']),
  active: z.boolean().default(true),
});
export type NewAdvertisement = z.infer<typeof newAdvertisementSchema>;

/** The changeable fields of an offer; existing orders keep their values. */
export const advertisementPatchSchema = z.strictObject({
  unitPrice: unitPrice.optional(),
  seller: words.optional(),
  minPrice: price.optional(),
  maxPrice: price.nullable().optional(),
  remaining: mtc.nullable().optional(),
  paymentMethods: z.array(words).min(1).max(10).optional(),
  active: z.boolean().optional(),
});
export type AdvertisementPatch = z.infer<typeof advertisementPatchSchema>;

/** An offer in lists. */
export interface AdvertisementView {
  /** Shared by all orders matched with the offer. */
  readonly code: string;
  readonly seller: string;
  readonly currencyCode: Currency;
  /** The price in force; null: the offer follows the setting `prices`, which is `none`. */
  readonly unitPrice: string | null;
  readonly followsPriceSetting: boolean;
  readonly minPrice: string;
  readonly maxPrice: string | null;
  /** MTC still available to new orders; null: unlimited. */
  readonly remaining: string | null;
  /** MTC of open orders. */
  readonly reserved: string;
  /** MTC of released orders. */
  readonly sold: string;
  readonly paymentMethods: readonly string[];
  readonly active: boolean;
  readonly createdAt: string;
}

type Row = Omit<AdvertisementView, 'unitPrice' | 'followsPriceSetting' | 'createdAt'> & {
  readonly ownPrice: string | null;
  readonly createdAt: Date;
};

async function read(on: Queryable, prices: Prices, code: string | null): Promise<AdvertisementView[]> {
  const { rows } = await on.query<Row>(
    `SELECT a.code, a.seller, a.currency_code AS "currencyCode", a.unit_price AS "ownPrice",
       a.min_price AS "minPrice", a.max_price AS "maxPrice", a.remaining, a.payment_methods AS "paymentMethods",
       a.active, a.created_at AS "createdAt",
       (SELECT coalesce(sum(o.mtc_amount), 0) FROM sandbox.buy_order o
        WHERE o.advertisement_code = a.code AND o.state IN ('WAITING', 'PAID')) AS reserved,
       (SELECT coalesce(sum(o.mtc_amount), 0) FROM sandbox.buy_order o
        WHERE o.advertisement_code = a.code AND o.state = 'RELEASED') AS sold
     FROM sandbox.advertisement a WHERE $1::text IS NULL OR a.code = $1 ORDER BY a.id`,
    [code],
  );
  return rows.map(({ ownPrice, ...row }) => {
    const configured = prices[row.currencyCode];
    return {
      ...row,
      unitPrice: ownPrice ?? (configured === 'none' ? null : configured),
      followsPriceSetting: ownPrice === null,
      createdAt: row.createdAt.toISOString(),
    };
  });
}

/** Lists every offer, oldest first; `prices` is the setting of that name. */
export const listAdvertisements = (on: Queryable, prices: Prices): Promise<AdvertisementView[]> =>
  read(on, prices, null);

/** Creates an offer from values that {@link newAdvertisementSchema} has parsed. */
export async function createAdvertisement(
  pool: pg.Pool,
  prices: Prices,
  offer: NewAdvertisement,
): Promise<AdvertisementView> {
  return inTransaction(pool, async (client) => {
    const code = `AD${offer.currencyCode}${String(randomInt(1e8, 1e9))}${String(randomInt(1e8, 1e9))}`;
    await client.query(
      `INSERT INTO sandbox.advertisement
         (code, seller, currency_code, unit_price, min_price, max_price, remaining, payment_methods, active)
       VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
      [
        code,
        offer.seller,
        offer.currencyCode,
        offer.unitPrice,
        offer.minPrice,
        offer.maxPrice,
        offer.remaining,
        offer.paymentMethods,
        offer.active,
      ],
    );
    await record(client, 'advertisement.created', null, { code });
    return (await read(client, prices, code))[0]!;
  });
}

const COLUMN_OF: Readonly<Record<keyof AdvertisementPatch, string>> = {
  unitPrice: 'unit_price',
  seller: 'seller',
  minPrice: 'min_price',
  maxPrice: 'max_price',
  remaining: 'remaining',
  paymentMethods: 'payment_methods',
  active: 'active',
};

/**
 * Changes an offer; {@link advertisementPatchSchema} has parsed `patch`. Returns null if no offer has that code. Throws
 * a database error (23514) if the limits would contradict each other.
 */
export async function changeAdvertisement(
  pool: pg.Pool,
  prices: Prices,
  code: string,
  patch: AdvertisementPatch,
): Promise<AdvertisementView | null> {
  return inTransaction(pool, async (client) => {
    const changes = (Object.keys(COLUMN_OF) as (keyof AdvertisementPatch)[]).filter(
      (name) => patch[name] !== undefined,
    );
    if (changes.length > 0) {
      const assignments = changes.map((name, index) => `${COLUMN_OF[name]} = $${index + 2}`);
      await client.query(`UPDATE sandbox.advertisement SET ${assignments.join(', ')} WHERE code = $1`, [
        code,
        ...changes.map((name) => patch[name]),
      ]);
    }
    const [changed] = await read(client, prices, code);
    if (changed === undefined) return null;
    await record(client, 'advertisement.changed', null, { code, names: changes });
    return changed;
  });
}

/** The offer that an order was matched with. */
export interface Match {
  readonly advertisementCode: string;
  readonly unitPrice: Decimal;
  readonly quote: Quote;
}

interface Candidate {
  readonly code: string;
  readonly unitPrice: string;
  readonly minPrice: string;
  readonly maxPrice: string | null;
  readonly remaining: string | null;
}

/**
 * Finds the best offer that can fill an order, and reserves its MTC.
 * - The best offer has the lowest unit price, the payer's best in both modes; among equals, the oldest wins.
 * - `none`: no offer can fill the order. `too small`: offers could, but at their price one amount would be zero.
 * - A conditional update decides between concurrent orders for the same MTC, so no offer is oversold.
 */
export async function reserve(
  client: pg.PoolClient,
  currency: Currency,
  prices: Prices,
  quoteAt: (unitPrice: Decimal) => Quote | null,
): Promise<Match | 'none' | 'too small'> {
  const configured = prices[currency] === 'none' ? null : prices[currency];
  const { rows } = await client.query<Candidate>(
    `SELECT code, coalesce(unit_price, $2)::text AS "unitPrice", min_price AS "minPrice", max_price AS "maxPrice", remaining
     FROM sandbox.advertisement
     WHERE currency_code = $1 AND active AND coalesce(unit_price, $2) IS NOT NULL
     ORDER BY coalesce(unit_price, $2), id`,
    [currency, configured],
  );
  let tooSmall = false;
  for (const candidate of rows) {
    const unitPrice = decimal(candidate.unitPrice);
    const quoted = quoteAt(unitPrice);
    if (quoted === null) tooSmall = true;
    else if (fits(candidate, quoted) && (candidate.remaining === null || (await take(client, candidate, quoted)))) {
      return { advertisementCode: candidate.code, unitPrice, quote: quoted };
    }
  }
  return tooSmall ? 'too small' : 'none';
}

/** Whether the price of the MTC, without the fee, is within the offer's limits. */
function fits({ minPrice, maxPrice }: Candidate, { totalPrice, feePrice }: Quote): boolean {
  const paid = minus(totalPrice, feePrice);
  return compare(paid, decimal(minPrice)) >= 0 && (maxPrice === null || compare(paid, decimal(maxPrice)) <= 0);
}

async function take(client: pg.PoolClient, candidate: Candidate, { mtcAmount }: Quote): Promise<boolean> {
  const { rowCount } = await client.query(
    `UPDATE sandbox.advertisement SET remaining = remaining - $2
     WHERE code = $1 AND active AND remaining >= $2 AND (unit_price IS NULL OR unit_price = $3)`,
    [candidate.code, toText(mtcAmount, 0), candidate.unitPrice],
  );
  return rowCount === 1;
}

/** Returns the MTC of an order that will not be made, or is canceled, to its offer. */
export async function giveBack(client: pg.PoolClient, advertisementCode: string, mtcAmount: string): Promise<void> {
  await client.query(
    'UPDATE sandbox.advertisement SET remaining = remaining + $2 WHERE code = $1 AND remaining IS NOT NULL',
    [advertisementCode, mtcAmount],
  );
}

/** Reserves an expired order's MTC again for a late payer. Returns false if the offer has too little left. */
export async function takeAgain(client: pg.PoolClient, advertisementCode: string, mtcAmount: string): Promise<boolean> {
  const { rowCount } = await client.query(
    `UPDATE sandbox.advertisement SET remaining = remaining - $2
     WHERE code = $1 AND (remaining IS NULL OR remaining >= $2)`,
    [advertisementCode, mtcAmount],
  );
  return rowCount === 1;
}

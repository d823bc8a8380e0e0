import { createHash, randomBytes } from 'node:crypto';
import pg from 'pg';
import { createLog } from '../../telemetry/log.ts';
import { createPool, type Role } from '../../database/pool.ts';
import type { CallbackData, Order } from '../../domain/order.ts';
import { contentHash } from '../../providers/content-hash.ts';
import { settings } from '../support/builders.ts';
import { byHand, type TestDatabase } from '../support/database.ts';
import type { Reference } from './reference.ts';
import { createGenuineCreditor } from '../../activities/crediting.ts';
import { sealTrust } from '../support/seals.ts';

/** The deposits of every sequence: two of one customer, and one of another whose order is not there at first. */
export const DEPOSITS = [
  { wallet: 0, latePolicy: 'credit', reviewLimit: 0 },
  { wallet: 0, latePolicy: 'review', reviewLimit: 4850 },
  { wallet: 1, latePolicy: 'credit', reviewLimit: 10_000 },
] as const;
export const CODES = ['A', 'B', 'C', 'D'] as const;
export const PEOPLE = ['alice', 'bob', 'carol'] as const;

/** The pools of the engine's processes, each in its own role, and the superuser's. */
export interface Site {
  readonly url: string;
  readonly owner: pg.Pool;
  readonly api: pg.Pool;
  readonly worker: pg.Pool;
  readonly decisions: pg.Pool;
  readonly credit: ReturnType<typeof createGenuineCreditor>;
  end(): Promise<void>;
}

export function openSite(db: TestDatabase): Site {
  const open = (url: string, role?: Role) =>
    createPool({
      url,
      applicationName: 'model',
      max: 8,
      onIdleError: () => undefined,
      ...(role === undefined ? {} : { role }),
    });
  const [owner, api, worker, decisions] = [
    open(db.url),
    open(db.urlFor('app_api')),
    open(db.urlFor('app_worker')),
    open(db.urlFor('app_decisions')),
  ];
  return {
    url: db.url,
    owner,
    api,
    worker,
    decisions,
    credit: createGenuineCreditor(worker, sealTrust),
    end: async () => void (await Promise.all([owner, api, worker, decisions].map((pool) => pool.end()))),
  };
}

export const log = createLog('model', 'silent');

/** Names of one sequence: no other sequence uses them, so there is no cleanup. */
export interface Names {
  readonly orders: readonly string[];
  readonly wallets: readonly string[];
  readonly codes: Readonly<Record<string, string>>;
}

export function newNames(): Names {
  const prefix = randomBytes(6).toString('hex');
  return {
    orders: DEPOSITS.map((_, i) => `m-${prefix}-${i}`),
    wallets: [0, 1].map((i) => `w-${prefix}-${i}`),
    codes: Object.fromEntries([...CODES, 'X'].map((code) => [code, `${code}-${prefix}`])),
  };
}

export const PRICE = 7.2;

/** The content of a label. */
export const dataOf = (names: Names, label: string, order: number, code: string, amount: number): CallbackData => ({
  externalOrderNumber: names.orders[order]!,
  transactionCode: names.codes[code]!,
  transactionAmount: String(amount),
  currencyCode: 'CNY',
  paymentPrice: String(Math.round(amount * PRICE * 100) / 100),
  transactionCreateTime: label,
  paymentFinishedTime: label,
});

export const hashOf = (names: Names, label: string, order: number, code: string | null, amount: number): Buffer =>
  code === null
    ? createHash('sha256').update(`${names.orders[order]} ${label}`).digest()
    : contentHash(dataOf(names, label, order, code, amount));

/** A deposit whose order is placed: its payment is awaited. */
export async function placeOrder(owner: pg.Pool, names: Names, orders: readonly number[]): Promise<void> {
  const rows = orders.map((order) => ({
    n: names.orders[order],
    wallet: names.wallets[DEPOSITS[order]!.wallet],
    settings: settingsOf(order),
  }));
  await byHand(
    owner,
    `with wanted as (select * from jsonb_to_recordset($1) as w(n text, wallet text, settings jsonb)),
          d as (insert into engine.deposit (external_order_number, wallet, buy_coin_mode, mtc_amount, currency_code, support_language,
                                            fingerprint, settings, state, redirect_url, placed_at, expires_at, listening_until)
                select n, wallet, 'MtcAmount', 5000, 'CNY', 'en', '', settings, 'PLACING', 'https://example.com', clock_timestamp(),
                       clock_timestamp() + interval '30 minutes', clock_timestamp() from wanted returning external_order_number)
     insert into engine.placement_attempt (external_order_number, n, deadline, outcome)
     select external_order_number, 1, clock_timestamp(), 'placed' from d`,
    [JSON.stringify(rows)],
  );
  await owner.query(`update engine.deposit set state = 'AWAITING_PAYMENT' where external_order_number = any($1)`, [
    rows.map(({ n }) => n),
  ]);
}

export const settingsOf = (order: number) => {
  const { latePolicy, reviewLimit } = DEPOSITS[order]!;
  return settings({ feeBand: '0.1', latePolicy, reviewLimit: String(reviewLimit) });
};

export const orderOf = (names: Names, order: number): Order => ({
  externalOrderNumber: names.orders[order]!,
  wallet: names.wallets[DEPOSITS[order]!.wallet]!,
  buyCoinMode: 'MtcAmount',
  mtcAmount: '5000',
  totalPrice: null,
  currencyCode: 'CNY',
});

/** Two deposits are placed, the third order does not exist yet. */
export const newReference = (): Reference => ({
  deposits: DEPOSITS.map((_, i) => ({
    known: i < 2,
    state: 'AWAITING_PAYMENT',
    over: false,
    bound: null,
    posting: null,
    machine: [],
    standing: [],
    flow: 'waiting',
  })),
  money: {},
  callbacks: {},
  cases: {},
  proposals: {},
  besides: [],
  aged: [],
});

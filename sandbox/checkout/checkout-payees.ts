import type pg from 'pg';
import type { Currency } from '../orders/advertisements.ts';
import type { Order } from '../orders/orders.ts';

/** One way to pay the seller; fictitious, like the money. */
export interface Payee {
  /** As in the advertisement. */
  readonly method: string;
  readonly name: string;
  /** Null if the method is not a bank's. */
  readonly bank: string | null;
  readonly account: string;
}

/** Fictitious accounts; bank accounts have the format of the currency's banks. */
const BANK_ACCOUNTS: Readonly<Record<Currency, string>> = {
  CNY: '6200 0000 0000 0001',
  HKD: '012-000000-002',
  TWD: '812-000000000003',
};
const ACCOUNTS: Readonly<Record<string, string>> = {
  Alipay: 'seller-a@example.com',
  'WeChat Pay': 'sandbox-seller-a',
  FPS: '000000002',
};

/** Returns where the payer of an order may pay: every method of the matched advertisement. */
export async function payeesOf(pool: pg.Pool, order: Order): Promise<Payee[]> {
  const { rows } = await pool.query<{ seller: string; methods: string[] }>(
    'SELECT seller, payment_methods AS methods FROM sandbox.advertisement WHERE code = $1',
    [order.advertisementCode],
  );
  return rows.flatMap(({ seller, methods }) =>
    methods.map((method) => {
      const isBank = !Object.hasOwn(ACCOUNTS, method);
      const account = isBank ? BANK_ACCOUNTS[order.currencyCode] : ACCOUNTS[method]!;
      return { method, name: seller, bank: isBank ? 'Example Bank' : null, account };
    }),
  );
}

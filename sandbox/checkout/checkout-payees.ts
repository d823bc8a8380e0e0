import type pg from 'pg';
import type { Currency } from '../orders/advertisements.ts';
import type { Order } from '../orders/orders.ts';

/** One way to pay the seller, as fictitious as the money. */
export interface Payee {
  /** As the advertisement has it. */
  readonly method: string;
  readonly name: string;
  /** Null where the method is no bank's. */
  readonly bank: string | null;
  readonly account: string;
}

/** Accounts nobody has; bank accounts follow the look of the currency's banks. */
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

/** Where the payer of an order may pay: every method of the advertisement it was matched with. */
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

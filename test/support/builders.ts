import { randomBytes } from 'node:crypto';
import type { Secret } from '../../config/keys/secret.ts';
import type { Reservation } from '../../database/queries/deposits.ts';
import { sealName } from '../../encoding/payer-name.ts';
import type { CallbackData, DepositSettings, Order } from '../../domain/order.ts';

/** Settings as the API freezes them when nothing is configured. */
export const settings = (change: Partial<DepositSettings> = {}): DepositSettings => ({
  rateBands: { CNY: { from: '6.5', to: '8' }, HKD: { from: '7', to: '8.6' }, TWD: { from: '28', to: '36' } },
  feeBand: '0',
  latePolicy: 'credit',
  paymentWindowMs: 30 * 60_000,
  listeningWindowMs: 73 * 3_600_000,
  reviewLimit: '0',
  ...change,
});

export const orderNumber = (): string => `o-${randomBytes(9).toString('base64url')}`;
export const transactionCode = (): string => `AT${randomBytes(8).toString('hex').toUpperCase().slice(0, 14)}`;

/** The document's first example: 5,000 MTC paid in CNY. */
export const order = (change: Partial<Order> = {}): Order => ({
  externalOrderNumber: orderNumber(),
  wallet: 'wallet-42',
  buyCoinMode: 'MtcAmount',
  mtcAmount: '5000',
  totalPrice: null,
  currencyCode: 'CNY',
  ...change,
});

/** The order as the API reserves it; its payer's name can be opened where there is a key for it. */
export function reservation(asked: Order, change: Partial<Reservation> = {}, payerNameKey?: Secret): Reservation {
  const name = payerNameKey && sealName(payerNameKey, asked.externalOrderNumber, 'Li Ming');
  return {
    ...asked,
    supportLanguage: 'en',
    payerName: name?.bytes ?? randomBytes(40),
    payerNameKey: name?.keyId ?? 'key',
    fingerprint: randomBytes(32),
    settings: settings(),
    ...change,
  };
}

/** The callback that pays {@link order} at 7.2. */
export const paid = (forOrder: Order, change: Partial<CallbackData> = {}): CallbackData => ({
  externalOrderNumber: forOrder.externalOrderNumber,
  transactionCode: transactionCode(),
  transactionAmount: '5000',
  currencyCode: forOrder.currencyCode,
  paymentPrice: '36000',
  transactionCreateTime: '2021-07-01T00:00:00',
  paymentFinishedTime: '2021-07-01T00:05:00',
  ...change,
});

import { parseFiat, parseMtc } from '../domain/money.ts';
import type { Payment } from '../domain/order.ts';

/**
 * Whether a signal has the shape of a payment. A signal sent by hand with another shape is ignored: the inbox has the
 * facts.
 */
export function isPayment(value: Payment): boolean {
  const payment = (value ?? {}) as Partial<Record<keyof Payment, unknown>>;
  return (
    isText(payment.inboxId) &&
    isText(payment.transactionCode) &&
    isText(payment.currencyCode) &&
    isText(payment.receivedAt) &&
    isText(payment.transactionAmount) &&
    parseMtc(payment.transactionAmount).ok &&
    isText(payment.paymentPrice) &&
    parseFiat(payment.paymentPrice).ok
  );
}

const isText = (value: unknown): value is string => typeof value === 'string' && value !== '';

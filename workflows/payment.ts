import { parseFiat, parseMtc } from '../domain/money.ts';
import type { Payment } from '../domain/order.ts';

/** The shape of a payment signal. A signal sent by hand with another shape is ignored: the inbox still has the truth. */
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

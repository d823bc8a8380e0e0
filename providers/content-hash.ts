import { createHash } from 'node:crypto';
import type { CallbackData } from '../domain/order.ts';

/**
 * Returns sha256 over the seven fields in fixed order, with canonical decimals. A retry with a new signature, or with
 * 200 spelled as 200.00 or 2E+2, has the same hash.
 */
export const contentHash = (data: CallbackData): Buffer =>
  sha256(
    JSON.stringify([
      data.externalOrderNumber,
      data.transactionCode,
      data.transactionAmount,
      data.currencyCode,
      data.paymentPrice,
      data.transactionCreateTime,
      data.paymentFinishedTime,
    ]),
  );

/** Returns the hash of unreadable content. `text`: the same for every spelling of the same message. */
export const unreadableHash = (text: string): Buffer => sha256(`unreadable|${text}`);

const sha256 = (text: string): Buffer => createHash('sha256').update(text, 'utf8').digest();

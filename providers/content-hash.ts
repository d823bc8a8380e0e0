import { createHash } from 'node:crypto';
import type { CallbackData } from '../domain/order.ts';

/**
 * sha256 over the seven fields in fixed order with canonical decimals: a retry that is signed afresh, or spells 200 as
 * 200.00 or 2E+2, is the same content.
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

/** Of content that could not be read. `text`: one for every spelling of the same message. */
export const unreadableHash = (text: string): Buffer => sha256(`unreadable|${text}`);

const sha256 = (text: string): Buffer => createHash('sha256').update(text, 'utf8').digest();

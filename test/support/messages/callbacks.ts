import type { CallbackData } from '../../../domain/order.ts';
import { Secret } from '../../../config/keys/secret.ts';
import { callbackUrl, capabilityKey } from '../../../providers/callback-address.ts';
import { freeMillisecond } from '../../../providers/own-stamps.ts';
import { type MtpayKey, sign } from '../../../providers/mtpay/signature.ts';
import type { Engine } from '../engine.ts';

/** The provider's key as the engine knows it: tests sign callbacks with it. */
export const providerKey = (engine: Engine): MtpayKey => ({
  accessKey: new Secret(Buffer.from(engine.env['MTPAY_ACCESS_KEY']!)),
  secretKey: new Secret(Buffer.from(engine.env['MTPAY_SECRET_KEY']!)),
});

/** The callback address that the provider got for this order. */
export const callbackAddress = (engine: Engine, externalOrderNumber: string): string =>
  callbackUrl(
    engine.api.callbackUrl,
    capabilityKey(new Secret(Buffer.from(engine.env['CALLBACK_KEY']!, 'base64url'))),
    externalOrderNumber,
  );

/** A callback as the provider writes it; `number` fields are inserted verbatim, so that any spelling can be tried. */
export function callbackBody(
  engine: Engine,
  data: CallbackData | Readonly<Record<string, unknown>>,
  // Not a stamp that an order of ours may have: such a message gets a 503 once.
  timestampMs = freeMillisecond(Date.now(), 1_000),
): string {
  const { transactionAmount, paymentPrice, ...rest } = data as Record<string, string | number | undefined>;
  const fields = Object.entries(rest).map(([name, value]) => `${JSON.stringify(name)}:${JSON.stringify(value)}`);
  if (transactionAmount !== undefined) fields.push(`"transactionAmount":${transactionAmount}`);
  if (paymentPrice !== undefined) fields.push(`"paymentPrice":${paymentPrice}`);
  return `{"signature":"${sign(providerKey(engine), timestampMs)}","timestamp":${timestampMs},"data":{${fields.join(',')}}}`;
}

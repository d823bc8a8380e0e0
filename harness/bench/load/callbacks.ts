import type { NewDeposit } from '../../../client/src/client.ts';
import { Secret } from '../../../config/keys/secret.ts';
import { freeMillisecond } from '../../../providers/own-stamps.ts';
import { callbackUrl, capabilityKey } from '../../../providers/callback-address.ts';
import { sign } from '../../../providers/mtpay/signature.ts';

export interface Callback {
  readonly url: string;
  readonly body: string;
}

/** The body of a create request. Numbers that are equal modulo 1,000 share a wallet, so that wallets repeat. */
export const orderOfBench = (externalOrderNumber: string): NewDeposit => ({
  externalOrderNumber,
  wallet: `wallet-${Number(/\d+$/.exec(externalOrderNumber)?.[0] ?? 0) % 1_000}`,
  buyCoinMode: 'MtcAmount',
  mtcAmount: '5000',
  currencyCode: 'CNY',
  supportLanguage: 'en',
  payerRealName: 'Test Person',
});

/** Returns a function that makes the provider's callbacks for payments of such orders; `change`: other fields. */
export function callbacksOf(
  baseUrl: string,
  keys: { readonly accessKey: string; readonly secretKey: string; readonly callbackKey: string },
): (externalOrderNumber: string, change?: Readonly<Record<string, unknown>>) => Callback {
  const capability = capabilityKey(new Secret(Buffer.from(keys.callbackKey, 'base64url')));
  const pair = {
    accessKey: new Secret(Buffer.from(keys.accessKey)),
    secretKey: new Secret(Buffer.from(keys.secretKey)),
  };
  return (externalOrderNumber, change = {}) => {
    // A timestamp that no order of ours has: the engine would ask MTPay to retry such a message.
    const timestamp = freeMillisecond(Date.now(), 1_000);
    const data = {
      externalOrderNumber,
      transactionCode: `T-${externalOrderNumber}`,
      currencyCode: 'CNY',
      transactionAmount: 5_000,
      paymentPrice: 36_000,
      transactionCreateTime: '2021-07-01T00:00:00',
      paymentFinishedTime: '2021-07-01T00:05:00',
      ...change,
    };
    return {
      url: callbackUrl(baseUrl, capability, externalOrderNumber),
      body: JSON.stringify({ signature: sign(pair, timestamp), timestamp, data }),
    };
  };
}

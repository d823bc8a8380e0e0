import { expect } from 'vitest';
import { fixedKeyring } from '../../config/keys/keyring.ts';
import { createPlacement, type MtpayOptions } from '../../providers/mtpay/place.ts';
import type { CallOptions, PlacementRequest } from '../../providers/port.ts';
import { documentKey } from './keys.ts';
import { type Answer, standIn } from './stand-in.ts';

export const NAME = '王小明';
export const AT = 1_625_546_438_154;
/** docs/reference/protocol.md#signature-both-directions. */
export const SIGNATURE = 'EDB15CF33C232128BDF118CEB147C453181939F8B37EC43886F68B3BCC2C19CD';
export const PATH = '/api/buy-coin/transaction';

export const request = (change: Partial<PlacementRequest> = {}): PlacementRequest => ({
  externalOrderNumber: 'o-42',
  buyCoinMode: 'MtcAmount',
  amount: '5000',
  currencyCode: 'CNY',
  supportLanguage: 'zh_CN',
  payerRealName: NAME,
  callbackUrl: 'https://pay.example/v1/callbacks/mtpay/kid/token',
  ...change,
});

export const options = (host: string, change: Partial<MtpayOptions> = {}): MtpayOptions => ({
  keys: fixedKeyring(documentKey),
  placeUrl: `http://${host}${PATH}`,
  redirectHosts: [host, 'checkout.example'],
  plainHttpHosts: ['localhost'],
  ...change,
});

export const place = (to: MtpayOptions, order = request(), call: Partial<CallOptions> = {}) =>
  createPlacement(to)
    .prepare(order, AT)
    .send({ deadlineMs: 10_000, maySend: () => true, ...call });

/** Places once against a stand-in with this response; it is called once and never again. */
export async function placedAgainst(
  answer: Answer,
  change: Partial<MtpayOptions> = {},
  call: Partial<CallOptions> = {},
) {
  const provider = await standIn(answer);
  const result = await place(options(provider.host, change), request(), call);
  expect(provider.received).toHaveLength(1);
  expect(provider.connections()).toBe(1);
  return result;
}

export const says =
  (text: string): Answer =>
  (socket) =>
    socket.end(text);
export const envelope = (change: object = {}, data: object | null = null) =>
  JSON.stringify({ data, statusCode: 'SUCCESS', message: 'ok', success: true, ...change });
export const DATA = { redirectUrl: 'https://checkout.example/pay/1', advertisementCode: 'AD-1', currentTimestamp: AT };
export const SUCCESS = envelope({}, DATA);
export const refusal = (statusCode: string, change: object = {}) => envelope({ statusCode, success: false, ...change });

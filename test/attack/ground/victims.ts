import type { CallbackData, Currency, Order } from '../../../domain/order.ts';
import { formatUnits, known, mulDivFloor, parseFiat, parseMtc, UNITS_PER_ONE } from '../../../domain/money.ts';
import { transactionCode } from '../../support/builders.ts';
import { until } from '../../support/until.ts';
import type { World } from './world.ts';

/** A signature of the provider's scheme and the millisecond it was made for. */
export interface Ticket {
  readonly signature: string;
  readonly timestampMs: number;
}

/** A deposit and everything about it that is readable on the connections to and from the provider. */
export interface Victim {
  readonly order: Order;
  /** The path of its callback, with key id and token. */
  readonly path: string;
  /** The signature of our own placement call. */
  readonly outbound: Ticket;
  /** The content of a genuine callback, past or future. */
  readonly data: CallbackData;
  /** The genuine callback as it came, when the deposit is paid already. */
  readonly callback: { readonly body: string; readonly ticket: Ticket } | null;
}

export type Shape = Pick<Order, 'buyCoinMode' | 'currencyCode'>;
export const SHAPES: readonly Shape[] = (['MtcAmount', 'PaymentPrice'] as const).flatMap((buyCoinMode) =>
  (['CNY', 'HKD', 'TWD'] as const).map((currencyCode) => ({ buyCoinMode, currencyCode })),
);
/** Prices of the sandbox's advertisements. */
const PRICE: Readonly<Record<Currency, string>> = { CNY: '7.2', HKD: '7.8', TWD: '32' };

/** Creates a deposit of that shape; the order is placed when this resolves. */
export async function createVictim(world: World, shape: Shape, mtc = '5000'): Promise<Victim> {
  const amount = known(parseMtc(mtc), 'mtc');
  const fiat = formatUnits(mulDivFloor(amount, known(parseMtc(PRICE[shape.currencyCode]), 'price'), UNITS_PER_ONE));
  const asked = shape.buyCoinMode === 'MtcAmount' ? { mtcAmount: mtc } : { mtcAmount: undefined, totalPrice: fiat };
  const { externalOrderNumber, wallet, buyCoinMode, mtcAmount, totalPrice, currencyCode } = await world.engine.place({
    ...shape,
    ...asked,
    wallet: 'wallet-victim',
  });
  const placement = world.placements.requests.findLast((request) => request.body.includes(`"${externalOrderNumber}"`))!;
  return {
    order: { externalOrderNumber, wallet, buyCoinMode, mtcAmount, totalPrice, currencyCode },
    path: new URL((JSON.parse(placement.body) as { callbackUrl: string }).callbackUrl).pathname,
    outbound: {
      signature: String(placement.headers['signature']),
      timestampMs: Number(placement.headers['timestamp']),
    },
    data: {
      externalOrderNumber,
      transactionCode: transactionCode(),
      transactionAmount: mtc,
      currencyCode,
      paymentPrice: fiat,
      transactionCreateTime: '2021-07-01T00:00:00',
      paymentFinishedTime: '2021-07-01T00:05:00',
    },
    callback: null,
  };
}

/** The customer pays at the sandbox, which sends a callback; resolves when the wallet is credited. */
export async function settle(world: World, victim: Victim): Promise<Victim> {
  const { externalOrderNumber } = victim.order;
  await world.engine.pay(externalOrderNumber);
  await world.engine.untilState(externalOrderNumber, 'CREDITED');
  const { body } = await until('the callback that was acknowledged', async () =>
    world.callbacks.requests.find((request) => request.status === 200 && request.path === victim.path),
  );
  const { signature, timestamp, data } = JSON.parse(body) as {
    signature: string;
    timestamp: number;
    data: Omit<CallbackData, 'transactionAmount' | 'paymentPrice'>;
  };
  return {
    ...victim,
    data: { ...victim.data, transactionCode: data.transactionCode },
    callback: { body, ticket: { signature, timestampMs: timestamp } },
  };
}

/** A callback as the provider writes it, under any ticket. Amounts are JSON numbers in their own spelling. */
export function compose(data: CallbackData, { signature, timestampMs }: Ticket): string {
  const { transactionAmount, paymentPrice, ...texts } = data;
  const fields = Object.entries(texts).map(([name, value]) => `${JSON.stringify(name)}:${JSON.stringify(value)}`);
  fields.push(`"transactionAmount":${transactionAmount}`, `"paymentPrice":${paymentPrice}`);
  return `{"signature":${JSON.stringify(signature)},"timestamp":${timestampMs},"data":{${fields.join(',')}}}`;
}

/** Adds units of 1e-8 to an amount of MTC. */
export const plusUnits = (amount: string, units: bigint): string =>
  formatUnits(known(parseMtc(amount), 'amount') + units);

/** Multiplies a price by a fraction, to the cent. */
export const timesPrice = (price: string, numerator: bigint, denominator: bigint): string => {
  const cents = mulDivFloor(known(parseFiat(price), 'price') / 1_000_000n, numerator, denominator);
  return formatUnits((cents < 1n ? 1n : cents) * 1_000_000n);
};

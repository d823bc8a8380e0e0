import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, test } from 'vitest';
import type { AdvertisementView } from '../../../sandbox/orders/advertisements.ts';
import {
  control,
  eventually,
  newNumber,
  orders,
  pay,
  placementBody,
  type Placed,
  send,
  settled,
  openSandbox,
} from '../support.ts';

const { sandbox, merchant } = await openSandbox();

afterEach(async () => {
  const all = (await control(sandbox, 'GET', '/advertisements')).body.advertisements as AdvertisementView[];
  for (const { code } of all.slice(3)) await control(sandbox, 'PATCH', `/advertisements/${code}`, { active: false });
  await control(sandbox, 'PUT', '/settings', { prices: null, fees: null, orderLifetimeMs: null });
});

async function offer(terms: Record<string, unknown>): Promise<string> {
  const { status, body } = await control(sandbox, 'POST', '/advertisements', {
    currencyCode: 'CNY',
    unitPrice: '7',
    ...terms,
  });
  if (status !== 201) throw new Error(JSON.stringify(body));
  return (body as AdvertisementView).code;
}

const view = async (code: string): Promise<AdvertisementView> =>
  ((await control(sandbox, 'GET', '/advertisements')).body.advertisements as AdvertisementView[]).find(
    (each) => each.code === code,
  )!;

const buy = (mtcAmount: string, number = newNumber(), members: Record<string, string> = {}): Promise<Placed> =>
  send(sandbox, placementBody(merchant, { externalOrderNumber: `"${number}"`, mtcAmount, ...members }));
const spend = (totalPrice: string): Promise<Placed> =>
  send(sandbox, placementBody(merchant, { buyCoinMode: '"PaymentPrice"', mtcAmount: undefined, totalPrice }));

const DEFAULT = 'ADCNY00000001';

test('from the start one offer a currency stands at the configured price, without end', async () => {
  const { body } = await control(sandbox, 'GET', '/advertisements');
  expect(body.advertisements.slice(0, 3)).toMatchObject([
    { code: DEFAULT, currencyCode: 'CNY', unitPrice: '7.2', followsPriceSetting: true, remaining: null, active: true },
    { code: 'ADHKD00000001', currencyCode: 'HKD', unitPrice: '7.8' },
    { code: 'ADTWD00000001', currencyCode: 'TWD', unitPrice: '32' },
  ]);
});

describe('the matched offer', () => {
  test('is the cheapest for the payer that can fill the order, in both modes', async () => {
    const dear = await offer({ unitPrice: '7.1' });
    const cheap = await offer({ unitPrice: '6.9', remaining: '100' });
    expect((await buy('100.00000001')).data!.advertisementCode).toBe(dear);
    expect((await spend('690.01')).data!.advertisementCode).toBe(dear);
    expect((await spend('690')).data!.advertisementCode).toBe(cheap);
    expect((await buy('1')).data!.advertisementCode).toBe(dear);
  });

  test('is the oldest among equals', async () => {
    const first = await offer({});
    await offer({});
    expect((await buy('5')).data!.advertisementCode).toBe(first);
  });

  test('takes only orders within its limits, the limits included', async () => {
    const limited = await offer({ unitPrice: '7', minPrice: '70', maxPrice: '700' });
    const codes = [];
    for (const amount of ['9.99', '10', '100', '100.01']) codes.push((await buy(amount)).data!.advertisementCode);
    expect(codes).toEqual([DEFAULT, limited, limited, DEFAULT]);
  });

  test('is never an inactive one, nor one of another currency', async () => {
    await offer({ unitPrice: '1', active: false });
    await offer({ unitPrice: '1', currencyCode: 'TWD' });
    expect((await buy('5')).data!.advertisementCode).toBe(DEFAULT);
  });

  test('may move its price between orders; an order keeps the one it was made at', async () => {
    const code = await offer({ unitPrice: '7' });
    const [before, after] = [newNumber(), newNumber()];
    await buy('10', before);
    await control(sandbox, 'PATCH', `/advertisements/${code}`, { unitPrice: '7.05' });
    await buy('10', after);
    expect((await orders(sandbox, before))[0]).toMatchObject({ unitPrice: '7', totalPrice: '70.00' });
    expect((await orders(sandbox, after))[0]).toMatchObject({ unitPrice: '7.05', totalPrice: '70.50' });
  });

  test('that nobody has is NO_ADVERTISEMENT', async () => {
    await control(sandbox, 'PUT', '/settings', { prices: { CNY: 'none' } });
    await offer({ remaining: '10' });
    expect((await buy('10.01')).statusCode).toBe('NO_ADVERTISEMENT');
    expect((await buy('10')).statusCode).toBe('SUCCESS');
  });
});

describe('the MTC of an offer', () => {
  test('are reserved for an order and sold with its release', async () => {
    const code = await offer({ remaining: '100' });
    const number = newNumber();
    await buy('60', number);
    expect(await view(code)).toMatchObject({ remaining: '40', reserved: '60.00', sold: '0' });
    await pay(sandbox, number);
    expect(await view(code)).toMatchObject({ remaining: '40', reserved: '0', sold: '60.00' });
  });

  test('come back when the payer cancels, and only once', async () => {
    const code = await offer({ remaining: '100' });
    const number = newNumber();
    await buy('60', number);
    await Promise.all([1, 2, 3].map(() => control(sandbox, 'POST', `/orders/${number}/cancel`)));
    expect(Number((await view(code)).remaining)).toBe(100);
  });

  test('come back when the order expires, and are taken again by a payer who pays late', async () => {
    const code = await offer({ remaining: '100' });
    await control(sandbox, 'PUT', '/settings', { orderLifetimeMs: 1 });
    const [late, tooLate] = [newNumber(), newNumber()];
    for (const number of [late, tooLate]) {
      await buy('60', number);
      await eventually(async () => ((await orders(sandbox, number))[0]!.state === 'EXPIRED' ? true : undefined));
    }
    expect(Number((await view(code)).remaining)).toBe(100);
    await pay(sandbox, late);
    expect(await view(code)).toMatchObject({ remaining: expect.stringMatching(/^40(\.0+)?$/), sold: '60.00' });
    await expect(pay(sandbox, tooLate)).rejects.toThrow('no order of this number can be paid any more');
  });

  test('come back when the number turns out to have an order already', async () => {
    const number = newNumber();
    await buy('1', number);
    const code = await offer({ remaining: '100' });
    expect((await buy('60', number)).statusCode).toBe('PARAMETER_ERROR');
    expect(Number((await view(code)).remaining)).toBe(100);
  });

  test('are never sold twice, however many orders come at once while some are cancelled', async () => {
    await control(sandbox, 'PUT', '/settings', { prices: { CNY: 'none' } });
    const codes = [
      await offer({ remaining: '40.5', unitPrice: '7' }),
      await offer({ remaining: '20', unitPrice: '7.01' }),
    ];
    const numbers = Array.from({ length: 100 }, newNumber);
    const placed = await Promise.all(
      numbers.map(async (number, index) => {
        const answer = await buy('1', number);
        if (index % 10 !== 0 || !answer.success) return answer;
        await sleep(5);
        await control(sandbox, 'POST', `/orders/${number}/cancel`);
        return answer;
      }),
    );
    const made = placed.filter((answer) => answer.success).length;
    expect(new Set(placed.map((answer) => answer.statusCode))).toEqual(new Set(['SUCCESS', 'NO_ADVERTISEMENT']));
    const offers = await Promise.all(codes.map(view));
    const open = (await Promise.all(numbers.map((number) => orders(sandbox, number)))).flat();
    const waiting = open.filter((order) => order.state === 'WAITING').length;
    expect(made).toBeGreaterThanOrEqual(60);
    expect(offers.reduce((sum, each) => sum + Number(each.reserved), 0)).toBe(waiting);
    expect(offers.map((each) => Number(each.remaining) + Number(each.reserved))).toEqual([40.5, 20]);
    expect(offers.every((each) => Number(each.remaining) >= 0)).toBe(true);
  });
});

describe('a handling fee', () => {
  test('of the merchant’s is kept back from the MTC, shown in the order, told in the callback and the statement', async () => {
    await control(sandbox, 'PUT', '/settings', { fees: { percent: '1.5' } });
    const number = newNumber();
    await buy('5000', number);
    await control(sandbox, 'PUT', '/settings', { fees: { percent: '99' } });
    expect((await orders(sandbox, number))[0]).toMatchObject({
      mtcAmount: '5000.00',
      feeMtc: '75.00',
      feePrice: '0.00',
    });
    await pay(sandbox, number);
    await settled(sandbox, number);
    expect((await merchant.received(number))[0]!.body).toContain(
      '"transactionAmount":4925.00,"currencyCode":"CNY","paymentPrice":36000.00',
    );
    const line = await statementLine(number);
    expect(line).toMatchObject({
      mtcAmount: '5000.00',
      feeMtc: '75.00',
      receivedAmount: '4925.00',
      transactionAmount: '4925.00',
      paymentPrice: '36000.00',
      feePrice: '0.00',
      unitPrice: '7.2',
    });
  });

  test('of the merchant’s may be told gross', async () => {
    await control(sandbox, 'PUT', '/settings', { fees: { fixed: '1', report: 'gross' } });
    const number = newNumber();
    await buy('5000', number);
    await pay(sandbox, number);
    expect((await merchant.received(number))[0]!.body).toContain('"transactionAmount":5000.00,');
    expect(await statementLine(number)).toMatchObject({ receivedAmount: '4999.00', transactionAmount: '5000.00' });
  });

  test('of the payer’s is part of the price', async () => {
    await control(sandbox, 'PUT', '/settings', { fees: { percent: '1', borneBy: 'payer' } });
    const number = newNumber();
    await buy('5000', number);
    await pay(sandbox, number);
    expect((await merchant.received(number))[0]!.body).toContain(
      '"transactionAmount":5000.00,"currencyCode":"CNY","paymentPrice":36360.00',
    );
    expect(await statementLine(number)).toMatchObject({
      feePrice: '360.00',
      feeMtc: '0.00',
      receivedAmount: '5000.00',
    });
  });

  test('that takes all of an order refuses it by the name of its amount', async () => {
    await control(sandbox, 'PUT', '/settings', { fees: { fixed: '5' } });
    expect(await buy('5')).toMatchObject({
      statusCode: 'PARAMETER_ERROR',
      message: expect.stringMatching(/^mtcAmount /),
    });
  });
});

/** The day's statements around now; around midnight the transaction may belong to either. */
async function statementLine(number: string): Promise<Record<string, string>> {
  const days = [0, 86_400_000].map((ms) => new Date(Date.now() - ms).toISOString().slice(0, 10));
  const answers = await Promise.all(days.map((day) => control(sandbox, 'GET', `/statement?day=${day}`)));
  const lines = answers.flatMap(({ body }) => body.lines as Record<string, string>[]);
  return lines.find((line) => line['externalOrderNumber'] === number)!;
}

test.each([
  { currencyCode: 'EUR' },
  { unitPrice: '0' },
  { unitPrice: 7 },
  { remaining: '-1' },
  { minPrice: '10', maxPrice: '9' },
  { paymentMethods: [] },
  { colour: 'red' },
])('an offer with %o is refused', async (terms) => {
  const body = { currencyCode: 'CNY', unitPrice: '7', ...terms };
  expect((await control(sandbox, 'POST', '/advertisements', body)).status).toBe(400);
});

test('an offer nobody made cannot be changed', async () => {
  expect((await control(sandbox, 'PATCH', '/advertisements/ADX', { active: false })).status).toBe(404);
});

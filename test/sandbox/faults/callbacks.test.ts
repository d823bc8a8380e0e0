import { describe, expect, test } from 'vitest';
import { ATTEMPT_FAULTS } from '../../../sandbox/faults/attempt-faults.ts';
import { startFaulty } from './faulty.ts';
import {
  eventually,
  logOf,
  newNumber,
  orders,
  pay,
  place,
  placementBody,
  send,
  settled,
  signed,
  SUCCESS,
} from '../support.ts';

const { sandbox, merchant, faulty, expectTried } = await startFaulty();

interface Content {
  readonly signature?: unknown;
  readonly timestamp: number;
  readonly data: Record<string, unknown>;
}

/** Places and pays an order under one fault; the callbacks are those received once everything has settled. */
async function payUnder(kind: string, params: object = {}, remaining: number | null = 1) {
  const number = await place(sandbox, merchant);
  await faulty(number, kind, params, remaining);
  await pay(sandbox, number);
  const deliveries = kind === 'missing' ? [] : await settled(sandbox, number);
  const bodies = merchant.callbacks
    .filter((callback) => callback.body.includes(number))
    .map((callback) => callback.body);
  return { number, deliveries, bodies, contents: () => bodies.map((body) => JSON.parse(body) as Content) };
}

const isGenuine = ({ signature, timestamp }: Content): boolean => signature === signed(String(timestamp));

describe('a release under a fault', () => {
  test('missing pays the order and never calls back', async () => {
    const { number } = await payUnder('missing');
    expect((await orders(sandbox, number))[0]).toMatchObject({ state: 'RELEASED', deliveries: [] });
    expect((await orders(sandbox, number))[0]!.transactions).toHaveLength(1);
  });

  test('duplicate delivers copies of the same callback at once', async () => {
    const { deliveries, contents } = await payUnder('duplicate', { copies: 10 });
    expect(deliveries).toHaveLength(10);
    const data = new Set(contents().map((content) => JSON.stringify(content.data)));
    expect([contents().length, data.size]).toEqual([10, 1]);
  });

  test('delay holds the callback back', async () => {
    const { deliveries, number } = await payUnder('delay', { ms: 150 });
    const released = (await logOf(sandbox, number)).find((event) => event.kind === 'order.released')!;
    const waited = Date.parse(deliveries[0]!.attempts[0]!.startedAt) - Date.parse(released.at);
    expect(waited).toBeGreaterThan(100);
  });

  test('secondCode brings a second transaction, once the first is settled', async () => {
    const { number, contents } = await payUnder('secondCode');
    const [first, second] = contents();
    expect(second!.data).toEqual({ ...first!.data, transactionCode: second!.data['transactionCode'] });
    expect(second!.data['transactionCode']).not.toBe(first!.data['transactionCode']);
    expect((await orders(sandbox, number))[0]!.transactions).toHaveLength(2);
    const outcomes = (await logOf(sandbox, number)).filter((event) => event.kind.startsWith('callback.'));
    expect(outcomes.map((event) => event.kind)).toEqual([
      'callback.sending',
      'callback.answered',
      'callback.sending',
      'callback.answered',
    ]);
  });

  test('otherContent tells the same transaction with another amount', async () => {
    const { contents } = await payUnder('otherContent');
    const [first, second] = contents();
    expect(second!.data).toEqual({ ...first!.data, transactionAmount: 10_000 });
    expect(isGenuine(second!)).toBe(true);
  });

  test('otherContent tells just what it is given', async () => {
    const { bodies } = await payUnder('otherContent', { data: { paymentPrice: '1.00', currencyCode: 'HKD' } });
    expect(bodies[1]).toContain('"currencyCode":"HKD","paymentPrice":1.00,');
  });
});

describe('a release of several callbacks under a fault', () => {
  test('reordered tells the second transaction first', async () => {
    const { number, contents } = await payUnder('reordered');
    const codes = contents().map((content) => content.data['transactionCode']);
    const released = (await logOf(sandbox, number)).filter((event) => event.kind === 'order.released');
    expect(released.map((event) => event.detail['transactionCode'])).toEqual(codes.toReversed());
  });

  test('reordered turns round what another fault has made', async () => {
    const number = await place(sandbox, merchant);
    await faulty(number, 'otherContent');
    await faulty(number, 'reordered');
    await pay(sandbox, number);
    await settled(sandbox, number);
    const amounts = (await merchant.received(number, 2)).map(
      ({ body }) => (JSON.parse(body) as Content).data['transactionAmount'],
    );
    expect(amounts).toEqual([10_000, 5_000]);
  });

  test('sameCode carries the code of another order', async () => {
    const other = await payUnder('sameCode', { of: 'nobody' });
    const code = other.contents()[0]!.data['transactionCode'];
    const named = await payUnder('sameCode', { of: other.number });
    expect(named.contents()[0]!.data['transactionCode']).toBe(code);
    expect((await orders(sandbox, named.number))[0]!.transactions[0]!.transactionCode).not.toBe(code);
    const [mine] = (await orders(sandbox, named.number))[0]!.transactions;
    const latest = await payUnder('sameCode');
    expect(latest.contents()[0]!.data['transactionCode']).toBe(mine!.transactionCode);
  });

  test('retryStorm sends all seventeen at the same moment, and none of the sixteen is repeated', async () => {
    let underWay = 0;
    let most = 0;
    merchant.answer = async () => {
      most = Math.max(most, (underWay += 1));
      // No response before there are so many of them.
      await eventually(() => (most > 8 ? true : undefined));
      underWay -= 1;
      return SUCCESS;
    };
    const { deliveries, contents } = await payUnder('retryStorm');
    expect(contents()).toHaveLength(17);
    expect(new Set(contents().map((content) => JSON.stringify(content.data))).size).toBe(1);
    const retries = deliveries.flatMap((delivery) => delivery.attempts.map((attempt) => attempt.retry));
    expect(retries.toSorted((a, b) => a - b)).toEqual(Array.from({ length: 17 }, (_, retry) => retry));
  });

  test('retryStorm that is refused leaves the first delivery to the table', async () => {
    merchant.answer = () => ({ status: 500 });
    const { deliveries } = await payUnder('retryStorm');
    expect(deliveries.map((delivery) => delivery.attempts.length)).toEqual([17, ...Array<number>(16).fill(1)]);
  });
});

describe('an attempt under a fault', () => {
  test.each<[string, object]>([
    ['badSignature', {}],
    ['rotatedKey', {}],
    ['lowerCaseSignature', {}],
    ['noSignature', {}],
    ['noSignature', { as: 'null' }],
    ['noSignature', { as: 'array' }],
  ])('%s %o is not genuine, and the retry is', async (kind, params) => {
    merchant.answer = ({ body }) => (isGenuine(JSON.parse(body) as Content) ? SUCCESS : { status: 401 });
    const { deliveries, contents } = await payUnder(kind, params);
    expect(contents().map(isGenuine)).toEqual([false, true]);
    expect(deliveries[0]!.progress).toBe('acknowledged at retry 1 of 16');
  });

  test('reflected carries signature and timestamp of the placement, and the signature is good', async () => {
    const number = newNumber();
    const timestamp = String(Date.now() - 60_000);
    await send(sandbox, placementBody(merchant, { externalOrderNumber: `"${number}"` }), { timestamp });
    await faulty(number, 'reflected');
    await pay(sandbox, number);
    await settled(sandbox, number);
    const content = JSON.parse((await merchant.received(number))[0]!.body) as Content;
    expect(content).toMatchObject({ timestamp: Number(timestamp), signature: signed(timestamp) });
  });

  test.each([
    ['quoted', /"timestamp":"(\d{13})"/, '$1'],
    ['exponent', /"timestamp":(\d)\.(\d{12})e12,/, '$1$2'],
    ['decimal', /"timestamp":(\d{13})\.0,/, '$1'],
  ])('timestampSpelling %s is the same number in other letters', async (as, pattern, digits) => {
    const { bodies, contents } = await payUnder('timestampSpelling', { as });
    const match = pattern.exec(bodies[0]!);
    expect(match).not.toBeNull();
    expect(contents()[0]!.signature).toBe(signed(match![0].replace(pattern, digits)));
  });

  test.each([
    ['exponent', '"transactionAmount":5E+3,', '"paymentPrice":3.6E+4,'],
    ['shifted', '"transactionAmount":500000e-2,', '"paymentPrice":3600000e-2,'],
    ['zeros', '"transactionAmount":5000.000000000000,', '"paymentPrice":36000.000000000000,'],
  ])('amountSpelling %s is the same numbers in other letters', async (as, amount, price) => {
    const { bodies, contents } = await payUnder('amountSpelling', { as });
    expect(bodies[0]).toContain(amount);
    expect(bodies[0]).toContain(price);
    expect(contents()[0]!.data).toMatchObject({ transactionAmount: 5_000, paymentPrice: 36_000, currencyCode: 'CNY' });
    expect(isGenuine(contents()[0]!)).toBe(true);
  });

  test.each([
    ['32551.20', '3.25512E+4', '3255120e-2'],
    ['0.00012', '1.2E-4', '12e-5'],
    ['0.1', '1E-1', '1e-1'],
    ['10.50', '1.05E+1', '1050e-2'],
    ['7', '7E+0', '7e-0'],
    // Not an amount: another fault has changed it.
    ['"a lot"', '"a lot"', '"a lot"'],
    ['0', '0', '0'],
  ])('amountSpelling writes %s exactly', (written, exponent, shifted) => {
    const spelled = (as: string) => {
      const { amountSpelling } = ATTEMPT_FAULTS;
      return amountSpelling.effect(amountSpelling.parse({ as })).fields!([['paymentPrice', written]])[0]![1];
    };
    expect(spelled('exponent')).toBe(exponent);
    expect(spelled('shifted')).toBe(shifted);
    if (/^\d/.test(written)) expect([Number(exponent), Number(shifted)]).toEqual([Number(written), Number(written)]);
  });

  test('lowerCaseSignature differs in nothing but letter case', async () => {
    const { contents } = await payUnder('lowerCaseSignature');
    const { signature, timestamp } = contents()[0]!;
    expect(signature).toBe(signed(String(timestamp)).toLowerCase());
  });

  test('noSignature leaves the member out, or keeps it without a signature', async () => {
    expect((await payUnder('noSignature')).bodies[0]).toMatch(/^\{"timestamp":/);
    expect((await payUnder('noSignature', { as: 'empty' })).bodies[0]).toMatch(/^\{"signature":"",/);
  });

  test('retryAcked goes on although it was acknowledged', async () => {
    const { deliveries, contents } = await payUnder('retryAcked', {}, 2);
    expect(contents()).toHaveLength(3);
    expect(deliveries[0]!.attempts.map((attempt) => attempt.outcome)).toEqual(['REFUSED', 'REFUSED', 'ACKNOWLEDGED']);
    expect(deliveries[0]!.attempts[0]!.answerPrefix).toBe('SUCCESS');
  });

  test('changedBody changes data under a genuine signature', async () => {
    const { bodies, contents } = await payUnder('changedBody', { data: { transactionAmount: '300.00', note: 'x' } });
    expect(bodies[0]).toContain('"transactionAmount":300.00,');
    expect(contents()[0]!.data['note']).toBe('x');
    expect(isGenuine(contents()[0]!)).toBe(true);
  });

  test.each<[string, number, object]>([
    ['staleTimestamp', -74 * 3_600_000, {}],
    ['aheadTimestamp', 600_000, { ms: 600_000 }],
    ['clockSkew', -5_000_000, { ms: -5_000_000 }],
  ])('%s is genuinely signed for another time', async (kind, offsetMs, params) => {
    const { contents, deliveries } = await payUnder(kind, params);
    const [content] = contents();
    expect(isGenuine(content!)).toBe(true);
    expect(Math.abs(content!.timestamp - Date.now() - offsetMs)).toBeLessThan(60_000);
    expect(deliveries[0]!.attempts[0]!.timestamp).toBe(content!.timestamp);
  });

  test('unreadable writes anything in place of a field, or of all data', async () => {
    expect((await payUnder('unreadable')).bodies[0]).toContain('"transactionAmount":"a lot",');
    expect((await payUnder('unreadable', { field: 'paymentPrice', raw: '1e400' })).bodies[0]).toContain(
      '"paymentPrice":1e400,',
    );
    const number = await place(sandbox, merchant);
    await faulty(number, 'unreadable', { field: null, raw: '[' });
    await pay(sandbox, number);
    const [delivery] = await settled(sandbox, number);
    expect(delivery!.attempts[0]!.body).toMatch(/"data":\[\}$/);
  });

  test('duplicateKeys writes a field twice', async () => {
    const { bodies } = await payUnder('duplicateKeys');
    expect(bodies[0]).toContain('"transactionAmount":5000.00,');
    expect(bodies[0]).toMatch(/,"transactionAmount":999999\.00\}\}$/);
  });
});

test('every kind of fault of a release and an attempt has been seen at work above', () =>
  expectTried('release', 'attempt'));

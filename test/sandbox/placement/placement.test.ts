import { beforeEach, describe, expect, test } from 'vitest';
import { ACCESS_KEY, control, logOf, newNumber, orders, placementBody, send, signed, openSandbox } from '../support.ts';

const { sandbox, merchant } = await openSandbox();

beforeEach(async () => {
  const all = ['prices', 'repeatedOrder', 'frozen', 'callbackHosts', 'usedStamps'];
  await control(sandbox, 'PUT', '/settings', Object.fromEntries(all.map((name) => [name, null])));
});

describe('an accepted placement', () => {
  test('is answered in the documented envelope with a link, the advertisement and the time', async () => {
    const before = Date.now();
    const placed = await send(sandbox, placementBody(merchant));
    expect(placed.httpStatus).toBe(200);
    expect(placed.headers.get('content-type')).toBe('application/json');
    expect(Object.keys(JSON.parse(placed.text) as object)).toEqual(['data', 'statusCode', 'message', 'success']);
    expect(placed).toMatchObject({ statusCode: 'SUCCESS', success: true });
    expect(Object.keys(placed.data!)).toEqual(['redirectUrl', 'advertisementCode', 'currentTimestamp']);
    expect(placed.data!.redirectUrl).toMatch(new RegExp(`^${sandbox.url}/pay/[A-Za-z0-9_-]{43}$`));
    expect(placed.data!.currentTimestamp).toBeGreaterThanOrEqual(before);
    expect(placed.data!.currentTimestamp).toBeLessThanOrEqual(Date.now());
  });

  test('carries the sandbox’s clock in its Date header', async () => {
    const placed = await send(sandbox, placementBody(merchant));
    expect(Date.parse(placed.headers.get('date')!)).toBe(Math.floor(placed.data!.currentTimestamp / 1000) * 1000);
  });

  test('shares its advertisement code with other orders but not its link', async () => {
    const [first, second] = [
      await send(sandbox, placementBody(merchant)),
      await send(sandbox, placementBody(merchant)),
    ];
    expect(second.data!.advertisementCode).toBe(first.data!.advertisementCode);
    expect(second.data!.redirectUrl).not.toBe(first.data!.redirectUrl);
  });
});

test.each([
  ['MtcAmount', '5000', 'CNY', '5000.00', '36000.00'],
  ['MtcAmount', '5000.00', 'HKD', '5000.00', '39000.00'],
  ['MtcAmount', '5000', 'TWD', '5000.00', '160000.00'],
  ['MtcAmount', '0.00000003', 'TWD', null, null],
  ['MtcAmount', '0.12345678', 'CNY', '0.12345678', '0.89'],
  ['MtcAmount', '999999999999999.99', 'HKD', '999999999999999.99', '7799999999999999.92'],
  ['PaymentPrice', '32551.20', 'CNY', '4521.00', '32551.20'],
  ['PaymentPrice', '100', 'CNY', '13.88888888', '100.00'],
  ['PaymentPrice', '100.5', 'HKD', '12.88461538', '100.50'],
  ['PaymentPrice', '0.01', 'TWD', '0.0003125', '0.01'],
])('%s %s %s comes to %s MTC for %s', async (mode, asked, currency, mtcAmount, totalPrice) => {
  const number = newNumber();
  const amounts = mode === 'MtcAmount' ? { mtcAmount: asked } : { mtcAmount: undefined, totalPrice: asked };
  const members = { buyCoinMode: `"${mode}"`, currencyCode: `"${currency}"`, externalOrderNumber: `"${number}"` };
  const placed = await send(sandbox, placementBody(merchant, { ...members, ...amounts }));
  const [order] = await orders(sandbox, number);
  if (mtcAmount === null) {
    expect(placed).toMatchObject({ statusCode: 'PARAMETER_ERROR', message: expect.stringContaining('mtcAmount') });
    expect(order).toBeUndefined();
  } else {
    expect(placed.statusCode).toBe('SUCCESS');
    expect(order).toMatchObject({ mtcAmount, totalPrice });
  }
});

describe('authentication', () => {
  const long = 'x'.repeat(32);
  const now = (offsetMs = 0): string => String(Date.now() + offsetMs);

  test.each([
    ['no access key', { access_key: '' }, 'ACCESS_KEY_ERROR'],
    ['an unknown access key', { access_key: long }, 'ACCESS_KEY_ERROR'],
    ['an unknown access key before a bad timestamp', { access_key: long, timestamp: '1' }, 'ACCESS_KEY_ERROR'],
    ['no timestamp', { timestamp: '' }, 'TIMESTAMP_ERROR'],
    ['a timestamp in seconds', { timestamp: '1625546438' }, 'TIMESTAMP_ERROR'],
    ['a timestamp with decimals', { timestamp: `${now()}.0` }, 'TIMESTAMP_ERROR'],
    ['a timestamp too old', { timestamp: now(-301_000) }, 'TIMESTAMP_ERROR'],
    ['a timestamp too far ahead', { timestamp: now(310_000) }, 'TIMESTAMP_ERROR'],
    ['a bad timestamp before a bad signature', { timestamp: now(-301_000), signature: long }, 'TIMESTAMP_ERROR'],
    ['no signature', { signature: '' }, 'SIGNATURE_ERROR'],
    ['another text as signature', { signature: 'AB'.repeat(32) }, 'SIGNATURE_ERROR'],
  ])('refuses %s', async (_case, headers: Record<string, string>, statusCode) => {
    const number = newNumber();
    const placed = await send(sandbox, placementBody(merchant, { externalOrderNumber: `"${number}"` }), headers);
    expect(placed).toMatchObject({ httpStatus: 200, statusCode, success: false, data: null });
    expect(placed.message).not.toBe('');
    expect(await orders(sandbox, number)).toEqual([]);
  });

  test('refuses a signature in lower case, under another secret, or of another timestamp', async () => {
    const timestamp = now();
    const wrong = [signed(timestamp).toLowerCase(), signed(timestamp, 'other'), signed(String(Number(timestamp) - 1))];
    for (const signature of wrong) {
      const placed = await send(sandbox, placementBody(merchant), { timestamp, signature });
      expect(placed.statusCode).toBe('SIGNATURE_ERROR');
    }
  });

  test('refuses absent headers as it refuses empty ones', async () => {
    const response = await fetch(`${sandbox.url}/api/buy-coin/transaction`, { method: 'POST', body: '{}' });
    expect(await response.json()).toMatchObject({ statusCode: 'ACCESS_KEY_ERROR', success: false });
  });

  test('accepts a timestamp just inside the window, and the same signature on another body: it covers none', async () => {
    const timestamp = now(-290_000);
    const headers = { timestamp, signature: signed(timestamp) };
    expect((await send(sandbox, placementBody(merchant), headers)).statusCode).toBe('SUCCESS');
    expect((await send(sandbox, placementBody(merchant, { mtcAmount: '1' }), headers)).statusCode).toBe('SUCCESS');
  });

  test.each([
    ['TIMESTAMP_ERROR', -1_000],
    ['SIGNATURE_ERROR', -2_000],
  ])(
    'refuses a timestamp used before with %s where the setting says so, and twenty at once make one order',
    async (usedStamps, offsetMs) => {
      await control(sandbox, 'PUT', '/settings', { usedStamps });
      const timestamp = now(offsetMs);
      const headers = { timestamp, signature: signed(timestamp) };
      // A request with a wrong signature does not use its timestamp up.
      expect((await send(sandbox, placementBody(merchant), { timestamp, signature: 'x' })).statusCode).toBe(
        'SIGNATURE_ERROR',
      );
      const numbers = Array.from({ length: 20 }, () => newNumber());
      const answers = await Promise.all(
        numbers.map((number) =>
          send(sandbox, placementBody(merchant, { externalOrderNumber: `"${number}"` }), headers),
        ),
      );
      expect(answers.filter((answer) => answer.statusCode === 'SUCCESS')).toHaveLength(1);
      expect(answers.filter((answer) => answer.statusCode === usedStamps)).toHaveLength(19);
      const made = await Promise.all(numbers.map((number) => orders(sandbox, number)));
      expect(made.flat()).toHaveLength(1);
      const next = String(Number(timestamp) + 1);
      const other = await send(sandbox, placementBody(merchant), { timestamp: next, signature: signed(next) });
      expect(other.statusCode).toBe('SUCCESS');
    },
  );

  test('answers a frozen account only after its signature was good', async () => {
    await control(sandbox, 'PUT', '/settings', { frozen: true });
    expect((await send(sandbox, placementBody(merchant))).statusCode).toBe('ACCOUNT_STATUS_ERROR');
    expect((await send(sandbox, placementBody(merchant), { signature: 'x' })).statusCode).toBe('SIGNATURE_ERROR');
  });
});

describe('parameters', () => {
  test.each([
    ['buyCoinMode', undefined],
    ['buyCoinMode', '"mtcAmount"'],
    ['buyCoinMode', '1'],
    ['mtcAmount', undefined],
    ['mtcAmount', 'null'],
    ['mtcAmount', '"5000"'],
    ['mtcAmount', '0'],
    ['mtcAmount', '0.00'],
    ['mtcAmount', '-1'],
    ['mtcAmount', '-0'],
    ['mtcAmount', '1e400'],
    ['mtcAmount', '5e3'],
    ['mtcAmount', '0.000000001'],
    ['mtcAmount', '1000000000000000'],
    ['mtcAmount', 'true'],
    ['mtcAmount', '[5000]'],
    ['externalOrderNumber', undefined],
    ['externalOrderNumber', '""'],
    ['externalOrderNumber', '" "'],
    ['externalOrderNumber', '5'],
    ['externalOrderNumber', `"${'n'.repeat(129)}"`],
    ['externalOrderNumber', String.raw`"a\u0000b"`],
    ['externalOrderNumber', String.raw`"\ud800"`],
    ['callbackUrl', undefined],
    ['callbackUrl', '"/callback"'],
    ['callbackUrl', '"ftp://127.0.0.1/"'],
    ['callbackUrl', '"http://user:password@127.0.0.1/"'],
    ['callbackUrl', '"http://127.0.0.1/#fragment"'],
    ['callbackUrl', '"http://merchant.example/callback"'],
    ['callbackUrl', '"http://127.0.0.1.merchant.example/callback"'],
    ['callbackUrl', `"http://127.0.0.1/${'p'.repeat(2048)}"`],
    ['supportLanguage', undefined],
    ['supportLanguage', '"zh-CN"'],
    ['currencyCode', undefined],
    ['currencyCode', '"USD"'],
    ['currencyCode', '"cny"'],
    ['payerRealName', undefined],
    ['payerRealName', '""'],
    ['payerRealName', '{}'],
  ])('%s %s is refused by name', async (name, raw) => {
    const placed = await send(sandbox, placementBody(merchant, { [name]: raw }));
    expect(placed).toMatchObject({ httpStatus: 200, statusCode: 'PARAMETER_ERROR', success: false, data: null });
    expect(placed.message).toMatch(new RegExp(`^${name} `));
  });

  test('totalPrice has at most two decimals and is asked for only in its mode', async () => {
    const inMode = { buyCoinMode: '"PaymentPrice"', mtcAmount: undefined };
    for (const raw of [undefined, '1.005', '"1"', '0']) {
      const placed = await send(sandbox, placementBody(merchant, { ...inMode, totalPrice: raw }));
      expect(placed).toMatchObject({ statusCode: 'PARAMETER_ERROR', message: expect.stringMatching(/^totalPrice /) });
    }
    expect((await send(sandbox, placementBody(merchant, { totalPrice: '"ignored"' }))).statusCode).toBe('SUCCESS');
  });

  test('parameters nobody knows are ignored', async () => {
    expect((await send(sandbox, placementBody(merchant, { note: '"hello"' }))).statusCode).toBe('SUCCESS');
  });

  test.each([
    ['not JSON', 'buyCoinMode=MtcAmount', {}],
    ['a repeated key', '{"mtcAmount":1,"mtcAmount":2}', {}],
    ['an array', '[]', {}],
    ['too long', `{"padding":"${'x'.repeat(70_000)}"}`, {}],
    ['another content type', '{}', { 'content-type': 'text/plain' }],
    ['another charset', '{}', { 'content-type': 'application/json; charset=utf-16le' }],
    ['compressed', '{}', { 'content-encoding': 'gzip' }],
  ])('a body that is %s is refused', async (_case, body, headers) => {
    const placed = await send(sandbox, body, headers);
    expect(placed).toMatchObject({ httpStatus: 200, statusCode: 'PARAMETER_ERROR' });
  });

  test('a body that is not UTF-8 is refused, not read with replacement characters', async () => {
    const timestamp = String(Date.now());
    const response = await fetch(`${sandbox.url}/api/buy-coin/transaction`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', access_key: ACCESS_KEY, timestamp, signature: signed(timestamp) },
      body: Buffer.from(placementBody(merchant).replace('Xiaoming', '\u00ff'), 'latin1'),
    });
    expect(await response.json()).toMatchObject({ statusCode: 'PARAMETER_ERROR', message: 'the body is not UTF-8' });
  });

  test('a host may be allowed for callbacks', async () => {
    await control(sandbox, 'PUT', '/settings', { callbackHosts: ['merchant.example'] });
    const placed = await send(sandbox, placementBody(merchant, { callbackUrl: '"https://merchant.example/cb"' }));
    expect(placed.statusCode).toBe('SUCCESS');
  });
});

test('a currency nobody sells MTC for has no advertisement', async () => {
  await control(sandbox, 'PUT', '/settings', { prices: { HKD: 'none' } });
  expect((await send(sandbox, placementBody(merchant, { currencyCode: '"HKD"' }))).statusCode).toBe('NO_ADVERTISEMENT');
  expect((await send(sandbox, placementBody(merchant))).statusCode).toBe('SUCCESS');
});

describe('a repeated externalOrderNumber', () => {
  test('is a parameter error, even when a hundred come at once', async () => {
    const number = newNumber();
    const body = placementBody(merchant, { externalOrderNumber: `"${number}"` });
    const answers = await Promise.all(Array.from({ length: 100 }, () => send(sandbox, body)));
    const refused = answers.filter((answer) => answer.statusCode === 'PARAMETER_ERROR');
    expect(refused).toHaveLength(99);
    expect(refused[0]!.message).toMatch(/^externalOrderNumber /);
    expect(await orders(sandbox, number)).toHaveLength(1);
  });

  test('makes a further order where the setting says so', async () => {
    await control(sandbox, 'PUT', '/settings', { repeatedOrder: 'second' });
    const number = newNumber();
    const body = placementBody(merchant, { externalOrderNumber: `"${number}"` });
    const answers = await Promise.all(Array.from({ length: 5 }, () => send(sandbox, body)));
    expect(answers.map((answer) => answer.statusCode)).toEqual(Array(5).fill('SUCCESS'));
    expect((await orders(sandbox, number)).map((order) => order.nth)).toEqual([1, 2, 3, 4, 5]);
    expect(new Set(answers.map((answer) => answer.data!.redirectUrl)).size).toBe(5);
  });
});

test('every attempt at a placement is in the log, refused ones too, and no name, key or link with it', async () => {
  const number = newNumber();
  const body = placementBody(merchant, { externalOrderNumber: `"${number}"`, payerRealName: '"Canary Person"' });
  await send(sandbox, body, { signature: 'x' });
  const placed = await send(sandbox, body);
  const events = await logOf(sandbox, number);
  expect(events.map((event) => event.kind)).toEqual([
    'placement.received',
    'placement.answered',
    'placement.received',
    'order.made',
    'placement.answered',
  ]);
  expect(events[1]!.detail).toMatchObject({ statusCode: 'SIGNATURE_ERROR', orderId: null });
  expect(events[4]!.detail).toMatchObject({ statusCode: 'SUCCESS', httpStatus: 200 });
  const text = JSON.stringify(events);
  const token = placed.data!.redirectUrl.split('/').at(-1)!;
  for (const secret of ['Canary', ACCESS_KEY, merchant.url, token]) expect(text).not.toContain(secret);
});

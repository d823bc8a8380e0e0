import { afterEach, beforeAll, describe, expect, test } from 'vitest';
import { ATTEMPT_FAULTS } from '../../sandbox/faults/attempt-faults.ts';
import { FAULT_CATALOGUE, FAULT_KINDS } from '../../sandbox/faults/faults.ts';
import type { Sandbox } from '../../sandbox/server.ts';
import {
  control,
  createDatabase,
  eventually,
  fault,
  logOf,
  type Merchant,
  newNumber,
  orders,
  pay,
  place,
  placementBody,
  type Placed,
  send,
  settled,
  signed,
  start,
  startMerchant,
  SUCCESS,
} from './support.ts';

let sandbox: Sandbox;
let merchant: Merchant;

beforeAll(async () => {
  merchant = await startMerchant();
  sandbox = await start(await createDatabase(), { SANDBOX_SPEED: '100000' });
});

afterEach(async () => {
  merchant.answer = () => SUCCESS;
  await control(sandbox, 'DELETE', '/faults');
  await control(sandbox, 'PUT', '/settings', { speed: null });
});

const kindsTested = new Set<string>();

/** Places an order under one fault. `placed` is null if the connection broke. */
async function placeUnder(
  kind: string,
  params: object = {},
): Promise<{ placed: Placed | null; number: string; made: boolean }> {
  kindsTested.add(kind);
  const number = newNumber();
  await fault(sandbox, number, kind, params);
  const body = placementBody(merchant, { externalOrderNumber: `"${number}"` });
  const placed = await send(sandbox, body).catch(() => null);
  return { placed, number, made: (await orders(sandbox, number)).length === 1 };
}

const lastEvent = async (number: string) =>
  eventually(async () =>
    (await logOf(sandbox, number)).find((event) => /^placement\.(answered|lost)$/.test(event.kind)),
  );

describe('a placement under a fault', () => {
  test.each(['TIMESTAMP_ERROR', 'SYSTEM_ERROR', 'NO_ADVERTISEMENT', 'ACCOUNT_STATUS_ERROR'])(
    'status answers %s and makes no order',
    async (statusCode) => {
      const { placed, made } = await placeUnder('status', { statusCode, message: 'as asked' });
      expect(placed).toMatchObject({ httpStatus: 200, statusCode, message: 'as asked', success: false, data: null });
      expect(made).toBe(false);
    },
  );

  test('status answers SYSTEM_ERROR although the order was made, where told so', async () => {
    const { placed, made } = await placeUnder('status', { statusCode: 'SYSTEM_ERROR', made: true });
    expect([placed!.statusCode, made]).toEqual(['SYSTEM_ERROR', true]);
  });

  test.each([false, true])('http500 answers without an envelope (order made: %s)', async (asked) => {
    const { placed, made } = await placeUnder('http500', { made: asked, httpStatus: 503 });
    expect([placed!.httpStatus, placed!.text, made]).toEqual([503, 'error', asked]);
  });

  test('html answers a proxy’s page', async () => {
    const { placed, made } = await placeUnder('html');
    expect(placed!.headers.get('content-type')).toContain('text/html');
    expect([placed!.httpStatus, placed!.text.startsWith('<!doctype'), made]).toEqual([200, true, false]);
  });

  test('empty answers nothing', async () => {
    const { placed, made } = await placeUnder('empty');
    expect([placed!.httpStatus, placed!.text, made]).toEqual([200, '', false]);
  });

  test('truncated answers half of the JSON text, the order made or not', async () => {
    const whole = await placeUnder('truncated');
    expect(whole.placed!.text).toMatch(/^\{"data":\{"redirectUrl"/);
    expect(() => JSON.parse(whole.placed!.text) as unknown).toThrow(SyntaxError);
    expect(whole.made).toBe(true);
    expect((await placeUnder('truncated', { made: false })).made).toBe(false);
  });

  test('truncated can also break the connection half way', async () => {
    const { placed, made, number } = await placeUnder('truncated', { abrupt: true });
    expect([placed, made]).toEqual([null, true]);
    expect((await lastEvent(number)).kind).toBe('placement.lost');
  });

  test('slow answers regularly, but not before its time', async () => {
    const startedAt = performance.now();
    const { placed } = await placeUnder('slow', { ms: 120 });
    expect(placed!.statusCode).toBe('SUCCESS');
    // Timers may fire a millisecond early.
    expect(performance.now() - startedAt).toBeGreaterThanOrEqual(119);
  });

  test('cut makes the order and loses the answer', async () => {
    const { placed, made, number } = await placeUnder('cut');
    expect([placed, made]).toEqual([null, true]);
    expect(await lastEvent(number)).toMatchObject({ kind: 'placement.lost', detail: { faults: ['cut'] } });
  });

  test('cutBefore loses the request', async () => {
    const { placed, made } = await placeUnder('cutBefore');
    expect([placed, made]).toEqual([null, false]);
  });

  test.each([true, false])('hang never answers (order made: %s)', async (asked) => {
    kindsTested.add('hang');
    const number = newNumber();
    await fault(sandbox, number, 'hang', { made: asked });
    const timestamp = String(Date.now());
    const gone = new AbortController();
    const answer = fetch(`${sandbox.url}/api/buy-coin/transaction`, {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        access_key: sandbox.accessKey,
        timestamp,
        signature: signed(timestamp),
      },
      body: placementBody(merchant, { externalOrderNumber: `"${number}"` }),
      signal: gone.signal,
    }).catch((error: Error) => error.name);
    await eventually(async () =>
      (await logOf(sandbox, number)).some((event) => event.kind === 'fault.applied') ? true : undefined,
    );
    if (asked) await eventually(async () => (await orders(sandbox, number))[0]);
    gone.abort();
    expect(await answer).toBe('AbortError');
    expect((await lastEvent(number)).kind).toBe('placement.lost');
    expect(await orders(sandbox, number)).toHaveLength(asked ? 1 : 0);
  });

  test('wrongTypes answers success with members of other types', async () => {
    const { placed, made } = await placeUnder('wrongTypes');
    const { data } = JSON.parse(placed!.text) as { data: Record<string, unknown> };
    expect(placed!.success).toBe(true);
    expect(data).toMatchObject({
      redirectUrl: [expect.any(String)],
      advertisementCode: 1,
      currentTimestamp: expect.any(String),
    });
    expect(made).toBe(true);
  });

  test('http429 asks for patience and makes no order', async () => {
    const { placed, made } = await placeUnder('http429', { retryAfterSeconds: 7 });
    expect([placed!.httpStatus, placed!.headers.get('retry-after'), made]).toEqual([429, '7', false]);
  });

  test('trickle answers regularly, in pieces', async () => {
    const startedAt = performance.now();
    const { placed, made } = await placeUnder('trickle', { pieces: 5, everyMs: 30 });
    expect([placed!.statusCode, made]).toEqual(['SUCCESS', true]);
    expect(performance.now() - startedAt).toBeGreaterThanOrEqual(100);
  });

  test('foreignRedirect sends the payer elsewhere', async () => {
    const { placed } = await placeUnder('foreignRedirect', { url: 'https://phish.example/pay' });
    expect(placed!.data!.redirectUrl).toBe('https://phish.example/pay');
  });

  test('hugeBody is well-formed and huge', async () => {
    const { placed, made } = await placeUnder('hugeBody', { bytes: 2_000_000 });
    expect(placed!.text.length).toBeGreaterThan(2_000_000);
    expect([placed!.statusCode, made]).toEqual(['SUCCESS', true]);
  });

  test('clockSkew refuses a good clock, and Date tells by how much ours is off', async () => {
    const { placed } = await placeUnder('clockSkew', { ms: 3_600_000 });
    expect(placed!.statusCode).toBe('TIMESTAMP_ERROR');
    const skewMs = Date.parse(placed!.headers.get('date')!) - Date.now();
    expect(Math.abs(skewMs - 3_600_000)).toBeLessThan(60_000);
  });

  test('clockSkew shifts currentTimestamp for a merchant who follows it', async () => {
    const number = newNumber();
    await fault(sandbox, number, 'clockSkew', { ms: -3_600_000 });
    const timestamp = String(Date.now() - 3_600_000);
    const placed = await send(sandbox, placementBody(merchant, { externalOrderNumber: `"${number}"` }), { timestamp });
    expect(Math.abs(placed.data!.currentTimestamp - Number(timestamp))).toBeLessThan(60_000);
  });

  test('frozen answers ACCOUNT_STATUS_ERROR', async () => {
    const { placed, made } = await placeUnder('frozen');
    expect([placed!.statusCode, made]).toEqual(['ACCOUNT_STATUS_ERROR', false]);
  });

  test('early delivers the callback before it answers', async () => {
    const seen: string[] = [];
    merchant.answer = () => {
      seen.push('callback');
      return SUCCESS;
    };
    const { placed, number } = await placeUnder('early');
    seen.push('answer');
    expect(placed!.statusCode).toBe('SUCCESS');
    expect(seen).toEqual(['callback', 'answer']);
    const kinds = (await logOf(sandbox, number)).map((event) => event.kind);
    expect(kinds.indexOf('callback.answered')).toBeLessThan(kinds.indexOf('placement.answered'));
  });

  test('early goes together with cut: paid, called back, and never answered', async () => {
    const number = newNumber();
    await fault(sandbox, number, 'early');
    await fault(sandbox, number, 'cut');
    await expect(place(sandbox, merchant, number)).rejects.toThrow();
    expect((await settled(sandbox, number))[0]!.state).toBe('ACKNOWLEDGED');
  });
});

interface Content {
  readonly signature?: unknown;
  readonly timestamp: number;
  readonly data: Record<string, unknown>;
}

/** Places and pays an order under one fault; the callbacks are those received once everything has settled. */
async function payUnder(kind: string, params: object = {}, remaining: number | null = 1) {
  kindsTested.add(kind);
  const number = await place(sandbox, merchant);
  await fault(sandbox, number, kind, params, remaining);
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
    await fault(sandbox, number, 'otherContent');
    await fault(sandbox, number, 'reordered');
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
      // None is answered before there are so many of them.
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
    kindsTested.add('reflected');
    const number = newNumber();
    const timestamp = String(Date.now() - 60_000);
    await send(sandbox, placementBody(merchant, { externalOrderNumber: `"${number}"` }), { timestamp });
    await fault(sandbox, number, 'reflected');
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
    // What another fault has put there is no amount to spell.
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
    kindsTested.add('unreadable');
    const number = await place(sandbox, merchant);
    await fault(sandbox, number, 'unreadable', { field: null, raw: '[' });
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

describe('a fault', () => {
  test('acts as often as it is counted, however many ask at once', async () => {
    await fault(sandbox, 'global', 'frozen', {}, 3);
    const answers = await Promise.all(Array.from({ length: 12 }, () => send(sandbox, placementBody(merchant))));
    expect(answers.filter((answer) => answer.statusCode === 'ACCOUNT_STATUS_ERROR')).toHaveLength(3);
    expect(answers.filter((answer) => answer.statusCode === 'SUCCESS')).toHaveLength(9);
  });

  test('without a count acts until it is removed', async () => {
    const id = await fault(sandbox, 'global', 'frozen', {}, null);
    for (const _ of [1, 2, 3])
      expect((await send(sandbox, placementBody(merchant))).statusCode).toBe('ACCOUNT_STATUS_ERROR');
    expect((await control(sandbox, 'DELETE', `/faults/${id}`)).body).toEqual({ removed: 1 });
    expect((await send(sandbox, placementBody(merchant))).statusCode).toBe('SUCCESS');
  });

  test('aimed at one order leaves all others alone', async () => {
    const number = newNumber();
    await fault(sandbox, number, 'frozen');
    expect((await send(sandbox, placementBody(merchant))).statusCode).toBe('SUCCESS');
    await expect(place(sandbox, merchant, number)).rejects.toThrow('ACCOUNT_STATUS_ERROR');
  });

  test('is in the log each time it acted', async () => {
    const { number } = await placeUnder('empty');
    const applied = (await logOf(sandbox, number)).filter((event) => event.kind === 'fault.applied');
    expect(applied).toMatchObject([{ detail: { kind: 'empty' } }]);
  });

  test('of an unknown kind, with unknown parameters or parameters that do not fit is refused', async () => {
    for (const body of [
      { kind: 'toString' },
      { kind: 'status' },
      { kind: 'slow', params: { ms: -1 } },
      { kind: 'cut', params: { x: 1 } },
    ]) {
      const { status, body: answer } = await control(sandbox, 'POST', '/faults', body);
      expect([status, typeof answer.error]).toEqual([400, 'string']);
    }
    expect((await control(sandbox, 'GET', '/faults')).body.faults).toEqual([]);
  });
});

test('the catalogue lists every kind with a sentence and parameters a form can be made of', async () => {
  expect(FAULT_CATALOGUE.map((entry) => entry.kind).toSorted()).toEqual([...FAULT_KINDS].toSorted());
  for (const { description, params } of FAULT_CATALOGUE) {
    expect(description).toMatch(/^\p{Lu}.*\.$/u);
    expect(params).toMatchObject({ type: 'object', additionalProperties: false });
  }
  expect((await control(sandbox, 'GET', '/faults')).body.catalogue).toEqual(
    JSON.parse(JSON.stringify(FAULT_CATALOGUE)),
  );
});

test('every kind of fault has been seen at work above', () => {
  expect(FAULT_KINDS.filter((kind) => !kindsTested.has(kind))).toEqual([]);
});

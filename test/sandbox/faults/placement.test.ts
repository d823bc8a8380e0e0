import { describe, expect, test } from 'vitest';
import { startFaulty } from './faulty.ts';
import {
  eventually,
  logOf,
  newNumber,
  orders,
  place,
  placementBody,
  send,
  settled,
  signed,
  SUCCESS,
} from '../support.ts';

const { sandbox, merchant, faulty, placeUnder, expectTried } = await startFaulty();

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
    const number = newNumber();
    await faulty(number, 'hang', { made: asked });
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
    await faulty(number, 'clockSkew', { ms: -3_600_000 });
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
    await faulty(number, 'early');
    await faulty(number, 'cut');
    await expect(place(sandbox, merchant, number)).rejects.toThrow();
    expect((await settled(sandbox, number))[0]!.state).toBe('ACKNOWLEDGED');
  });
});

test('every kind of fault of a placement has been seen at work above', () => expectTried('placement'));

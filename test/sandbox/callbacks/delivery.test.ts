import { gzipSync } from 'node:zlib';
import { afterEach, describe, expect, test } from 'vitest';
import { RETRY_TABLE_MS } from '../../../sandbox/wire/retry-schedule.ts';
import {
  control,
  eventually,
  logOf,
  type MerchantAnswer,
  orders,
  pay,
  place,
  settled,
  signed,
  SUCCESS,
  openSandbox,
} from '../support.ts';

/** Fast enough that the whole table takes a quarter of a second of waiting. */
const SPEED = 1_000_000;

const { sandbox, merchant } = await openSandbox();

afterEach(async () => {
  merchant.answer = () => SUCCESS;
  const all = ['speed', 'retryReading', 'resign', 'acks', 'answerTimeoutMs', 'callbackHosts'];
  await control(sandbox, 'PUT', '/settings', Object.fromEntries(all.map((name) => [name, null])));
});

test('a callback carries signature and timestamp in its body, and is over once acknowledged', async () => {
  const number = await place(sandbox, merchant);
  await pay(sandbox, number);
  const [delivery] = await settled(sandbox, number);
  expect(delivery).toMatchObject({
    state: 'ACKNOWLEDGED',
    progress: 'acknowledged at first delivery',
    nextAttemptAt: null,
  });
  const [callback, ...others] = merchant.callbacks.filter((each) => each.body.includes(number));
  expect(others).toEqual([]);
  expect(callback!.headers['content-type']).toBe('application/json');
  const body = JSON.parse(callback!.body) as { signature: string; timestamp: number };
  expect(body.signature).toBe(signed(String(body.timestamp)));
  expect(callback!.body).toContain('"transactionAmount":5000.00,"currencyCode":"CNY","paymentPrice":36000.00');
  expect(delivery!.attempts).toHaveLength(1);
  expect(delivery!.attempts[0]).toMatchObject({
    retry: 0,
    repeated: false,
    body: callback!.body,
    answerPrefix: 'SUCCESS',
  });
});

describe.each(['gaps', 'offsets'] as const)('the retry table read as %s', (retryReading) => {
  test('gives seventeen attempts at the table’s times, then "Callback Failed"', async () => {
    await control(sandbox, 'PUT', '/settings', { speed: SPEED, retryReading });
    merchant.answer = () => ({ status: 500 });
    const number = await place(sandbox, merchant);
    await pay(sandbox, number);
    const [delivery] = await settled(sandbox, number);
    expect(delivery).toMatchObject({ state: 'FAILED', progress: 'Callback Failed after retry 16 of 16' });
    const { attempts } = delivery!;
    expect(attempts.map((attempt) => attempt.retry)).toEqual(Array.from({ length: 17 }, (_, retry) => retry));
    expect(attempts.every((attempt) => attempt.outcome === 'REFUSED' && attempt.httpStatus === 500)).toBe(true);
    for (const [index, entryMs] of RETRY_TABLE_MS.entries()) {
      const since = attempts[retryReading === 'gaps' ? index : 0]!;
      const waited = Date.parse(attempts[index + 1]!.dueAt) - Date.parse(since.startedAt);
      // Times are shown in whole milliseconds, each rounded on its own.
      expect(Math.abs(waited - entryMs / SPEED)).toBeLessThanOrEqual(1);
      expect(Date.parse(attempts[index + 1]!.startedAt)).toBeGreaterThanOrEqual(Date.parse(attempts[index + 1]!.dueAt));
    }
    const kinds = (await logOf(sandbox, number)).map((event) => event.kind);
    expect(kinds.filter((kind) => kind === 'callback.sending')).toHaveLength(17);
    expect(kinds.at(-1)).toBe('callback.failed');
  });
});

test('at the real speed the first retry is a minute after the first delivery', async () => {
  merchant.answer = () => ({ status: 503 });
  const number = await place(sandbox, merchant);
  await pay(sandbox, number);
  const delivery = await eventually(async () =>
    (await orders(sandbox, number))[0]!.deliveries.find((each) => each.nextRetry === 1),
  );
  expect(delivery.state).toBe('PENDING');
  expect(delivery.progress).toMatch(/^first delivery refused, retry 1 of 16 next, next attempt at \d{4}-/);
  expect(Date.parse(delivery.nextAttemptAt!) - Date.parse(delivery.attempts[0]!.startedAt)).toBe(60_000);
});

test('a retry is acknowledged like a first delivery and ends the schedule', async () => {
  await control(sandbox, 'PUT', '/settings', { speed: SPEED });
  let refusals = 3;
  merchant.answer = () => ((refusals -= 1) >= 0 ? { status: 500 } : SUCCESS);
  const number = await place(sandbox, merchant);
  await pay(sandbox, number);
  const [delivery] = await settled(sandbox, number);
  expect(delivery).toMatchObject({ state: 'ACKNOWLEDGED', progress: 'acknowledged at retry 3 of 16' });
  expect(delivery!.attempts).toHaveLength(4);
});

describe('a retry is', () => {
  const stampsOf = async (resign: 'fresh' | 'same'): Promise<{ timestamp: number; signature: string }[]> => {
    await control(sandbox, 'PUT', '/settings', { speed: SPEED, resign });
    let refusals = 2;
    merchant.answer = async () => {
      await new Promise((resolve) => void setTimeout(resolve, 3));
      return (refusals -= 1) >= 0 ? { status: 500 } : SUCCESS;
    };
    const number = await place(sandbox, merchant);
    await pay(sandbox, number);
    await settled(sandbox, number);
    const own = await merchant.received(number, 3);
    return own.map((callback) => JSON.parse(callback.body) as { timestamp: number; signature: string });
  };

  test('signed afresh with a new timestamp', async () => {
    const stamps = await stampsOf('fresh');
    expect(new Set(stamps.map((stamp) => stamp.timestamp)).size).toBe(3);
    for (const { timestamp, signature } of stamps) expect(signature).toBe(signed(String(timestamp)));
  });

  test('or a repetition of the first, byte for byte, as the setting says', async () => {
    const stamps = await stampsOf('same');
    expect(new Set(stamps.map((stamp) => JSON.stringify(stamp))).size).toBe(1);
  });
});

describe('an answer', () => {
  const deliver = async (answer: MerchantAnswer) => {
    merchant.answer = () => answer;
    const number = await place(sandbox, merchant);
    await pay(sandbox, number);
    return eventually(async () =>
      (await orders(sandbox, number))[0]!.deliveries[0]!.attempts.find((each) => each.outcome !== 'SENDING'),
    );
  };
  const json = { 'content-type': 'application/json' };
  const text = { 'content-type': 'text/plain' };

  test.each<[string, MerchantAnswer]>([
    ['the text form', SUCCESS],
    ['the JSON form', { headers: json, body: '{"success":true}' }],
    ['the JSON form of the text', { headers: json, body: '"SUCCESS"' }],
  ])('in %s acknowledges', async (_case, answer) => {
    expect(await deliver(answer)).toMatchObject({ outcome: 'ACKNOWLEDGED', problem: null });
  });

  test.each<[string, MerchantAnswer]>([
    ['with a byte order mark', { headers: text, body: Buffer.from('\ufeffSUCCESS') }],
    ['with another letter case', { headers: text, body: 'Success' }],
    ['compressed', { headers: { ...text, 'content-encoding': 'gzip' }, body: gzipSync('SUCCESS') }],
    ['with status 202', { ...SUCCESS, status: 202 }],
    ['that redirects', { status: 302, headers: { ...text, location: '/callback' }, body: 'SUCCESS' }],
    ['with the JSON form as text', { headers: text, body: '{"success":true}' }],
  ])('%s does not acknowledge', async (_case, answer) => {
    const attempt = await deliver(answer);
    expect(attempt.outcome).not.toBe('ACKNOWLEDGED');
    expect(attempt.problem).toEqual(expect.any(String));
  });

  test('of a megabyte is not read to its end', async () => {
    const attempt = await deliver({ headers: text, body: 'x'.repeat(1_000_000) });
    expect(attempt).toMatchObject({ outcome: 'NO_ANSWER', problem: 'the answer is longer than 65536 bytes' });
  });

  test('that never comes is given up after the answer timeout', async () => {
    await control(sandbox, 'PUT', '/settings', { answerTimeoutMs: 50 });
    expect(await deliver({ silent: true })).toMatchObject({
      outcome: 'NO_ANSWER',
      problem: 'no whole answer within 50 ms',
    });
  });

  test('cut off is no answer', async () => {
    expect(await deliver({ destroy: true })).toMatchObject({
      outcome: 'NO_ANSWER',
      httpStatus: null,
      problem: 'ECONNRESET',
    });
  });

  test('counts only if its form is configured', async () => {
    await control(sandbox, 'PUT', '/settings', { acks: ['json:{"code":0}'] });
    expect(await deliver(SUCCESS)).toMatchObject({ outcome: 'REFUSED' });
    expect(await deliver({ headers: json, body: '{"code":0}' })).toMatchObject({ outcome: 'ACKNOWLEDGED' });
  });
});

test('a host that is not allowed any more is not called', async () => {
  const number = await place(sandbox, merchant);
  await control(sandbox, 'PUT', '/settings', { callbackHosts: ['merchant.example'] });
  await pay(sandbox, number);
  const attempt = await eventually(async () =>
    (await orders(sandbox, number))[0]!.deliveries[0]?.attempts.find((each) => each.outcome !== 'SENDING'),
  );
  expect(attempt.problem).toMatch(/^not sent: callbackUrl must point to an allowed host/);
  expect(merchant.callbacks.filter((callback) => callback.body.includes(number))).toEqual([]);
});

test('no more callbacks are under way at once than configured, and all get their turn', async () => {
  let underWay = 0;
  let most = 0;
  const gate = deferred();
  merchant.answer = async () => {
    underWay += 1;
    most = Math.max(most, underWay);
    await gate.promise;
    underWay -= 1;
    return SUCCESS;
  };
  const numbers = await Promise.all(Array.from({ length: 20 }, () => place(sandbox, merchant)));
  await Promise.all(numbers.map((number) => pay(sandbox, number)));
  await eventually(() => (underWay === 16 ? true : undefined));
  await loopHasPassed();
  gate.resolve();
  for (const number of numbers) expect((await settled(sandbox, number))[0]!.state).toBe('ACKNOWLEDGED');
  expect(most).toBe(16);
});

/**
 * The loop releases before it sends, so the second of two releases comes after a whole pass over the pending callbacks.
 */
async function loopHasPassed(): Promise<void> {
  await control(sandbox, 'PUT', '/settings', { releaseDelayMs: 0 });
  for (const number of [await place(sandbox, merchant), await place(sandbox, merchant)]) {
    await control(sandbox, 'POST', `/orders/${number}/pay`);
    await eventually(async () => ((await orders(sandbox, number))[0]!.state === 'RELEASED' ? true : undefined));
  }
  await control(sandbox, 'PUT', '/settings', { releaseDelayMs: null });
}

function deferred(): { promise: Promise<void>; resolve: () => void } {
  let resolve = (): void => undefined;
  const promise = new Promise<void>((done) => {
    resolve = done;
  });
  return { promise, resolve };
}

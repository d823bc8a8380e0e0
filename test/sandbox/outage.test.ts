import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import pg from 'pg';
import { afterAll, describe, expect, test } from 'vitest';
import { RETRY_TABLE_MS, type RetryReading } from '../../sandbox/wire/retry-schedule.ts';
import { ended, runProgram } from './program.ts';
import {
  control,
  createDatabase,
  eventually,
  type Merchant,
  newNumber,
  pay,
  place,
  placementBody,
  send,
  settled,
  start,
  startMerchant,
  SUCCESS,
} from './support.ts';

const databaseUrl = await createDatabase();
const merchant = await startMerchant();

describe.each<{ reading: RetryReading; speed: number }>([
  { reading: 'gaps', speed: 40_000 },
  { reading: 'offsets', speed: 8_000 },
])('with the table read as $reading', ({ reading, speed }) => {
  test('a process killed half way is followed by one that keeps all seventeen times, to "Callback Failed"', async () => {
    const env = { SANDBOX_RETRY_READING: reading, SANDBOX_SPEED: String(speed) };
    merchant.answer = () => ({ status: 500 });
    const first = await runProgram(databaseUrl, env);
    const number = await place(first.sandbox, merchant);
    await pay(first.sandbox, number);
    await merchant.received(number, 9);
    first.child.kill('SIGKILL');
    expect(await ended(first.child)).toBe('SIGKILL');
    const before = merchant.callbacks.length;

    const second = await runProgram(databaseUrl, env);
    const [delivery] = await settled(second.sandbox, number);
    expect(merchant.callbacks.length).toBeGreaterThan(before);
    expect(delivery).toMatchObject({ state: 'FAILED', progress: 'Callback Failed after retry 16 of 16' });
    const { attempts } = delivery!;
    // An attempt whose outcome died with the process is made once more, and only that one.
    const steps = attempts.filter((attempt) => attempt.outcome !== 'UNKNOWN');
    expect(steps.map((attempt) => attempt.retry)).toEqual(Array.from({ length: 17 }, (_, retry) => retry));
    expect(attempts.length - steps.length).toBeLessThanOrEqual(1);
    for (const [index, entryMs] of RETRY_TABLE_MS.entries()) {
      const since = reading === 'gaps' ? steps[index]! : attempts[0]!;
      const next = steps[index + 1]!;
      const waited = Date.parse(next.dueAt) - Date.parse(since.startedAt);
      expect(Math.abs(waited - entryMs / speed)).toBeLessThanOrEqual(1);
      expect(Date.parse(next.startedAt)).toBeGreaterThanOrEqual(Date.parse(next.dueAt));
    }
    second.child.kill('SIGTERM');
    expect(await ended(second.child)).toBe(0);
  });
});

/** An endpoint that cuts every connection until the test restores it. */
async function startEndpoint() {
  const state = { isUp: false, refused: 0, underWay: 0, most: 0, acknowledged: 0 };
  const server = createServer((request, response) => {
    state.most = Math.max(state.most, (state.underWay += 1));
    response.once('close', () => (state.underWay -= 1));
    request.resume().on('end', () => {
      if (state.isUp) {
        state.acknowledged += 1;
        response.writeHead(200, SUCCESS.headers).end(SUCCESS.body);
      } else {
        state.refused += 1;
        response.destroy();
      }
    });
  });
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
  afterAll(() => server.close());
  return { state, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/` };
}

test('a thousand orders finished while the endpoint was away are all delivered, over no more connections than configured', async () => {
  const CONCURRENCY = 16;
  const ORDERS = 1_000;
  const own = await createDatabase();
  const sandbox = await start(own, {
    SANDBOX_SPEED: '60',
    SANDBOX_RELEASE_DELAY: '24h',
    SANDBOX_CALLBACK_CONCURRENCY: String(CONCURRENCY),
  });
  const { state, url } = await startEndpoint();
  const waiting = Array.from({ length: ORDERS }, newNumber);
  await Promise.all(
    Array.from({ length: CONCURRENCY }, async () => {
      for (let number = waiting.pop(); number !== undefined; number = waiting.pop()) {
        const members = { externalOrderNumber: `"${number}"`, callbackUrl: `"${url}"` };
        const placed = await send(sandbox, placementBody({ url } as Merchant, members));
        expect(placed.statusCode).toBe('SUCCESS');
        expect((await control(sandbox, 'POST', `/orders/${number}/pay`)).status).toBe(200);
      }
    }),
  );
  const client = new pg.Client({ connectionString: own });
  await client.connect();
  const count = async (state: string, table = 'delivery'): Promise<number> =>
    (await client.query(`SELECT count(*)::int AS n FROM sandbox.${table} WHERE state = '${state}'`)).rows[0]
      .n as number;
  expect(await count('PAID', 'buy_order')).toBe(ORDERS);
  // All sellers release at once.
  await client.query('UPDATE sandbox.buy_order SET release_at = now()');
  await eventually(async () => {
    const { rows } = await client.query('SELECT count(first_attempt_at)::int AS n FROM sandbox.delivery');
    return rows[0].n === ORDERS ? true : undefined;
  });
  expect(state.acknowledged).toBe(0);
  state.isUp = true;
  await eventually(async () => ((await count('ACKNOWLEDGED')) === ORDERS ? true : undefined));
  expect(await count('FAILED')).toBe(0);
  expect(state.acknowledged).toBe(ORDERS);
  expect(state.most).toBeLessThanOrEqual(CONCURRENCY);
  await client.end();
});

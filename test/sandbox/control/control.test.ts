import pg from 'pg';
import { describe, expect, test } from 'vitest';
import type { LoggedEvent } from '../../../sandbox/event-log.ts';
import {
  control,
  CONTROL_TOKEN,
  eventually,
  newNumber,
  orders,
  pay,
  place,
  settled,
  start,
  SUCCESS,
  openSandbox,
} from '../support.ts';

const { databaseUrl, sandbox, merchant } = await openSandbox();

test('health needs no token and looks at the database', async () => {
  expect(await (await fetch(`${sandbox.url}/healthz`)).json()).toEqual({ status: 'ok' });
});

test('the control API needs the token', async () => {
  for (const authorization of ['', 'Bearer', 'Bearer wrong', `Basic ${CONTROL_TOKEN}`]) {
    expect((await fetch(`${sandbox.url}/control/settings`, { headers: { authorization } })).status).toBe(401);
  }
});

describe('paying through the control API', () => {
  test('without "immediately" leaves the release to the seller', async () => {
    const number = await place(sandbox, merchant);
    await control(sandbox, 'PUT', '/settings', { releaseDelayMs: 3_600_000 });
    const { body } = await control(sandbox, 'POST', `/orders/${number}/pay`);
    await control(sandbox, 'PUT', '/settings', { releaseDelayMs: null });
    expect(body.orders[0]).toMatchObject({ state: 'PAID', transactions: [] });
  });

  test('answers with the orders of the number', async () => {
    const number = await place(sandbox, merchant);
    const { status, body } = await control(sandbox, 'POST', `/orders/${number}/pay`, { immediately: true });
    expect([status, body.externalOrderNumber]).toEqual([200, number]);
    expect(body.orders[0]).toMatchObject({ state: 'RELEASED', deliveries: [{ attempts: expect.any(Array) }] });
  });

  test('twice is refused, "again" is a second transaction', async () => {
    const number = await place(sandbox, merchant);
    await pay(sandbox, number);
    expect((await control(sandbox, 'POST', `/orders/${number}/pay`)).status).toBe(409);
    expect((await control(sandbox, 'POST', `/orders/${number}/pay`, { again: true })).status).toBe(200);
    const codes = (await merchant.received(number, 2)).map(({ body }) => /AT[0-9A-Z]{15}/.exec(body)![0]);
    expect(new Set(codes).size).toBe(2);
  });

  test('an order nobody placed is not found', async () => {
    const { status, body } = await control(sandbox, 'POST', '/orders/nobody/pay');
    expect([status, body]).toEqual([404, { error: 'no order was made for nobody' }]);
    expect((await control(sandbox, 'GET', '/orders/nobody')).status).toBe(404);
  });
});

test('an order can be cancelled once', async () => {
  const number = await place(sandbox, merchant);
  expect((await control(sandbox, 'POST', `/orders/${number}/cancel`)).body.orders[0].state).toBe('CANCELLED');
  expect((await control(sandbox, 'POST', `/orders/${number}/cancel`)).status).toBe(409);
});

describe('a retry by hand', () => {
  test('brings the next retry forward', async () => {
    merchant.answer = () => ({ status: 500 });
    const number = await place(sandbox, merchant);
    await pay(sandbox, number);
    const { id } = await eventually(async () =>
      (await orders(sandbox, number))[0]!.deliveries.find((each) => each.nextRetry === 1),
    );
    merchant.answer = () => SUCCESS;
    expect(await control(sandbox, 'POST', `/deliveries/${id}/retry`)).toEqual({ status: 202, body: { id } });
    expect((await settled(sandbox, number))[0]!.progress).toBe('acknowledged at retry 1 of 16');
  });

  test('sends an acknowledged callback again, and a refusal does not undo the acknowledgement', async () => {
    const number = await place(sandbox, merchant);
    await pay(sandbox, number);
    const [delivery] = await settled(sandbox, number);
    merchant.answer = () => ({ status: 500 });
    await control(sandbox, 'POST', `/deliveries/${delivery!.id}/retry`);
    await merchant.received(number, 2);
    const [after] = await settled(sandbox, number);
    expect(after).toMatchObject({ state: 'ACKNOWLEDGED', attempts: [{ retry: 0 }, { retry: 17, outcome: 'REFUSED' }] });
    merchant.answer = () => SUCCESS;
  });

  test('of a delivery nobody knows is refused', async () => {
    expect((await control(sandbox, 'POST', '/deliveries/2147483647/retry')).status).toBe(409);
    expect((await control(sandbox, 'POST', '/deliveries/x/retry')).status).toBe(400);
  });
});

describe('settings', () => {
  test('change one by one and null takes the configured value again', async () => {
    const { body } = await control(sandbox, 'PUT', '/settings', { speed: 60, prices: { CNY: '6.9' } });
    expect(body).toMatchObject({ speed: 60, prices: { CNY: '6.9', HKD: '7.8', TWD: '32' }, retryReading: 'gaps' });
    expect((await control(sandbox, 'GET', '/settings')).body).toEqual(body);
    const { body: reset } = await control(sandbox, 'PUT', '/settings', { speed: null, prices: null });
    expect(reset).toMatchObject({ speed: 1, prices: { CNY: '7.2' } });
  });

  test.each([
    { speed: 0 },
    { speed: '2' },
    { colour: 'red' },
    { prices: { EUR: '1' } },
    { prices: { CNY: '0' } },
    { acks: [] },
  ])('%o is refused and changes nothing', async (patch) => {
    const before = (await control(sandbox, 'GET', '/settings')).body as unknown;
    expect((await control(sandbox, 'PUT', '/settings', patch)).status).toBe(400);
    expect((await control(sandbox, 'GET', '/settings')).body).toEqual(before);
  });

  test('survive a restart', async () => {
    await control(sandbox, 'PUT', '/settings', { retryReading: 'offsets', prices: { TWD: '31' } });
    const other = await start(databaseUrl);
    expect((await control(other, 'GET', '/settings')).body).toMatchObject({
      retryReading: 'offsets',
      prices: { TWD: '31', CNY: '7.2' },
    });
    await control(sandbox, 'PUT', '/settings', { retryReading: null, prices: null });
    await other.close();
  });
});

describe('the log', () => {
  test('is read on from the last id without gaps or repetitions', async () => {
    const all = (await control(sandbox, 'GET', '/log?limit=10000')).body as { events: LoggedEvent[]; last: number };
    const read: number[] = [];
    for (let after = 0; ; ) {
      const { body } = await control(sandbox, 'GET', `/log?after=${after}&limit=7`);
      if (body.events.length === 0) break;
      read.push(...(body.events as LoggedEvent[]).map((event) => event.id));
      after = body.last as number;
    }
    const upTo = read.filter((id) => id <= all.last);
    expect(upTo).toEqual(all.events.map((event) => event.id));
    expect(new Set(read).size).toBe(read.length);
  });

  test('waits for an event under way rather than let a reader pass it by', async () => {
    const [writer, other] = [
      new pg.Client({ connectionString: databaseUrl }),
      new pg.Client({ connectionString: databaseUrl }),
    ];
    await Promise.all([writer.connect(), other.connect()]);
    const insert = `INSERT INTO sandbox.event (kind, external_order_number) VALUES ('order.made', $1)`;
    const under = newNumber();
    await writer.query('BEGIN');
    await writer.query(insert, [under]);
    const later = newNumber();
    await other.query(insert, [later]);
    const reading = control(sandbox, 'GET', '/log?limit=10000');
    const waiting = eventually(async () => {
      const { rows } = await other.query(
        `SELECT FROM pg_locks WHERE NOT granted AND relation = 'sandbox.event'::regclass`,
      );
      return rows.length > 0 ? true : undefined;
    });
    await Promise.race([waiting, reading]);
    await writer.query('COMMIT');
    const events = (await reading).body.events as LoggedEvent[];
    const order = events.map((event) => event.externalOrderNumber).filter((each) => each === under || each === later);
    expect(order).toEqual([under, later]);
    await Promise.all([writer.end(), other.end()]);
  });

  test('can be changed by nobody, not even the database’s superuser', async () => {
    const client = new pg.Client({ connectionString: databaseUrl });
    await client.connect();
    for (const sql of ["UPDATE sandbox.event SET kind = 'x'", 'DELETE FROM sandbox.event', 'TRUNCATE sandbox.event']) {
      await expect(client.query(sql)).rejects.toThrow('append-only');
    }
    await client.end();
  });
});

test('the statement lists what was released on a day, delivered or not', async () => {
  const number = await place(sandbox, merchant);
  await pay(sandbox, number);
  const day = new Date().toISOString().slice(0, 10);
  const [transaction] = (await orders(sandbox, number))[0]!.transactions;
  const { body } = await control(sandbox, 'GET', `/statement?day=${day}`);
  const lines = body.lines as { externalOrderNumber: string }[];
  // Around midnight the transaction may belong to the next day.
  const tomorrow = new Date(Date.parse(day) + 86_400_000).toISOString().slice(0, 10);
  const next = (await control(sandbox, 'GET', `/statement?day=${tomorrow}`)).body.lines as typeof lines;
  expect([...lines, ...next].find((line) => line.externalOrderNumber === number)).toMatchObject({
    transactionCode: transaction!.transactionCode,
    transactionAmount: '5000.00',
    paymentPrice: '36000.00',
    currencyCode: 'CNY',
  });
  expect((await control(sandbox, 'GET', '/statement?day=2026')).status).toBe(400);
});

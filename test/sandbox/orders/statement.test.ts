import pg from 'pg';
import { expect, test } from 'vitest';
import { control, CONTROL_TOKEN, newNumber, openSandbox, pay, place } from '../support.ts';

const { databaseUrl, merchant, sandbox } = await openSandbox();

/** Releases an order and moves its end to `at`. */
async function released(at: string, number = newNumber()): Promise<string> {
  await place(sandbox, merchant, number);
  await pay(sandbox, number);
  const client = new pg.Client({ connectionString: databaseUrl });
  await client.connect();
  await client.query(
    `UPDATE sandbox.transaction t SET finished_at = $1 FROM sandbox.buy_order o
     WHERE o.id = t.order_id AND o.external_order_number = $2`,
    [at, number],
  );
  await client.end();
  return number;
}

const csvOf = async (day: string) =>
  fetch(`${sandbox.url}/control/statement?day=${day}&format=csv`, {
    headers: { authorization: `Bearer ${CONTROL_TOKEN}` },
  });

test('a statement has what ended on a UTC day, its first and last millisecond included', async () => {
  await released('2026-03-07T23:59:59.999Z');
  const first = await released('2026-03-08T00:00:00.000Z');
  const last = await released('2026-03-08T23:59:59.999Z');
  await released('2026-03-09T00:00:00.000Z');
  const { body } = await control(sandbox, 'GET', '/statement?day=2026-03-08');
  expect(body.day).toBe('2026-03-08');
  expect((body.lines as { externalOrderNumber: string }[]).map((line) => line.externalOrderNumber)).toEqual([
    first,
    last,
  ]);
});

test('as CSV it has a header, the same lines, and quotes what must be quoted', async () => {
  const number = await released('2026-04-01T12:00:00.000Z', 'odd, "number"');
  const response = await csvOf('2026-04-01');
  expect(response.headers.get('content-type')).toBe('text/csv; charset=utf-8');
  expect(response.headers.get('content-disposition')).toBe('attachment; filename=statement-2026-04-01.csv');
  const [header, line, ...rest] = (await response.text()).split('\r\n');
  expect(rest).toEqual(['']);
  expect(header).toBe(
    'externalOrderNumber,transactionCode,advertisementCode,currencyCode,unitPrice,paymentPrice,feePrice,mtcAmount,' +
      'feeMtc,receivedAmount,transactionAmount,createdAt,finishedAt',
  );
  expect(number).toBe('odd, "number"');
  expect(line).toMatch(
    /^"odd, ""number""",AT[0-9A-Z]{15},ADCNY00000001,CNY,7\.2,36000\.00,0\.00,5000\.00,0\.00,5000\.00,5000\.00,2\d{3}-[^,]+Z,2026-04-01T12:00:00\.000Z$/,
  );
});

test('an empty day is an empty statement, a day that does not exist is refused', async () => {
  expect((await control(sandbox, 'GET', '/statement?day=2001-01-01')).body.lines).toEqual([]);
  expect(await (await csvOf('2001-01-01')).text()).toMatch(/^externalOrderNumber,.*\r\n$/);
  for (const query of ['day=2026-02-30', 'day=2026-2-1', '', 'day=2026-01-01&format=xml']) {
    expect((await control(sandbox, 'GET', `/statement?${query}`)).status).toBe(400);
  }
});

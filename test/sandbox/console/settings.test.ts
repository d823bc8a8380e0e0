import { describe, expect, test } from 'vitest';
import { CONSOLE_ENV, fieldsOf, formsTo, logIn, startConsole } from './client.ts';
import { control, createDatabase, orders, pay, place, placementBody, send, start } from '../support.ts';

/** Settings made at the console, and its lists. */
const { client, idOf, inDatabase, merchant, sandbox, settings } = await startConsole();

describe('settings', () => {
  const saved = async (changes: Record<string, string>) => {
    const [form] = formsTo((await client.get('/console/settings')).text, '/console/settings');
    return client.post('/console/settings', { ...fieldsOf(form!), ...changes });
  };

  test('a form sent untouched changes nothing, not even where the values come from', async () => {
    const before = await settings();
    expect((await saved({})).status).toBe(303);
    expect(await settings()).toEqual(before);
    expect(await inDatabase(`SELECT name FROM sandbox.setting WHERE name NOT IN ('frozen')`)).toEqual([]);
  });

  test('change at once, and take their configured values again', async () => {
    await saved({ speed: '60', retryReading: 'offsets', releaseDelayMs: '90s', acks: 'text:OK\r\njson:{"a":1}' });
    expect(await settings()).toMatchObject({
      speed: 60,
      retryReading: 'offsets',
      releaseDelayMs: 90_000,
      acks: ['text:OK', 'json:{"a":1}'],
    });
    await client.post('/console/settings/reset');
    expect(await settings()).toMatchObject({ speed: 1, retryReading: 'gaps', releaseDelayMs: 0 });
  });

  test.each([
    [{ speed: '0' }, 'Speed must be more than 0.'],
    [{ speed: '' }, 'Speed must be a number.'],
    [{ retryReading: 'sideways' }, 'Retry table read as must be one of gaps, offsets.'],
    [{ orderLifetimeMs: 'soon' }, 'Time to pay must be a duration such as 500ms, 2s, 30m, 73h.'],
    [{ acks: '' }, 'Accepted success bodies must have at least 1 entries.'],
  ] as [Record<string, string>, string][])('%o is refused, and says so', async (change, said) => {
    const before = await settings();
    const { status, text } = await saved(change);
    expect(status).toBe(400);
    expect(text).toContain(said);
    expect(await settings()).toEqual(before);
  });
});

test('a frozen account refuses placements until it is normal again', async () => {
  await client.post('/console/account', { frozen: 'true' });
  expect((await send(sandbox, placementBody(merchant))).statusCode).toBe('ACCOUNT_STATUS_ERROR');
  expect((await client.get('/console')).text).toContain('frozen');
  await client.post('/console/account', { frozen: 'false' });
  expect((await send(sandbox, placementBody(merchant))).statusCode).toBe('SUCCESS');
});

test('a fee is set, shown with the order, and refused if it is none', async () => {
  const fees = { percent: '1', fixed: '0', borneBy: 'merchant', report: 'net' };
  expect((await client.post('/console/fees', { ...fees, percent: 'much' })).status).toBe(400);
  await client.post('/console/fees', fees);
  const number = await place(sandbox, merchant);
  await client.post('/console/fees', { ...fees, percent: '0' });
  const { text } = await client.get(`/console/orders/${await idOf(number)}`);
  expect(text).toContain('50.00 MTC kept back');
  expect(text).toMatch(/Told in the callback<\/dt>\s*<dd>4,950\.00 MTC/);
});

test('an offer is added, changed and withdrawn', async () => {
  const fields = {
    currencyCode: 'HKD',
    unitPrice: '7.1',
    remaining: '10',
    seller: 'Mine',
    paymentMethods: 'FPS, cash',
  };
  const path = '/console/advertisements';
  expect((await client.post(path, { ...fields, minPrice: '5', maxPrice: '4', active: 'true' })).status).toBe(400);
  expect((await client.post(path, { ...fields, unitPrice: '-1', active: 'true' })).status).toBe(400);
  expect((await client.post(path, { ...fields, active: 'true' })).status).toBe(303);
  const offers = (await control(sandbox, 'GET', '/advertisements')).body.advertisements as {
    code: string;
    seller: string;
  }[];
  const { code } = offers.find((offer) => offer.seller === 'Mine')!;
  const small = { currencyCode: '"HKD"', mtcAmount: '4' };
  expect((await send(sandbox, placementBody(merchant, small))).data!.advertisementCode).toBe(code);
  expect((await client.get(path)).text).toMatch(/6 MTC<div class="quiet">4\.00 reserved/);
  await client.post(`${path}/${code}`, { ...fields, active: 'false' });
  expect((await send(sandbox, placementBody(merchant, small))).data!.advertisementCode).not.toBe(code);
  expect((await client.post(`${path}/nothing`, { ...fields, active: 'true' })).status).toBe(404);

  await client.post(`${path}/prices`, { CNY: '7.2', HKD: '7.8', TWD: 'none' });
  expect((await send(sandbox, placementBody(merchant, { currencyCode: '"TWD"' }))).statusCode).toBe('NO_ADVERTISEMENT');
  await client.post(`${path}/prices`, { CNY: '7.2', HKD: '7.8', TWD: '32' });
});

test('the statement of a day is shown, and handed out as CSV and JSON', async () => {
  const number = await place(sandbox, merchant);
  await pay(sandbox, number);
  const finished = (await orders(sandbox, number))[0]! as unknown as { releasedAt: string };
  const day = finished.releasedAt.slice(0, 10);
  expect((await client.get(`/console/statement?day=${day}`)).text).toContain(number);
  const csv = await client.get(`/console/statement/export?day=${day}&format=csv`);
  expect(csv.headers.get('content-type')).toContain('text/csv');
  expect(csv.headers.get('content-disposition')).toContain(`statement-${day}.csv`);
  expect(csv.text).toContain(`${number},`);
  const lines = (
    JSON.parse((await client.get(`/console/statement/export?day=${day}&format=json`)).text) as {
      lines: { externalOrderNumber: string }[];
    }
  ).lines;
  expect(lines.some((line) => line.externalOrderNumber === number)).toBe(true);
  for (const wrong of ['2026', '2026-02-30', '%00']) {
    expect((await client.get(`/console/statement?day=${wrong}`)).status).toBe(wrong === '%00' ? 200 : 400);
  }
});

test('the event log is read by order number and by kind', async () => {
  const number = await place(sandbox, merchant);
  const { text } = await client.get(`/console/events?order=${number}&kind=order`);
  expect(text).toContain('order.made');
  expect(text).not.toContain('placement.received');
});

test('lists go on where a page ends', async () => {
  const other = await start(await createDatabase(), CONSOLE_ENV);
  const session = await logIn(other);
  for (let made = 0; made < 51; made += 1) await place(other, merchant, `nr-${String(made).padStart(3, '0')}`);
  const first = (await session.get('/console/orders')).text;
  expect([first.includes('nr-050'), first.includes('nr-001'), first.includes('nr-000')]).toEqual([true, true, false]);
  const older = /href="(\/console\/orders\?[^"]+)">Older/.exec(first)![1]!.replaceAll('&amp;', '&');
  expect((await session.get(older)).text).toContain('nr-000');
});

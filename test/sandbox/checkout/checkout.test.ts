import { describe, expect, test } from 'vitest';
import { checkoutPage } from '../../../sandbox/checkout/checkout-page.ts';
import type { Order } from '../../../sandbox/orders/orders.ts';
import { TEXTS } from '../../../sandbox/checkout/texts.ts';
import { control, eventually, logOf, newNumber, orders, place, placementBody, send, openSandbox } from '../support.ts';

const { sandbox, merchant } = await openSandbox({ SANDBOX_RELEASE_DELAY: '0s' });

const linkOf = async (number: string): Promise<string> =>
  `${sandbox.url}/pay/${(await orders(sandbox, number))[0]!.token}`;
const page = async (link: string): Promise<string> => (await fetch(link)).text();
const press = (link: string, action: 'paid' | 'cancel'): Promise<Response> =>
  fetch(`${link}/${action}`, { method: 'POST', redirect: 'manual' });

test('the link shows what to pay, to whom, at what price, for how long', async () => {
  const number = await place(sandbox, merchant);
  const text = await page(await linkOf(number));
  for (const shown of ['36,000.00 CNY', '5,000.00 MTC', '7.2 CNY/MTC', 'Sandbox Seller A', 'Wang Xiaoming', number]) {
    expect(text).toContain(shown);
  }
  expect(text).toMatch(/(29 min \d+ s|30 min 0 s)/);
  expect(text).toContain('I have paid');
});

test('the page allows itself no script, no frame and no foreign content', async () => {
  const response = await fetch(await linkOf(await place(sandbox, merchant)));
  expect(response.headers.get('content-security-policy')).toBe(
    "default-src 'none';style-src 'self';form-action 'self';base-uri 'none';frame-ancestors 'none'",
  );
  expect(response.headers.get('cache-control')).toBe('no-store');
  expect(response.headers.get('referrer-policy')).toBe('no-referrer');
  expect(await response.text()).not.toMatch(/<script| style=| on[a-z]+=/i);
  expect((await fetch(`${sandbox.url}/style.css`)).headers.get('content-type')).toContain('text/css');
});

test('hostile text is shown as text', async () => {
  const hostile = `<img src=x onerror="alert(1)">'&`;
  const escaped = '&lt;img src=x onerror=&quot;alert(1)&quot;&gt;&#39;&amp;';
  const raw = JSON.stringify(`${hostile}${newNumber()}`);
  const placed = await send(
    sandbox,
    placementBody(merchant, { payerRealName: JSON.stringify(hostile), externalOrderNumber: raw }),
  );
  const checkout = await page(placed.data!.redirectUrl);
  expect(checkout).toContain(escaped);
  expect(checkout).not.toContain('<img');
});

describe('languages', () => {
  test.each(['en', 'zh_CN', 'zh_TW'] as const)('%s is spoken when the order asks for it', async (language) => {
    const placed = await send(sandbox, placementBody(merchant, { supportLanguage: `"${language}"` }));
    const text = await page(placed.data!.redirectUrl);
    expect(text).toContain(`<html lang="${TEXTS[language].htmlLang}">`);
    expect(text).toContain(TEXTS[language].paid);
  });

  test('the payer can switch, and stays in that language after a button', async () => {
    const link = await linkOf(await place(sandbox, merchant));
    expect(await page(`${link}?lang=zh_TW`)).toContain(TEXTS.zh_TW.paid);
    const answer = await fetch(`${link}/cancel?lang=zh_TW`, { method: 'POST' });
    expect(await answer.text()).toContain(TEXTS.zh_TW.states.CANCELLED.title);
  });

  test('a language nobody knows is the order’s own', async () => {
    expect(await page(`${await linkOf(await place(sandbox, merchant))}?lang=__proto__`)).toContain('I have paid');
  });
});

test('"I have paid" leads to the release, the callback and a page that says so', async () => {
  const number = await place(sandbox, merchant);
  const link = await linkOf(number);
  const answer = await press(link, 'paid');
  expect([answer.status, answer.headers.get('location')]).toEqual([303, `${new URL(link).pathname}?lang=en`]);
  const [callback] = await merchant.received(number);
  const { data } = JSON.parse(callback!.body) as { data: Record<string, unknown> };
  expect(data).toMatchObject({
    externalOrderNumber: number,
    transactionAmount: 5000,
    paymentPrice: 36000,
    currencyCode: 'CNY',
  });
  expect(data['transactionCode']).toMatch(/^AT[0-9A-Z]{15}$/);
  const text = await page(link);
  expect(text).toContain(TEXTS.en.states.RELEASED.title);
  expect(text).not.toContain('<form');
  const [transaction] = (await orders(sandbox, number))[0]!.transactions;
  expect(text).toContain(transaction!.transactionCode);
});

test('pressing twice pays once', async () => {
  const number = await place(sandbox, merchant);
  const link = await linkOf(number);
  await Promise.all(Array.from({ length: 5 }, () => press(link, 'paid')));
  await merchant.received(number);
  const kinds = (await logOf(sandbox, number)).map((event) => event.kind);
  expect(kinds.filter((kind) => kind === 'order.paid')).toHaveLength(1);
  expect(kinds.filter((kind) => kind === 'order.released')).toHaveLength(1);
});

test('a cancelled order cannot be paid and is never called back', async () => {
  const number = await place(sandbox, merchant);
  const link = await linkOf(number);
  await press(link, 'cancel');
  await press(link, 'paid');
  expect((await orders(sandbox, number))[0]).toMatchObject({ state: 'CANCELLED', transactions: [], deliveries: [] });
  expect(await page(link)).toContain(TEXTS.en.states.CANCELLED.title);
  expect((await control(sandbox, 'POST', `/orders/${number}/pay`)).status).toBe(409);
});

test('an order not paid in time expires, and only the control API can still pay it', async () => {
  await control(sandbox, 'PUT', '/settings', { orderLifetimeMs: 1 });
  const number = await place(sandbox, merchant);
  await control(sandbox, 'PUT', '/settings', { orderLifetimeMs: null });
  await eventually(async () => ((await orders(sandbox, number))[0]!.state === 'EXPIRED' ? true : undefined));
  const link = await linkOf(number);
  expect(await page(link)).toContain(TEXTS.en.states.EXPIRED.title);
  await press(link, 'paid');
  expect((await orders(sandbox, number))[0]!.state).toBe('EXPIRED');
  expect((await control(sandbox, 'POST', `/orders/${number}/pay`)).status).toBe(200);
  await merchant.received(number);
});

test('the page goes by the clock, not by whether the order was marked as expired already', () => {
  const payBefore = new Date('2026-01-01T00:30:00Z');
  const order: Order = {
    id: 1,
    externalOrderNumber: 'order-1',
    nth: 1,
    token: 'token',
    buyCoinMode: 'MtcAmount',
    currencyCode: 'CNY',
    mtcAmount: '5000.00',
    totalPrice: '36000.00',
    unitPrice: '7.2',
    feeMtc: '0',
    feePrice: '0',
    reportedAmount: '5000.00',
    advertisementCode: 'AD1',
    accessKey: 'key',
    callbackUrl: 'http://127.0.0.1/',
    supportLanguage: 'en',
    payerRealName: 'Somebody',
    state: 'WAITING',
    madeAt: new Date('2026-01-01T00:00:00Z'),
    payBefore,
    paidAt: null,
    releasedAt: null,
  };
  const at = (ms: number): string =>
    checkoutPage({ order, payees: [], transactionCode: null }, 'en', new Date(payBefore.getTime() + ms));
  expect(at(-61_000)).toContain('1 min 1 s');
  expect(at(-1)).toContain(TEXTS.en.paid);
  expect(at(0)).toContain(TEXTS.en.states.EXPIRED.title);
  expect(at(0)).not.toContain('<form');
});

test('a link nobody was given leads nowhere', async () => {
  const response = await fetch(`${sandbox.url}/pay/${'x'.repeat(43)}`);
  expect(response.status).toBe(404);
  expect(await response.text()).toContain('There is no such order');
});

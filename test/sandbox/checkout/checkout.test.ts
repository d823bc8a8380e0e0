import { describe, expect, test } from 'vitest';
import { checkoutPage } from '../../../sandbox/checkout/checkout-page.ts';
import type { Order } from '../../../sandbox/orders/orders.ts';
import { TEXTS } from '../../../sandbox/checkout/texts.ts';
import { control, eventually, logOf, newNumber, orders, place, placementBody, send, openSandbox } from '../support.ts';

const SHOP_URL = 'https://shop.example/orders/{externalOrderNumber}?from=checkout&quote="';
const { sandbox, merchant } = await openSandbox({ SANDBOX_RELEASE_DELAY: '0s', SANDBOX_SHOP_URL: SHOP_URL });

const linkOf = async (number: string): Promise<string> =>
  `${sandbox.url}/pay/${(await orders(sandbox, number))[0]!.token}`;
const page = async (link: string): Promise<string> => (await fetch(link)).text();
/** The link of a new order whose time to pay is over. */
async function expiredLink(number: string, currencyCode = 'CNY'): Promise<string> {
  await control(sandbox, 'PUT', '/settings', { orderLifetimeMs: 1 });
  const members = { externalOrderNumber: `"${number}"`, currencyCode: `"${currencyCode}"` };
  const placed = await send(sandbox, placementBody(merchant, members));
  await control(sandbox, 'PUT', '/settings', { orderLifetimeMs: null });
  await eventually(async () => ((await orders(sandbox, number))[0]!.state === 'EXPIRED' ? true : undefined));
  return placed.data!.redirectUrl;
}
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

test('"bought" and "paid" are said of an order that was released, and of no other', async () => {
  const number = await place(sandbox, merchant);
  const link = await linkOf(number);
  const waiting = await page(link);
  await press(link, 'paid');
  await eventually(async () => ((await orders(sandbox, number))[0]!.state === 'RELEASED' ? true : undefined));
  const released = await page(link);
  const cancelled = await linkOf(await place(sandbox, merchant));
  await press(cancelled, 'cancel');
  const [bought, paid] = [TEXTS.en.bought, TEXTS.en.youPaid];
  for (const text of [waiting, await page(cancelled), await page(await expiredLink(newNumber()))]) {
    expect(text).not.toContain(bought);
    expect(text).not.toContain(paid);
    expect(text).toContain(TEXTS.en.ordered);
  }
  expect(released).toContain(bought);
  expect(released).toContain(paid);
});

test('the way back to the shop is a link with the order number, escaped', async () => {
  const number = `a/b ${newNumber()}`;
  const placed = await send(sandbox, placementBody(merchant, { externalOrderNumber: JSON.stringify(number) }));
  const escaped = `https://shop.example/orders/${encodeURIComponent(number)}?from=checkout&amp;quote=&quot;`;
  expect(await page(placed.data!.redirectUrl)).toContain(`<a href="${escaped}">${TEXTS.en.backToShop}</a>`);
});

test('the page allows itself one script of its own server, no frame and no foreign content', async () => {
  const response = await fetch(await linkOf(await place(sandbox, merchant)));
  expect(response.headers.get('content-security-policy')).toBe(
    "default-src 'none';style-src 'self';form-action 'self';base-uri 'none';frame-ancestors 'none';script-src 'self';connect-src 'self'",
  );
  expect(response.headers.get('cache-control')).toBe('no-store');
  expect(response.headers.get('referrer-policy')).toBe('no-referrer');
  const text = await response.text();
  expect(text.match(/<script[^<]*<\/script>/g)).toEqual(['<script src="/checkout.js" defer></script>']);
  expect(text).not.toMatch(/<meta http-equiv| style=| on[a-z]+=/i);
  expect((await fetch(`${sandbox.url}/checkout.js`)).headers.get('content-type')).toContain('javascript');
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

test('an order not paid in time expires, and "I have paid" still leads to the release and the callback', async () => {
  const number = newNumber();
  const link = await expiredLink(number);
  const expired = await page(link);
  expect(expired).toContain(TEXTS.en.states.EXPIRED.title);
  expect(expired).toContain(TEXTS.en.late.offer);
  expect(expired).not.toContain('/cancel');
  await press(link, 'paid');
  await merchant.received(number);
  expect(await page(link)).toContain(TEXTS.en.states.RELEASED.title);
});

test('the control API pays an expired order too', async () => {
  const number = newNumber();
  await expiredLink(number);
  expect((await control(sandbox, 'POST', `/orders/${number}/pay`)).status).toBe(200);
  await merchant.received(number);
});

test('a late "I have paid" says that it was late, until the seller releases', async () => {
  await control(sandbox, 'PUT', '/settings', { autoRelease: false });
  const link = await expiredLink(newNumber());
  await press(link, 'paid');
  await control(sandbox, 'PUT', '/settings', { autoRelease: null });
  const text = await page(link);
  expect(text).toContain(TEXTS.en.states.PAID.title);
  expect(text).toContain(TEXTS.en.late.reported);
});

test('a late "I have paid" for which no MTC are left is recorded once, the page says what to do, and nothing is released', async () => {
  const number = newNumber();
  const link = await expiredLink(number, 'HKD');
  const { advertisements } = (await control(sandbox, 'GET', '/advertisements')).body;
  const { code } = advertisements.find((offer: { currencyCode: string }) => offer.currencyCode === 'HKD');
  expect((await control(sandbox, 'PATCH', `/advertisements/${code}`, { remaining: '0' })).status).toBe(200);
  await press(link, 'paid');
  await press(link, 'paid');
  const text = await page(link);
  expect(text).toContain(TEXTS.en.late.refused.text);
  expect(text).not.toContain('<form');
  expect((await logOf(sandbox, number)).filter((event) => event.kind === 'order.paidTooLate')).toHaveLength(1);
  expect((await orders(sandbox, number))[0]).toMatchObject({ state: 'EXPIRED', transactions: [], deliveries: [] });
});

test('the script learns the state of the order, and of no unknown one', async () => {
  const link = await linkOf(await place(sandbox, merchant));
  expect(await (await fetch(`${link}/state`)).json()).toEqual({ state: 'WAITING' });
  await press(link, 'cancel');
  expect(await (await fetch(`${link}/state`)).json()).toEqual({ state: 'CANCELLED' });
  expect((await fetch(`${sandbox.url}/pay/${'x'.repeat(43)}/state`)).status).toBe(404);
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
  const checkout = { order, payees: [], transactionCode: null, isReportedTooLate: false, shopUrl: null };
  const at = (ms: number): string => checkoutPage(checkout, 'en', new Date(payBefore.getTime() + ms));
  expect(at(-61_000)).toContain('1 min 1 s');
  expect(at(-1)).toContain(TEXTS.en.cancelConfirm);
  expect(at(-1)).not.toContain(TEXTS.en.backToShop);
  expect(at(0)).toContain(TEXTS.en.states.EXPIRED.title);
  expect(at(0)).not.toContain(TEXTS.en.cancelConfirm);
});

test('a link nobody was given leads nowhere', async () => {
  const response = await fetch(`${sandbox.url}/pay/${'x'.repeat(43)}`);
  expect(response.status).toBe(404);
  expect(await response.text()).toContain('There is no such order');
});

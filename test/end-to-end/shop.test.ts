import { expect, onTestFinished, test } from 'vitest';
import type { Page } from 'playwright-core';
import { createDepositClient } from '../../client/src/client.ts';
import { createApiKey } from '../../database/queries/api-keys.ts';
import { freePort } from '../../local/servers/ports.ts';
import { startEngine } from '../support/engine.ts';
import { expectOrderly, inaccessible } from '../support/pages/accessibility.ts';
import { findBrowser, launchBrowser } from '../support/pages/browser.ts';
import { startPart } from '../support/process.ts';
import { until } from '../support/until.ts';

/** The sample shop as a process, beside a real engine, notifier and sandbox. */
const host = `127.0.0.1:${await freePort()}`;
const SHOP_URL = `http://${host}`;
const env = { NOTIFY_LOCAL_TARGETS: host };
const engine = await startEngine({
  env,
  sandboxEnv: { SANDBOX_SHOP_URL: `${SHOP_URL}/orders/{externalOrderNumber}` },
});
const apiKey = await createApiKey(engine.db.owner, {
  name: 'shop',
  scopes: ['deposits:create', 'deposits:read', 'events:read', 'endpoints:manage'],
});
const client = createDepositClient({ baseUrl: engine.api.apiUrl, apiKey });
const openShop = () =>
  startPart('shop', { API_URL: engine.api.apiUrl, API_KEY: apiKey, SHOP_URL }, `The shop is open: ${SHOP_URL}`);
const startNotifier = () => {
  const { DATABASE_URL_NOTIFIER, ENDPOINT_SECRET_KEY } = engine.env;
  return startPart('notifier', {
    ...env,
    DATABASE_URL_NOTIFIER: DATABASE_URL_NOTIFIER!,
    ENDPOINT_SECRET_KEY: ENDPOINT_SECRET_KEY!,
  });
};
const textOf = async (path: string): Promise<string> => (await fetch(`${SHOP_URL}${path}`)).text();
async function ordered(): Promise<string> {
  const order = /shop-[0-9a-f]{12}/.exec(await textOf('/'))![0];
  const answer = await fetch(`${SHOP_URL}/orders`, { method: 'POST', body: new URLSearchParams({ order }) });
  expect(answer.url).toBe(`${SHOP_URL}/orders/${order}`);
  return order;
}

const executable = findBrowser();
if (executable === null)
  console.warn('\n*** SKIPPED: no Chromium on this machine, so the shop was NOT tried in a browser ***\n');

test.skipIf(executable === null)('an order is paid, and its page ticks by itself', async () => {
  await Promise.all([startNotifier(), openShop()]);
  const browser = await launchBrowser(executable!);
  onTestFinished(() => browser.close());
  const context = await browser.newContext();
  const page = await context.newPage();
  const said: string[] = [];
  page.on('console', (message) => said.push(message.text()));
  page.on('pageerror', (error) => said.push(error.message));
  await page.goto(SHOP_URL);
  await expectGood(page);
  // The keyboard is enough.
  await page.keyboard.press('Tab');
  await page.keyboard.press('Enter');
  await page.getByText('We are waiting for your payment.').waitFor();
  await expectGood(page);
  const order = new URL(page.url()).pathname.split('/').at(-1)!;
  await page.getByText('deposit.placed, number 1').waitFor();
  await page.evaluate('document.title = "not loaded again"');

  const [checkout] = await Promise.all([
    context.waitForEvent('page'),
    page.getByRole('link', { name: /^Pay at the checkout/ }).click(),
  ]);
  await checkout.getByRole('button', { name: /paid/i }).click();
  await page.getByText('Paid. Your MTC are in your wallet.').waitFor();
  await page.getByText('deposit.credited, number 2').waitFor();
  expect(await page.title()).toBe('not loaded again');
  expect(await page.getByRole('link', { name: /checkout/ }).count()).toBe(0);
  await expectGood(page);
  expect(said).toEqual([]);
  expect(await checkout.locator(`a[href="${SHOP_URL}/orders/${order}"]`).count()).toBe(1);

  const plain = await (await browser.newContext({ javaScriptEnabled: false })).newPage();
  await plain.goto(page.url());
  expect(await plain.locator('main').innerText()).toContain('✓ Paid.');
});

async function expectGood(page: Page): Promise<void> {
  await expectOrderly(page);
  for (const width of [320, 1280]) {
    await page.setViewportSize({ width, height: 800 });
    expect(await inaccessible(page)).toEqual([]);
  }
}

test('an older notification that comes again changes nothing, and a shop that starts again catches up', async () => {
  await startNotifier();
  const first = await openShop();
  const order = await ordered();
  await engine.pay(order);
  const [endpoint] = await client.endpoints.list();
  await until('the tick', async () => (await textOf(`/orders/${order}`)).includes('deposit.credited, number 2'));
  const { id } = await client.endpoints.redeliver(endpoint!.id, { event: `evt_${order}_1` });
  await until(`redelivery ${id}`, async () => {
    for await (const { attempts } of client.deliveries.list({ endpoint: endpoint!.id, deposit: order }))
      if (attempts.some(({ redelivery, status }) => redelivery && status === 204)) return true;
    return false;
  });
  expect(await textOf(`/orders/${order}`)).toContain('deposit.credited, number 2');
  await first.kill('SIGKILL');
  await openShop();
  const [other, ...more] = await client.endpoints.list();
  expect([other!.id === endpoint!.id, other!.url, more]).toEqual([false, endpoint!.url, []]);
  expect(await textOf(`/orders/${order}`)).toContain('deposit.credited, number 2');
});

test('a page of another site orders nothing, a form that is sent twice is one order, and a forged notification is refused', async () => {
  const shop = await openShop();
  const order = await ordered();
  const again = new URLSearchParams({ order });
  expect((await fetch(`${SHOP_URL}/orders`, { method: 'POST', body: again })).status).toBe(200);
  const answer = async (path: string, init: RequestInit = {}) => (await fetch(`${SHOP_URL}${path}`, init)).status;
  for (const origin of ['http://other.example', 'null'])
    expect(await answer('/orders', { method: 'POST', body: again, headers: { origin } })).toBe(403);
  const otherName = SHOP_URL.replace('127.0.0.1', 'localhost');
  expect((await fetch(otherName)).status).toBe(403);
  expect(await answer('/orders', { method: 'POST', body: new URLSearchParams({ order: '<b>' }) })).toBe(400);
  expect(await answer('/orders', { method: 'POST' })).toBe(400);
  expect(await answer('/orders/<b>')).toBe(404);
  expect(await answer('/nothing')).toBe(404);
  const forged = {
    'webhook-id': `evt_${order}_9`,
    'webhook-timestamp': String(Math.floor(Date.now() / 1_000)),
    'webhook-signature': `v1,${Buffer.alloc(32).toString('base64')}`,
  };
  for (const headers of [forged, {}] as const)
    expect(await answer('/notifications', { method: 'POST', body: '{"type":"deposit.credited"}', headers })).toBe(400);
  expect(await answer('/notifications', { method: 'POST' })).toBe(400);
  expect(shop.log()).toBe(`The shop is open: ${SHOP_URL}\n`);
});

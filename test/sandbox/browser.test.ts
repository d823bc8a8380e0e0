import { createHmac } from 'node:crypto';
import pg from 'pg';
import type { Browser, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import type { Sandbox } from '../../sandbox/server.ts';
import { TEXTS } from '../../sandbox/checkout/texts.ts';
import { inaccessible } from '../support/pages/accessibility.ts';
import { findBrowser, launchBrowser } from '../support/pages/browser.ts';
import { DESK, isTooWide, PHONE, screenshot, type Visit, visit } from './visit.ts';
import { CONSOLE_PASSWORD } from './console/client.ts';
import {
  control,
  createDatabase,
  eventually,
  type Merchant,
  newNumber,
  orders,
  pay,
  place,
  placementBody,
  send,
  settled,
  start,
  startMerchant,
  SUCCESS,
} from './support.ts';

const executable = findBrowser();
if (executable === null) {
  console.warn(
    '\nNOT TESTED: no browser. The checkout and the console were NOT opened, because neither chromium, chromium-browser nor google-chrome is on the PATH.\n',
  );
}

/** No name resolves to another machine. */
const ALONE = 'MAP * ~NOTFOUND, EXCLUDE 127.0.0.1';
const LANGUAGES = ['en', 'zh_CN', 'zh_TW'] as const;
const SIZES = { phone: PHONE, desk: DESK } as const;
/** Hostile texts of users and programs in place of a name. */
const HOSTILE = {
  markup: `<script>document.title='taken'</script><img src="https://example.com/x" onerror=alert(1)>'"&amp;`,
  'right to left': '\u202eevil\u2066 שלום مرحبا',
  long: 'W'.repeat(200),
} as const;

describe.skipIf(executable === null)('in a real browser', () => {
  let databaseUrl: string;
  let sandbox: Sandbox;
  let merchant: Merchant;
  let browser: Browser;
  let visitor: Visit;

  beforeAll(async () => {
    databaseUrl = await createDatabase();
    merchant = await startMerchant();
    sandbox = await start(databaseUrl, {
      SANDBOX_CONSOLE_PASSWORD: CONSOLE_PASSWORD,
      SANDBOX_RELEASE_DELAY: '100ms',
    });
    browser = await launchBrowser(executable!, ALONE);
    visitor = await visit(browser);
  });
  afterAll(() => browser?.close());

  /** No request of a page may have left this machine, and the page's own policy may have refused none. */
  afterEach(async () => {
    const { context, requested, complaints } = visitor;
    await context.clearCookies();
    expect(requested.splice(0).filter((url) => new URL(url).hostname !== '127.0.0.1')).toEqual([]);
    expect(complaints.splice(0)).toEqual([]);
  });

  /** One tab for all, because opening one takes longer than its use. */
  async function open(url: string, viewport = DESK): Promise<Page> {
    await visitor.page.setViewportSize(viewport);
    await visitor.page.goto(url);
    return visitor.page;
  }

  async function checkoutOf(members: Record<string, string> = {}): Promise<{ number: string; link: string }> {
    const number = newNumber();
    const placed = await send(sandbox, placementBody(merchant, { externalOrderNumber: `"${number}"`, ...members }));
    return { number, link: placed.data!.redirectUrl };
  }

  const heading = (page: Page): Promise<string> => page.locator('h1').innerText();
  const becomes = (page: Page, title: string): Promise<true> =>
    eventually(async () => {
      if ((await heading(page)) === title) return true;
      await page.reload();
      return undefined;
    });

  async function openConsole(path: string, viewport = DESK): Promise<Page> {
    const page = await open(`${sandbox.url}${path}`, viewport);
    await page.getByLabel('Password').fill(CONSOLE_PASSWORD);
    await page.getByRole('button', { name: 'Log in' }).click();
    return page;
  }

  describe.each(LANGUAGES)('the checkout in %s', (language) => {
    const texts = TEXTS[language];

    test.each(['phone', 'desk'] as const)('is paid on a %s, and ends when the seller releases', async (size) => {
      const { link, number } = await checkoutOf({ supportLanguage: `"${language}"`, payerRealName: '"王小明"' });
      const page = await open(link, SIZES[size]);
      expect(await page.locator('html').getAttribute('lang')).toBe(texts.htmlLang);
      expect(await heading(page)).toBe(texts.states.WAITING.title);
      expect(await isTooWide(page)).toBe(false);
      await screenshot(page, `checkout-${language}-${size}-1-waiting`);
      await page.getByRole('button', { name: texts.paid }).click();
      await becomes(page, texts.states.RELEASED.title);
      if (language === 'en') await screenshot(page, `checkout-${language}-${size}-2-released`);
      expect(await page.getByRole('button').count()).toBe(0);
      expect(await merchant.received(number)).toHaveLength(1);
    });

    test('is cancelled on a phone, after a second look', async () => {
      const { link, number } = await checkoutOf({ supportLanguage: `"${language}"` });
      const page = await open(link, PHONE);
      expect(await page.getByRole('button', { name: texts.cancelConfirm }).isVisible()).toBe(false);
      await page.getByText(texts.cancel, { exact: true }).click();
      expect(await page.getByText(texts.cancelWarning).isVisible()).toBe(true);
      await screenshot(page, `checkout-${language}-phone-3-cancel`);
      await page.getByRole('button', { name: texts.cancelConfirm }).click();
      expect(await heading(page)).toBe(texts.states.CANCELLED.title);
      expect((await orders(sandbox, number))[0]!.state).toBe('CANCELLED');
    });

    test('says that the time is over, and takes the word of somebody who has paid', async () => {
      await control(sandbox, 'PUT', '/settings', { orderLifetimeMs: 1 });
      const { link, number } = await checkoutOf({ supportLanguage: `"${language}"` });
      await control(sandbox, 'PUT', '/settings', { orderLifetimeMs: null });
      const page = await open(link);
      expect(await heading(page)).toBe(texts.states.EXPIRED.title);
      await screenshot(page, `checkout-${language}-desk-4-expired`);
      await page.getByRole('button', { name: texts.paid }).click();
      await becomes(page, texts.states.RELEASED.title);
      expect(await merchant.received(number)).toHaveLength(1);
    });
  });

  test('the language is switched on the page and stays through a button', async () => {
    const { link } = await checkoutOf();
    const page = await open(link, PHONE);
    for (const language of ['zh_CN', 'zh_TW', 'en', 'zh_TW'] as const) {
      await page.getByRole('link', { name: TEXTS[language].languageName }).click();
      expect(await heading(page)).toBe(TEXTS[language].states.WAITING.title);
      expect(await page.locator('html').getAttribute('lang')).toBe(TEXTS[language].htmlLang);
    }
    await page.getByRole('button', { name: TEXTS.zh_TW.paid }).click();
    await becomes(page, TEXTS.zh_TW.states.RELEASED.title);
  });

  test('a payment needs no mouse: tab to the button, see where one is, press Enter', async () => {
    const { link, number } = await checkoutOf();
    const page = await open(link);
    const stops: string[] = [];
    const stop = page.locator(':focus');
    do {
      await page.keyboard.press('Tab');
      stops.push((await stop.innerText()).trim());
      expect(
        await stop.evaluate(
          (element) => `${element.ownerDocument.defaultView!.getComputedStyle(element).outlineStyle}`,
        ),
      ).toBe('solid');
    } while (stops.at(-1) !== TEXTS.en.paid && stops.length < 10);
    expect(stops).toEqual(['English', '简体中文', '繁體中文', TEXTS.en.lookAgain, TEXTS.en.paid]);
    await screenshot(page, 'checkout-en-desk-5-keyboard');
    await page.keyboard.press('Tab');
    expect(await stop.innerText()).toBe(TEXTS.en.cancel);
    await page.keyboard.press('Shift+Tab');
    await page.keyboard.press('Enter');
    await becomes(page, TEXTS.en.states.RELEASED.title);
    expect(await merchant.received(number)).toHaveLength(1);
  });

  test('without scripts a page shows the release by its link, and nothing that only a script can do', async () => {
    const { link, number } = await checkoutOf();
    const page = await open(link);
    expect(await page.getByRole('button').allInnerTexts()).toEqual([TEXTS.en.paid]);
    expect(await page.getByText(TEXTS.en.updatesItself).isVisible()).toBe(false);
    expect(await page.locator('time').innerText()).toMatch(/UTC$/);
    await control(sandbox, 'POST', `/orders/${number}/pay`, { immediately: true });
    await page.getByRole('link', { name: TEXTS.en.lookAgain }).click();
    expect(await heading(page)).toBe(TEXTS.en.states.RELEASED.title);
  });

  test('the console can be used by everybody, by the rules of axe-core', async () => {
    await openConsole('/console');
    // axe-core takes scripts, which the pages forbid.
    const context = await browser.newContext({ bypassCSP: true, storageState: await visitor.context.storageState() });
    const page = await context.newPage();
    for (const url of [`${sandbox.url}/console/orders`, `${sandbox.url}/console/settings`]) {
      await page.goto(url);
      expect([url, await inaccessible(page)]).toEqual([url, []]);
    }
    await context.close();
  });

  describe('the console', () => {
    test('log in, make a key, and place with it', async () => {
      const page = await openConsole('/console/tokens');
      expect(await heading(page)).toBe('Merchant Service – API Token Management');
      await page.getByRole('button', { name: 'Create a key' }).click();
      const accessKey = await page.getByLabel('Access key').inputValue();
      const secretKey = await page.getByLabel('Secret key').inputValue();
      const timestamp = String(Date.now());
      const signature = createHmac('sha256', secretKey).update(`${accessKey}_${timestamp}`).digest('hex').toUpperCase();
      const headers = { access_key: accessKey, timestamp, signature };
      expect((await send(sandbox, placementBody(merchant), headers)).statusCode).toBe('SUCCESS');
      await screenshot(page, 'console-key-made');
      await page.getByRole('link', { name: 'API tokens' }).click();
      expect(await page.getByLabel('Secret key').count()).toBe(0);
      expect(await page.getByText(accessKey).count()).toBe(1);
    });

    test('arm misbehaviour for one order, pay it by hand, see it refused, retry now, see it acknowledged', async () => {
      const number = await place(sandbox, merchant);
      await control(sandbox, 'PUT', '/settings', { autoRelease: false });
      merchant.answer = ({ body }) => (body.includes('"signature"') ? SUCCESS : { status: 401, body: 'who are you?' });
      const page = await openConsole('/console/orders');
      await page.getByRole('link', { name: number }).click();
      await page.getByRole('link', { name: 'Misbehaviour for this order' }).click();
      await page.getByText('noSignature', { exact: false }).first().click();
      await page.getByRole('button', { name: 'Arm noSignature' }).click();
      expect(await page.getByRole('status').innerText()).toBe('The misbehaviour is armed.');
      await page.getByRole('link', { name: 'Orders' }).click();
      await page.getByRole('link', { name: number }).click();
      await page.getByRole('button', { name: 'Pay as customer' }).click();
      await page.getByRole('button', { name: 'Release', exact: true }).click();
      await eventually(async () =>
        (await orders(sandbox, number))[0]!.deliveries.some(({ attempts }) => attempts[0]?.outcome === 'REFUSED'),
      );
      await page.reload();
      // The page may be reloading by itself at this very moment.
      await page.getByText('HTTP 401').first().waitFor();
      await screenshot(page, 'console-order-refused');
      await page.getByRole('button', { name: 'Retry now' }).click();
      await settled(sandbox, number);
      await page.reload();
      await page.getByText('acknowledged at retry 1 of 16').waitFor();
      await screenshot(page, 'console-order-acknowledged');
      merchant.answer = () => SUCCESS;
      await control(sandbox, 'PUT', '/settings', { autoRelease: null });
    });

    test('a scenario is one click, the list is searched, and a second tab undoes nothing of the first', async () => {
      const page = await openConsole('/console/faults');
      await screenshot(page, 'console-scenarios');
      await page.getByRole('button', { name: 'The customer pays twice' }).click();
      await page.getByText('The misbehaviour is armed.').waitFor();
      const { faults } = (await control(sandbox, 'GET', '/faults')).body;
      expect(faults).toMatchObject([{ kind: 'secondCode', scope: 'global', remaining: 1 }]);
      await page.getByLabel('Search what can go wrong').fill('lower case');
      await page.getByRole('button', { name: 'Search' }).click();
      await page.getByRole('button', { name: 'Arm lowerCaseSignature' }).waitFor();
      expect(await page.locator('details.fault').count()).toBe(1);
      await screenshot(page, 'console-faults-found');
      await control(sandbox, 'DELETE', '/faults');

      await page.goto(`${sandbox.url}/console/settings`);
      const other = await visitor.context.newPage();
      await other.goto(`${sandbox.url}/console/settings`);
      await other.getByLabel('A retry is signed').selectOption('same');
      await other.getByRole('button', { name: 'Save' }).click();
      await other.getByText('Saved.').waitFor();
      await other.close();
      await page.getByLabel('Retry table read as').selectOption('offsets');
      await page.getByRole('button', { name: 'Save' }).click();
      await page.getByText('Saved.').waitFor();
      const settings = (await control(sandbox, 'GET', '/settings')).body;
      expect(settings).toMatchObject({ resign: 'same', retryReading: 'offsets' });
      await control(sandbox, 'PUT', '/settings', { resign: null, retryReading: null });
    });

    test('no page is too wide, on a phone or at a desk', async () => {
      const page = await openConsole('/console', PHONE);
      const paths = await page
        .locator('.menu a')
        .evaluateAll((links) => links.map((link) => link.getAttribute('href')!));
      expect(paths).toHaveLength(11);
      for (const path of paths) {
        await page.goto(`${sandbox.url}${path}`);
        expect([path, await isTooWide(page)]).toEqual([path, false]);
      }
      await screenshot(page, 'console-events-phone');
      await page.setViewportSize(DESK);
      for (const path of ['/console/faults', '/console/advertisements']) {
        await page.goto(`${sandbox.url}${path}`);
        expect([path, await isTooWide(page)]).toEqual([path, false]);
        await screenshot(page, path.slice(1).replace('/', '-'));
      }
    });
  });

  test.each(Object.entries(HOSTILE))('hostile text (%s) is only ever text at the checkout', async (_, hostile) => {
    const { token } = await hostileOrder(databaseUrl, await place(sandbox, merchant), hostile);
    const page = await open(`${sandbox.url}/pay/${token}`, PHONE);
    expect(await page.getByText(hostile, { exact: true }).count()).toBeGreaterThan(3);
    expect(await page.locator('script:not([src]), img, iframe').count()).toBe(0);
    expect(await isTooWide(page)).toBe(false);
    await screenshot(page, `checkout-hostile-${hostile.length}`);
  });

  test('hostile text of every sort is only ever text in the console', async () => {
    const texts = Object.values(HOSTILE);
    const ids: number[] = [];
    for (const hostile of texts) {
      const number = await place(sandbox, merchant);
      await pay(sandbox, number);
      await settled(sandbox, number);
      ids.push((await hostileOrder(databaseUrl, number, hostile)).id);
    }
    const page = await openConsole('/console/orders', PHONE);
    const own = (at: number): readonly [string, readonly string[]] => [`/console/orders/${ids[at]}`, [texts[at]!]];
    for (const [path, shown] of [
      ['/console/orders', texts],
      ['/console/deliveries', texts],
      ['/console/advertisements', texts.slice(-1)],
      own(0),
      own(1),
      own(2),
    ] as const) {
      await page.goto(`${sandbox.url}${path}`);
      for (const text of shown) {
        expect([path, text, await page.getByText(text, { exact: true }).count()]).not.toEqual([path, text, 0]);
      }
      expect(await page.locator('script, img, iframe').count()).toBe(0);
      expect([path, await isTooWide(page)]).toEqual([path, false]);
    }
  });
});

/** Puts a text in every place that an outsider can fill, past every limit of the endpoints. */
async function hostileOrder(url: string, number: string, hostile: string): Promise<{ id: number; token: string }> {
  const database = new pg.Client({ connectionString: url });
  await database.connect();
  try {
    const { rows } = await database.query<{ id: number; token: string }>(
      `UPDATE sandbox.buy_order SET payer_real_name = $2, callback_url = $2,
         external_order_number = $2, nth = id WHERE external_order_number = $1 RETURNING id, token`,
      [number, hostile],
    );
    const { id } = rows[0]!;
    await database.query(
      `UPDATE sandbox.advertisement SET seller = $1, payment_methods = ARRAY[$1] WHERE currency_code = 'CNY'`,
      [hostile],
    );
    await database.query(
      `UPDATE sandbox.attempt SET answer_prefix = $2, problem = $2, content_type = $2, body = $2
       WHERE delivery_id IN (SELECT id FROM sandbox.delivery WHERE order_id = $1)`,
      [id, hostile],
    );
    return rows[0]!;
  } finally {
    await database.end();
  }
}

import type { Browser, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { TEXTS } from '../../../sandbox/checkout/texts.ts';
import { LANGUAGES } from '../../../sandbox/orders/parameters.ts';
import { expectOrderly, inaccessible } from '../../support/pages/accessibility.ts';
import { findBrowser, launchBrowser } from '../../support/pages/browser.ts';
import { control, eventually, newNumber, openSandbox, orders, pay, placementBody, send } from '../support.ts';
import { isTooWide, screenshot, type Visit, visit } from '../visit.ts';

const executable = findBrowser();
if (executable === null) console.warn('\nNOT TESTED: no browser, so the script of the checkout did NOT run.\n');

const WIDTHS = [320, 390, 1280] as const;
const { en } = TEXTS;

describe.skipIf(executable === null)('the checkout with its script', async () => {
  const { sandbox, merchant } = await openSandbox({
    SANDBOX_AUTO_RELEASE: 'no',
    SANDBOX_SHOP_URL: 'http://127.0.0.1:1/{externalOrderNumber}',
  });
  let browser: Browser;
  let visitor: Visit;

  beforeAll(async () => {
    browser = await launchBrowser(executable!);
    visitor = await visit(browser, { javaScriptEnabled: true, timezoneId: 'Asia/Shanghai' });
  });
  afterAll(() => browser?.close());
  /** The page's policy refused nothing, and the script threw nothing. */
  afterEach(() => expect(visitor.complaints.splice(0)).toEqual([]));

  async function order(currencyCode = 'CNY', orderLifetimeMs: number | null = null) {
    const number = newNumber();
    await control(sandbox, 'PUT', '/settings', { orderLifetimeMs });
    const members = { externalOrderNumber: `"${number}"`, currencyCode: `"${currencyCode}"` };
    const placed = await send(sandbox, placementBody(merchant, members));
    const link = placed.data!.redirectUrl;
    const press = (name: string) => fetch(`${link}/${name}`, { method: 'POST' });
    return { number, link, press };
  }
  async function expired(currencyCode?: string) {
    const made = await order(currencyCode, 1);
    await eventually(async () => ((await orders(sandbox, made.number))[0]!.state === 'EXPIRED' ? true : undefined));
    return made;
  }
  async function open(link: string): Promise<Page> {
    await visitor.page.goto(link);
    return visitor.page;
  }
  /** Lets the script look now, as it does when somebody comes back to the page. */
  const comeBack = (page: Page) => page.evaluate('document.dispatchEvent(new Event("visibilitychange"))');

  /** One order in every state that the page has words for. */
  async function everyState(): Promise<Readonly<Record<string, string>>> {
    const [waiting, paid, released, cancelled] = [await order(), await order(), await order(), await order()];
    const [over, late, refused] = [await expired(), await expired(), await expired('HKD')];
    await pay(sandbox, released.number);
    await cancelled.press('cancel');
    const { advertisements } = (await control(sandbox, 'GET', '/advertisements')).body;
    const { code } = advertisements.find((offer: { currencyCode: string }) => offer.currencyCode === 'HKD');
    await control(sandbox, 'PATCH', `/advertisements/${code}`, { remaining: '0' });
    for (const { press } of [paid, late, refused]) await press('paid');
    const links = { waiting, paid, released, cancelled, over, late, refused };
    return Object.fromEntries([
      ...Object.entries(links).map(([name, { link }]) => [name, link] as const),
      ['unknown', `${sandbox.url}/pay/${'x'.repeat(43)}`],
    ]);
  }

  describe('can be used by everybody, by the rules of axe-core', () => {
    let links: Readonly<Record<string, string>>;
    beforeAll(async () => {
      links = await everyState();
    });

    test.each(LANGUAGES)('in %s, in every state, at 320, 390 and 1280 pixels', async (language) => {
      const { WAITING, PAID, RELEASED, CANCELLED, EXPIRED } = TEXTS[language].states;
      const { late, notFound } = TEXTS[language];
      const page = visitor.page;
      const titles: string[] = [];
      for (const [name, link] of Object.entries(links)) {
        await page.goto(`${link}?lang=${language}`);
        if (name === 'waiting') await page.locator('summary').click();
        titles.push(await page.locator('h1').innerText());
        await expectOrderly(page);
        for (const width of WIDTHS) {
          await page.setViewportSize({ width, height: 800 });
          expect([name, width, await inaccessible(page), await isTooWide(page)]).toEqual([name, width, [], false]);
          if (language === 'en') await screenshot(page, `checkout-script-${width}-${name}`);
        }
      }
      expect(titles).toEqual([
        ...[WAITING, PAID, RELEASED, CANCELLED, EXPIRED, PAID, late.refused].map(({ title }) => title),
        notFound,
      ]);
      // The browser reports the link of nobody, which is answered 404.
      expect(visitor.complaints.splice(0)).toEqual([expect.stringContaining('404')]);
    });

    test('in every state without the script', async () => {
      const page = visitor.page;
      await page.route('**/checkout.js', (route) => route.abort());
      for (const [name, link] of Object.entries(links)) {
        await page.goto(link);
        expect([name, await inaccessible(page)]).toEqual([name, []]);
        const isFinal = ['released', 'cancelled', 'unknown'].includes(name);
        expect(await page.getByRole('link', { name: en.lookAgain }).count()).toBe(isFinal ? 0 : 1);
      }
      await page.unroute('**/checkout.js');
      visitor.complaints.splice(0);
    });
  });

  test('the clock ticks', async () => {
    const page = await open((await order()).link);
    const clock = page.getByRole('timer');
    const before = await clock.innerText();
    expect(before).toMatch(/^\d+ min \d+ s$/);
    await eventually(async () => ((await clock.innerText()) === before ? undefined : true));
    expect(await clock.innerText()).toMatch(/^\d+ min \d+ s$/);
  });

  test('a page left open notices the release by itself, and then looks no more', async () => {
    const { link, number } = await order();
    const page = await open(link);
    expect(await page.getByText(en.updatesItself).isVisible()).toBe(true);
    expect(await page.getByRole('link', { name: en.lookAgain }).count()).toBe(0);
    await pay(sandbox, number);
    await page.getByRole('heading', { name: en.states.RELEASED.title }).waitFor();
    expect(await page.getByText(en.updatesItself).count()).toBe(0);
  });

  test('a page left open until the time is over says so by itself', async () => {
    const page = await open((await order('CNY', 2_000)).link);
    await page.getByRole('heading', { name: en.states.EXPIRED.title }).waitFor();
  });

  test('while the sandbox does not answer, the page offers its link instead of a promise', async () => {
    const page = await open((await order()).link);
    await page.route('**/state?*', (route) => route.abort());
    await comeBack(page);
    await page.getByRole('link', { name: en.lookAgain }).waitFor();
    expect(await page.getByText(en.updatesItself).isVisible()).toBe(false);
    await page.unroute('**/state?*');
    await comeBack(page);
    await page.getByText(en.updatesItself).waitFor();
    expect(visitor.complaints.splice(0)).toEqual([expect.stringContaining('ERR_FAILED')]);
  });

  test('amount and account are copied as a bank takes them, and the page says so', async () => {
    const page = await open((await order()).link);
    await visitor.context.grantPermissions(['clipboard-read', 'clipboard-write'], { origin: sandbox.url });
    for (const [label, copied] of [
      [en.copyAmount, '36000.00'],
      [en.copyAccount, '6200 0000 0000 0001'],
    ] as const) {
      const button = page.getByRole('button', { name: label }).first();
      await button.click();
      await page.getByRole('status').getByText(en.copied).waitFor();
      expect(await page.evaluate('navigator.clipboard.readText()')).toBe(copied);
      await button.getByText(en.copy, { exact: true }).waitFor();
    }
  });

  test('a text that the browser does not copy is selected', async () => {
    const page = await open((await order()).link);
    await page.evaluate('navigator.clipboard.writeText = () => Promise.reject(new Error("no"))');
    await page.getByRole('button', { name: en.copyAccount }).first().click();
    await eventually(async () =>
      (await page.evaluate('String(getSelection())')) === '6200 0000 0000 0001' ? true : undefined,
    );
  });

  test('local time is beside UTC', async () => {
    const page = await open((await order()).link);
    const shown = page.locator('.clock span', { has: page.locator('time') });
    expect(await shown.innerText()).toMatch(/\d\d:\d\d UTC · .*\d\d:\d\d.* GMT\+8, your time$/);
  });

  test('the keyboard reaches copy buttons, "I have paid", cancel and the shop in the order of the page', async () => {
    const page = await open((await order()).link);
    const stops: string[] = [];
    do {
      await page.keyboard.press('Tab');
      stops.push((await page.locator(':focus').innerText()).trim());
    } while (stops.at(-1) !== en.backToShop && stops.length < 12);
    const languages = LANGUAGES.map((language) => TEXTS[language].languageName);
    const copies = ['amount', 'bank', 'Alipay', 'WeChat'].map(() => en.copy);
    expect(stops).toEqual([...languages, ...copies, en.paid, en.cancel, en.backToShop]);
  });
});

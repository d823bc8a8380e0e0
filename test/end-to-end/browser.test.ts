import { mkdir } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Browser, Page } from 'playwright-core';
import { findBrowser, launchBrowser } from '../support/pages/browser.ts';
import { startEngine } from '../support/engine.ts';
import { until } from '../support/until.ts';

/**
 * The Web UI as an operator sees it, in a real browser. Pictures go to test-output/, which is not part of the
 * repository.
 */
const executable = findBrowser();
if (executable === null)
  console.warn('\n*** SKIPPED: no Chromium on this machine, so the pages were NOT tried in a browser ***\n');
const PICTURES = 'test-output';

const engine = executable === null ? null : await startEngine({ webUi: true });

describe.skipIf(engine === null)('in a real browser', () => {
  let browser: Browser;

  beforeAll(async () => {
    await mkdir(PICTURES, { recursive: true });
    browser = await launchBrowser(executable!);
  });
  afterAll(() => browser?.close());

  test('the checkout page pays a deposit, and the Web UI tells its story', async () => {
    const created = await engine!.create({ wallet: 'wallet-browser' });
    const { externalOrderNumber, redirectUrl, webUi } = created.body;

    const checkout = await browser.newPage();
    await checkout.goto(redirectUrl);
    expect(await checkout.textContent('body')).toMatch(/36,?000/);
    await checkout.screenshot({ path: `${PICTURES}/checkout.png` });
    await checkout.getByRole('button', { name: /paid/i }).click();
    await engine!.untilState(externalOrderNumber, 'CREDITED');
    await checkout.close();

    const page = await browser.newPage({ viewport: { width: 1400, height: 1100 } });
    await page.goto(webUi);
    await page.getByRole('tab', { name: 'User Metadata' }).click();
    await seen(page, '5,000 MTC for wallet-browser, CNY');
    await seen(page, 'The wallet was credited, once.');
    await page.screenshot({ path: `${PICTURES}/web-ui-details.png` });
    const { transactionCode } = await engine!.deposit(externalOrderNumber);
    await page.getByRole('tab', { name: 'Search Attributes' }).click();
    for (const text of ['DepositState', 'CREDITED', 'Currency', 'BuyCoinMode', 'MtcAmount', transactionCode]) {
      await seen(page, text);
    }
    await page.screenshot({ path: `${PICTURES}/web-ui-attributes.png` });
    const query = encodeURIComponent(`TransactionCode="${transactionCode}" and DepositState="CREDITED"`);
    await page.goto(`${engine!.temporal.uiUrl}/namespaces/default/workflows?query=${query}`);
    await seen(page, `deposit:${externalOrderNumber}`);
    await page.screenshot({ path: `${PICTURES}/web-ui-search.png` });
    await page.close();
  });
});

/** The Web UI shows Markdown in frames of its own. */
const seen = (page: Page, text: string) =>
  until(`“${text}” on ${page.url()}`, async () => {
    const texts = await Promise.all(
      page.frames().map((frame) =>
        frame
          .locator('body')
          .innerText()
          .catch(() => ''),
      ),
    );
    return texts.some((shown) => shown.includes(text));
  });

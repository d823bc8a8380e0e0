import { mkdir } from 'node:fs/promises';
import { randomBytes } from 'node:crypto';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createAccess } from '../../../api/http/authenticate.ts';
import { createCodecServer } from '../../../api/codec/codec-server.ts';
import { listen, type Listener } from '../../../api/http/http.ts';
import { createLog } from '../../../telemetry/log.ts';
import { createPayloadCodec } from '../../../encoding/payload-codec.ts';
import { loadPayloadKeys } from '../../../config/temporal.ts';
import { createApiKey } from '../../../database/queries/api-keys.ts';
import { freePort } from '../../../local/servers/ports.ts';
import { findBrowser, launchBrowser } from '../../support/pages/browser.ts';
import { startEngine } from '../../support/engine.ts';
import { until } from '../../support/until.ts';

/** The real Web UI in a real browser, with the codec server and without a key for it. */
const executable = findBrowser();
if (executable === null)
  console.warn('\n*** SKIPPED: no Chromium on this machine, so the codec server was NOT tried with the Web UI ***\n');
const PICTURES = 'test-output';

const port = await freePort();
const engine =
  executable === null
    ? null
    : await startEngine({
        webUi: true,
        uiCodecEndpoint: `http://127.0.0.1:${port}`,
        env: { TEMPORAL_CODEC_KEY: randomBytes(32).toString('base64url') },
      });

describe.skipIf(engine === null)('an encrypted deposit in the Web UI', () => {
  let browser: Browser;
  let codec: Listener;
  let key: string;

  beforeAll(async () => {
    await mkdir(PICTURES, { recursive: true });
    browser = await launchBrowser(executable!);
    key = await createApiKey(engine!.db.owner, { name: 'a-person', scopes: ['audit:read'] });
    const app = createCodecServer({
      access: createAccess({ key: { perSecond: 500, burst: 1_000 }, failure: { perSecond: 5, burst: 50 } }),
      pool: engine!.db.poolFor('app_api'),
      codec: createPayloadCodec(loadPayloadKeys(engine!.env)!),
      origin: engine!.temporal.uiUrl!,
      log: createLog('codec', 'silent'),
    });
    codec = await listen(app, { host: '127.0.0.1', port });
  });
  afterAll(async () => {
    await browser?.close();
    await codec?.close();
  });

  test('is unreadable to a browser without a key, and readable once one was given', async () => {
    const created = await engine!.create({ wallet: 'wallet-encrypted' });
    const { externalOrderNumber, webUi } = created.body;
    await engine!.pay(externalOrderNumber);
    await engine!.untilState(externalOrderNumber, 'CREDITED');

    const context = await browser.newContext({ viewport: { width: 1400, height: 1100 } });
    const page = await context.newPage();
    await page.goto(webUi);
    await seen(page, 'Codec Server could not connect');
    expect(await shown(page)).not.toContain('wallet-encrypted');
    await page.screenshot({ path: `${PICTURES}/codec-closed.png` });

    // An operator enters the key at the codec server, and sets the Web UI to send the cookie.
    await page.goto(codec.url);
    await page.getByLabel('API key').fill(key);
    await page.getByRole('button', { name: 'Continue' }).click();
    await page.getByRole('link', { name: 'the Temporal Web UI' }).click();
    await page.goto(webUi);
    await page.getByLabel('Codec Server could not connect').first().click();
    await page.getByTestId('use-local-endpoint-input').check({ force: true });
    await page.getByPlaceholder('Paste your endpoint here').fill(codec.url);
    await page.getByText('Include cross-origin credentials').click();
    await page.screenshot({ path: `${PICTURES}/codec-settings.png` });
    await page.getByRole('button', { name: 'Apply' }).click();
    await page.reload();
    await seen(page, 'wallet-encrypted');
    await seen(page, 'paymentWindowMs');
    await page.getByRole('tab', { name: 'User Metadata' }).click();
    await seen(page, '5,000 MTC for wallet-encrypted, CNY');
    await seen(page, 'The wallet was credited, once.');
    await page.screenshot({ path: `${PICTURES}/codec-open.png` });

    // Another browser has no cookie.
    const other = await (await browser.newContext()).newPage();
    await other.goto(webUi);
    await seen(other, 'Codec Server could not connect');
    expect(await shown(other)).not.toContain('wallet-encrypted');
  });
});

/** The Web UI shows Markdown in frames of its own. */
async function shown(page: Page): Promise<string> {
  const texts = page.frames().map((frame) =>
    frame
      .locator('body')
      .innerText()
      .catch(() => ''),
  );
  return (await Promise.all(texts)).join('\n');
}

const seen = (page: Page, text: string) =>
  until(`“${text}” on ${page.url()}`, async () => (await shown(page)).includes(text));

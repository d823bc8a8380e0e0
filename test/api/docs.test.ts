import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Browser, Page } from 'playwright-core';
import { typeOf } from '../../contract/problems.ts';
import { startEngine } from '../support/engine.ts';
import { expectOrderly } from '../support/pages/accessibility.ts';
import { findBrowser, launchBrowser } from '../support/pages/browser.ts';
import type { Document } from '../support/pages/document.ts';

const engine = await startEngine({ worker: false });
const document: Document = (await engine.call('GET', '/openapi.json', undefined, { key: null })).body;

test('the page names every operation, schema and error of the document, and runs nothing', async () => {
  const { text, headers } = await engine.call('GET', '/docs', undefined, { key: null });
  expect(headers.get('content-type')).toBe('text/html; charset=utf-8');
  expect(headers.get('content-security-policy')).toBe(
    "default-src 'none'; style-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  );
  for (const methods of Object.values<Document>(document.paths)) {
    for (const one of Object.values<Document>(methods)) expect(text).toContain(`id="${one.operationId}"`);
  }
  for (const name of Object.keys(document.components.schemas)) expect(text).toContain(`id="schema-${name}"`);
  // The targets of the `type` of an error.
  const told = [...text.matchAll(/id="(error-\w+)"/g)].map((match) => `/docs#${match[1]}`);
  expect(told.toSorted()).toEqual(document.components.schemas.Problem.properties.code.enum.map(typeOf).toSorted());
  expect(text).not.toMatch(/<script|style=|onclick|https?:\/\/(?!(?:pay\.mtpay|shop)\.example)/);
});

const chromium = findBrowser();
if (chromium === null)
  console.warn('\n*** SKIPPED: no Chromium on this machine, so the docs page was NOT looked at ***\n');

describe.skipIf(chromium === null)('in a browser', () => {
  let browser: Browser;
  let page: Page;
  const asked: string[] = [];
  const complaints: string[] = [];

  beforeAll(async () => {
    if (chromium === null) return;
    browser = await launchBrowser(chromium);
    page = await browser.newPage({ viewport: { width: 360, height: 740 } });
    page.on('request', (request) => void asked.push(request.url()));
    page.on('console', (message) => void complaints.push(message.text()));
    page.on('pageerror', (error) => void complaints.push(error.message));
    await page.goto(`${engine.api.apiUrl}/docs`, { waitUntil: 'networkidle' });
  });
  afterAll(() => browser?.close());

  test('it asks nobody but this listener, and there is nothing to complain of', () => {
    expect(asked.filter((url) => !url.startsWith('data:')).toSorted()).toEqual([
      `${engine.api.apiUrl}/docs`,
      `${engine.api.apiUrl}/docs/style.css`,
    ]);
    expect(complaints).toEqual([]);
  });

  test('it is styled, and at the width of a phone nothing but tables and examples scrolls sideways', async () => {
    const [whole, seen, size] = await page.evaluate<number[]>(
      '[document.documentElement.scrollWidth, document.documentElement.clientWidth, parseFloat(getComputedStyle(document.body).fontSize)]',
    );
    expect(whole).toBe(seen);
    expect(size).toBeGreaterThanOrEqual(16);
    expect(await page.evaluate('getComputedStyle(document.querySelector("pre")).overflowX')).toBe('auto');
  });

  test('it can be read by ear and by keyboard: headings in order, named regions, links that lead somewhere', async () => {
    await expectOrderly(page);
    expect(await page.evaluate('document.documentElement.lang')).toBe('en');
    expect(
      await page.evaluate(
        '[...document.querySelectorAll("[role=region],nav")].every((one) => one.getAttribute("aria-label"))',
      ),
    ).toBe(true);
  });
});

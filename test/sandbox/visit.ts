import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Browser, BrowserContext, BrowserContextOptions, Page } from 'playwright-core';

const SCREENSHOTS = new URL('../../test-output/', import.meta.url).pathname;

export const PHONE = { width: 360, height: 740 };
export const DESK = { width: 1280, height: 800 };

/** The requests of a page, and its complaints. */
export interface Visit {
  readonly page: Page;
  readonly context: BrowserContext;
  readonly requested: string[];
  readonly complaints: string[];
}

/** A fresh visitor: no cookies, no cache and, by default, no scripts, because the pages promise to work without. */
export async function visit(browser: Browser, options: BrowserContextOptions = {}): Promise<Visit> {
  const context = await browser.newContext({
    viewport: DESK,
    javaScriptEnabled: false,
    deviceScaleFactor: 1,
    ...options,
  });
  const page = await context.newPage();
  const requested: string[] = [];
  const complaints: string[] = [];
  context.on('request', (request) => requested.push(request.url()));
  page.on('console', (message) => complaints.push(message.text()));
  page.on('pageerror', (error) => complaints.push(error.message));
  return { page, context, requested, complaints };
}

/** Stores a picture in test-output/ for readers. */
export async function screenshot(page: Page, name: string): Promise<void> {
  mkdirSync(SCREENSHOTS, { recursive: true });
  await page.screenshot({ path: join(SCREENSHOTS, `${name}.png`), fullPage: true });
}

/** Whether an element is wider than the window, so that one would have to scroll sideways. */
export async function isTooWide(page: Page): Promise<boolean> {
  const inner = await page.evaluate('document.documentElement.scrollWidth');
  return Number(inner) > page.viewportSize()!.width;
}

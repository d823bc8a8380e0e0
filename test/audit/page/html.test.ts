import { mkdir } from 'node:fs/promises';
import { pathToFileURL } from 'node:url';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { writeReport } from '../../../audit/report/files.ts';
import { CHECKS, FINDINGS } from '../../../audit/report/findings.ts';
import { type PageFacts, reportPage, scopeText } from '../../../audit/page/page.ts';
import { bySpan } from '../../../audit/page/charts.ts';
import type { AuditReport } from '../../../audit/report/report.ts';
import { expectOrderly, inaccessible } from '../../support/pages/accessibility.ts';
import { findBrowser, launchBrowser } from '../../support/pages/browser.ts';
import { everyKind, hashOf, hostile, newDirectory, newSigner, sampleReport } from '../report/sample.ts';

const facts: PageFacts = {
  jsonFile: 'report-1.json',
  files: [],
  paper: 'report-1-sample.csv',
  signedBy: { keyId: '0123456789abcdef', isMachineOwn: true },
  fingerprint: hashOf('key'),
};
const good = sampleReport({ lines: 40 });
const bad = sampleReport({ findings: everyKind, lines: 10 });
/** A thousand credits, and a sample of them. */
const long = sampleReport();
/** Days, and names from the program's own fixed lists, stay; every other text is hostile. */
const attacked: AuditReport = {
  ...hostile(bad),
  days: bad.days.map((day) => ({ ...hostile(day), day: day.day })),
  checks: bad.checks.map((check) => ({
    ...hostile(check),
    id: check.id,
    kinds: check.kinds,
    findings: check.findings.map((finding) => ({ ...hostile(finding), kind: finding.kind })),
  })),
};

describe('the page', () => {
  test('answers on its first page', () => {
    const first = reportPage(good, facts).split('<main>')[0]!;
    for (const answer of [
      'Nothing is unexplained',
      'How much',
      'Who',
      'When',
      'On what evidence',
      'What is open',
      'stand in wallets: 986 credits for 1,260 deposits',
      'alice.w, bob.k and chen.l decided 18 cases',
      'from 2026-09-14 to 2026-10-13',
      'on an authentic callback of the provider alone',
      '4 deposits not closed; 2 cases for people to decide',
      hashOf('ledger'),
      hashOf('archive'),
      'That key is this machine’s own',
    ])
      expect(first).toContain(answer);
    expect(reportPage(bad, facts)).toContain('things are unexplained');
  });

  test('names every check and finding with what it means and what to do, and what its lists leave out', () => {
    const text = reportPage(sampleReport({ findings: { ...everyKind, entries_differ: 1_200 } }), facts);
    for (const { title, meaning } of Object.values(CHECKS))
      for (const said of [title, meaning]) expect(text).toContain(said);
    for (const { title, means, todo } of Object.values(FINDINGS))
      for (const said of [title, means, todo]) expect(text).toContain(said);
    expect(text).toMatch(/The first [\d,]+ of 1,200 findings of this kind are listed/);
  });

  test('says so when only a part was audited', () => {
    const part = {
      ...good.audit.scope,
      since: '2026-10-01T00:00:00Z',
      sample: '100 of them, seed 7',
      from: '2026-01-01T00:00:00Z',
      to: '2027-01-01T00:00:00Z',
    };
    expect(scopeText(part)).toBe(
      'What closed since 2026-10-01 00:00:00 UTC, and what is still open, was audited by a sample: 100 of them, seed 7.',
    );
    const text = reportPage({ ...good, audit: { ...good.audit, scope: part } }, facts);
    expect(text).toContain('Nothing is unexplained in the part that was audited');
  });

  test('holds nothing but text where text stands, whatever the text is', () => {
    const text = reportPage(attacked, { ...hostile(facts), signedBy: { keyId: hostile('k'), isMachineOwn: false } });
    const plain = reportPage(bad, { ...facts, signedBy: { keyId: 'k', isMachineOwn: false } });
    const elements = (page: string) => [...page.matchAll(/<\/?[a-z][a-z0-9]*/gi)].map(([element]) => element);
    expect(elements(text).filter((element) => /script|img|iframe|object/i.test(element))).toEqual([]);
    expect(elements(text).filter((element) => element === '</style')).toHaveLength(1);
    expect(elements(text).filter((element) => element === '<table')).toHaveLength(
      elements(plain).filter((element) => element === '<table').length,
    );
    for (const unseen of ['\u0000', '\u2028', '\u202E']) expect(text).not.toContain(unseen);
    expect(text).toContain('⟨U+202E⟩');
    expect(text).not.toMatch(/\son\w+=["']/);
  });

  test('draws days, weeks, months or years, with those in which nothing happened', () => {
    const day = (name: string) => ({ day: name, deposits: 1, credits: 1, credited: '0.5' });
    const spans = (...names: string[]) => bySpan(names.map(day));
    expect(spans('2026-01-01', '2026-01-03').rows.map(({ deposits }) => deposits)).toEqual([1, 0, 1]);
    expect(spans('2026-01-01', '2026-03-01')).toMatchObject({
      span: 'week',
      rows: { length: 9, 0: { day: '2025-12-29' } },
    });
    expect(spans('2025-01-31', '2026-12-31')).toMatchObject({ span: 'month', rows: { length: 24 } });
    expect(spans('2024-02-29', '2031-12-31')).toMatchObject({ span: 'year', rows: { length: 8 } });
    const { rows } = bySpan(sampleReport({ days: 400 }).days);
    expect(rows.reduce((sum, { deposits }) => sum + deposits, 0)).toBe(1_260);
  });
});

const chromium = findBrowser();
if (chromium === null)
  console.warn('\n*** SKIPPED: no Chromium on this machine, so the audit report was NOT looked at ***\n');
const PICTURES = 'test-output';

describe.skipIf(chromium === null)('in a browser', () => {
  let browser: Browser;
  const directory = newDirectory();
  const signer = newSigner(true);
  const cases = [
    ['good', { ...good, audit: { ...good.audit, finishedAt: '2026-11-03T10:00:01Z' } }],
    ['bad', { ...bad, audit: { ...bad.audit, finishedAt: '2026-11-03T10:00:02Z' } }],
    ['long', { ...long, audit: { ...long.audit, finishedAt: '2026-11-03T10:00:05Z' } }],
    ['attacked', { ...attacked, audit: { ...attacked.audit, finishedAt: '2026-11-03T10:00:03Z' } }],
  ] as const;
  const widths = [1_100, 360];

  beforeAll(async () => {
    if (chromium === null) return;
    await mkdir(PICTURES, { recursive: true });
    browser = await launchBrowser(chromium);
  });
  afterAll(() => browser?.close());

  async function open(html: string, width: number) {
    const page = await browser.newPage({ viewport: { width, height: 900 } });
    const asked: string[] = [];
    const complaints: string[] = [];
    page.on('request', (request) => void asked.push(request.url()));
    page.on('console', (message) => void complaints.push(message.text()));
    page.on('pageerror', (error) => void complaints.push(error.message));
    page.on('dialog', (dialog) => void complaints.push(dialog.message()));
    const url = pathToFileURL(html).href;
    await page.goto(url, { waitUntil: 'networkidle' });
    return { page, url, asked: asked.filter((one) => !one.startsWith('data:')), complaints };
  }

  test.each(cases)(
    '%s: read at two widths and printed, it asks nobody and there is nothing to complain of',
    async (name, report) => {
      const { html } = writeReport(report, signer, directory);
      for (const width of widths) {
        const { page, url, asked, complaints } = await open(html, width);
        expect(asked).toEqual([url]);
        expect(complaints).toEqual([]);
        expect(await page.evaluate('getComputedStyle(document.querySelector(".verdict")).borderLeftWidth')).toBe(
          '12px',
        );
        await readable(page);
        await page.screenshot({ path: `${PICTURES}/audit-${name}-${width}.png`, fullPage: name === 'good' });
        if (width === 360 && (name === 'good' || name === 'bad')) expect(await inaccessible(page)).toEqual([]);
        if (width === widths[0]) await printed(page, name);
        await page.close();
      }
    },
  );

  /** Only tables, charts and commands scroll sideways; headings, regions and links are in order. */
  async function readable(page: Page): Promise<void> {
    const [whole, seen] = await page.evaluate<number[]>(
      '[document.documentElement.scrollWidth, document.documentElement.clientWidth]',
    );
    expect(whole).toBe(seen);
    await expectOrderly(page);
    const landmarks = await page.evaluate<string[]>(
      '[...document.querySelectorAll("section[aria-labelledby],[role=region],nav")].map((one) => one.ariaLabel ?? document.getElementById(one.getAttribute("aria-labelledby")).innerText)',
    );
    expect(landmarks.filter((name, at) => landmarks.indexOf(name) !== at)).toEqual([]);
    expect(
      await page.evaluate('[...document.querySelectorAll("input")].filter((one) => one.labels.length !== 1).length'),
    ).toBe(0);
    expect(await page.evaluate('document.querySelectorAll("main,header,nav").length')).toBe(3);
    expect(
      await page.evaluate('document.querySelectorAll("th:not([scope]),script,link:not([href^=data])").length'),
    ).toBe(0);
    expect(
      await page.evaluate(
        '[...document.querySelectorAll("[role=region],nav,svg[role=img]")].every((one) => one.getAttribute("aria-label"))',
      ),
    ).toBe(true);
  }

  async function printed(page: Page, name: string): Promise<void> {
    const pdf = await page.pdf({
      path: `${PICTURES}/audit-${name}.pdf`,
      preferCSSPageSize: true,
      printBackground: true,
    });
    expect(pdf.subarray(0, 5).toString()).toBe('%PDF-');
    expect(pdf.length).toBeGreaterThan(20_000);
    const pages = Number(
      /\/Type \/Pages[^>]*\/Count (\d+)|\/Count (\d+)[^>]*\/Type \/Pages/s
        .exec(pdf.toString('latin1'))
        ?.slice(1)
        .find(Boolean),
    );
    expect(pages).toBeGreaterThan(4);
    await page.emulateMedia({ media: 'print' });
    // Nothing is cut off: paper does not scroll. A4 less the margins.
    await page.setViewportSize({ width: 688, height: 900 });
    expect(await page.evaluate('document.documentElement.scrollWidth')).toBeLessThanOrEqual(688);
    expect(await page.evaluate('getComputedStyle(document.querySelector("thead")).display')).toBe('table-header-group');
  }

  test('its texts can be told from what they stand on', async () => {
    const { html } = writeReport(
      { ...bad, audit: { ...bad.audit, finishedAt: '2026-11-03T10:00:04Z' } },
      signer,
      directory,
    );
    const { page } = await open(html, 1_100);
    const colours = await page
      .evaluate<[string, string][]>(
        `[...document.querySelectorAll('body *')].filter((one) => one.innerText?.trim() && !one.closest('svg')).map((one) => {
        let behind = one; while (behind && getComputedStyle(behind).backgroundColor === 'rgba(0, 0, 0, 0)') behind = behind.parentElement;
        return getComputedStyle(one).color + ' on ' + (behind ? getComputedStyle(behind).backgroundColor : 'rgb(255, 255, 255)'); })`,
      )
      .then((all) => [...new Set(all as unknown as string[])].map((pair) => pair.split(' on ') as [string, string]));
    expect(colours.length).toBeGreaterThan(4);
    for (const [ink, paper] of colours) expect(contrast(ink, paper), `${ink} on ${paper}`).toBeGreaterThanOrEqual(4.5);
    await page.close();
  });
});

/** The contrast ratio of WCAG, of two `rgb(r, g, b)`. */
function contrast(one: string, other: string): number {
  const luminance = (colour: string) => {
    const [r, g, b] = [...colour.matchAll(/\d+/g)]
      .map(([value]) => Number(value) / 255)
      .map((value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r! + 0.7152 * g! + 0.0722 * b!;
  };
  const [dark, light] = [luminance(one), luminance(other)].toSorted((a, b) => a - b);
  return (light! + 0.05) / (dark! + 0.05);
}

import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import type { Page } from 'playwright-core';
import { expect } from 'vitest';

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

interface Ran {
  readonly violations: readonly {
    readonly id: string;
    readonly help: string;
    readonly nodes: readonly { readonly html: string; readonly failureSummary?: string }[];
  }[];
  readonly passes: number;
}

/**
 * Returns the violations that axe-core finds on the page as shown, by all of its rules: `rule: requirement, at
 * element`, the first place of each. Throws when axe-core checked nothing.
 */
export async function inaccessible(page: Page): Promise<string[]> {
  if (await page.evaluate('typeof axe === "undefined"')) await page.evaluate(axe);
  const { violations, passes } = await page.evaluate<Ran>(
    `axe.run({ iframes: false, resultTypes: ["violations"] })
        .then(({ violations, passes }) => ({ violations, passes: passes.length }))`,
  );
  if (passes < 10) throw new Error(`axe-core passed ${passes} rules only: it cannot have looked at a page of ours`);
  return violations.map(
    ({ id, help, nodes }) => `${id}: ${help}, ${nodes.length} times, at ${nodes[0]!.html.slice(0, 200)}`,
  );
}

/** Expects headings that go down by one level at a time, links within the page that have a target, and unique ids. */
export async function expectOrderly(page: Page): Promise<void> {
  const levels = await page.evaluate<number[]>(
    '[...document.querySelectorAll("h1,h2,h3,h4")].map((one) => Number(one.tagName[1]))',
  );
  expect(levels[0]).toBe(1);
  expect(levels.every((level, at) => at === 0 || level - levels[at - 1]! <= 1)).toBe(true);
  const dead = await page.evaluate(
    '[...document.querySelectorAll("a[href^=\\"#\\"]")].filter((one) => !document.getElementById(one.hash.slice(1))).map((one) => one.hash)',
  );
  expect(dead).toEqual([]);
  const ids = await page.evaluate<string[]>('[...document.querySelectorAll("[id]")].map((one) => one.id)');
  expect(new Set(ids).size).toBe(ids.length);
}

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { DEPOSIT_STATES } from '../../domain/deposit.ts';
import { CUSTOMER_WORDS, TAKEN_BACK } from '../../examples/shop/pages.ts';
import { root } from './variables.ts';

const PAGE = readFileSync(join(root, 'docs/guides/customer-states.md'), 'utf8');

test('the page has words for every state, and the sample shop says the same', () => {
  const rows = [...PAGE.matchAll(/^\| `([A-Z_]+)` +\| (.+?) +\| (.+?) +\|$/gm)].map(([, state, say, act]) => ({
    state,
    say,
    act,
  }));
  expect(new Set(rows.map(({ state }) => state))).toEqual(new Set(DEPOSIT_STATES));
  expect(Object.fromEntries(rows.map(({ state, say }) => [state, say]))).toEqual(CUSTOMER_WORDS);
  expect(rows.every(({ act }) => act!.length > 20)).toBe(true);
  expect(PAGE).toContain(`"${TAKEN_BACK}"`);
});

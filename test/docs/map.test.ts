import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { root } from './variables.ts';

/** test/README.md names every folder of tests, and no other. */
const here = join(root, 'test');
const MAP = readFileSync(join(here, 'README.md'), 'utf8');

test('whatever the map links is there', () => {
  const links = [...MAP.matchAll(/\]\(([^)#]+)/g)].map((match) => match[1]!);
  expect(links.length).toBeGreaterThan(40);
  expect(links.filter((link) => !existsSync(join(here, link)))).toEqual([]);
});

test('the map has every folder', () => {
  const folders = readdirSync(here, { withFileTypes: true }).filter((entry) => entry.isDirectory());
  expect(folders.map(({ name }) => name).filter((name) => !MAP.includes(`[${name}](${name})`))).toEqual([]);
});

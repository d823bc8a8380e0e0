import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { root } from './variables.ts';

/** test/README.md names every folder of tests and every rule of a deposit's life, and nothing that is not there. */
const here = join(root, 'test');
const MAP = readFileSync(join(here, 'README.md'), 'utf8');

test('whatever the map links is there', () => {
  const links = [...MAP.matchAll(/\]\(([^)#]+)/g)].map((match) => match[1]!);
  expect(links.length).toBeGreaterThan(50);
  expect(links.filter((link) => !existsSync(join(here, link)))).toEqual([]);
});

test('the map has every folder', () => {
  const folders = readdirSync(here, { withFileTypes: true }).filter((entry) => entry.isDirectory());
  expect(folders.map(({ name }) => name).filter((name) => !MAP.includes(`[${name}](${name})`))).toEqual([]);
});

test('the map has every rule of lifecycle.md', () => {
  const page = readFileSync(join(root, 'docs/lifecycle.md'), 'utf8');
  const rules = /^## Rules$(.*?)^## /ms.exec(page)![1]!;
  const names = [...rules.matchAll(/^(?:\*\*(.+?)\.\*\*|### (.+)$)/gm)].map((match) => match[1] ?? match[2]!);
  expect(names.length).toBeGreaterThan(6);
  expect(names.filter((name) => !new RegExp(`^\\| ${name} +\\|`, 'm').test(MAP))).toEqual([]);
});

import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { expect, test } from 'vitest';
import { REFUSALS, STAMP_ERROR } from '../../providers/mtpay/codes.ts';
import { root } from './variables.ts';

/** The table of allowed imports in CONTRIBUTING.md, the lint rules and the sources agree. */
const read = (path: string): string => readFileSync(join(root, path), 'utf8');
const sources = (folder: string): string[] =>
  readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => /\.(ts|cjs)$/.test(name) && !name.startsWith('histories/'))
    .map((name) => join(folder, name));
const FOLDERS = readdirSync(root, { withFileTypes: true })
  .filter((entry) => entry.isDirectory() && /^(?!node_modules|dist|docs)[a-z]+$/.test(entry.name))
  .map((entry) => entry.name)
  .filter((folder) => sources(folder).length > 0);

/** By the table: a folder, and its allowed imports. `local` and `harness` compose all parts, and so do tests. */
const TABLE = [...read('CONTRIBUTING.md').matchAll(/^\| `(\w+)` +\| (.+?) +\|$/gm)].map(
  ([, folder, cell]) => [folder!, [...cell!.matchAll(/`(\w+)`/g)].map((match) => match[1]!)] as const,
);

interface Override {
  readonly files: readonly string[];
  readonly rules: {
    readonly 'no-restricted-imports'?: readonly [
      string,
      { readonly patterns: readonly { readonly regex: string; readonly allowTypeImports?: true }[] },
    ];
  };
}
const { overrides } = JSON.parse(read('.oxlintrc.json')) as { readonly overrides: readonly Override[] };

const pathsOf = (file: string): string[] =>
  [...read(file).matchAll(/(?:from|import\() ?'(\.[^']+)'/g)].map((match) => normalize(join(dirname(file), match[1]!)));
const importsOf = (file: string): string[] => pathsOf(file).map((path) => path.split('/')[0]!);

test('the table has every folder of code', () => {
  expect([...TABLE.map(([folder]) => folder), 'test'].toSorted()).toEqual(FOLDERS.toSorted());
});

test.each(TABLE.filter(([folder]) => !['local', 'harness'].includes(folder)))(
  '%s imports what the table allows, and lint says the same',
  (folder, allowed) => {
    const used = new Set(sources(folder).flatMap(importsOf));
    expect([...used].filter((other) => FOLDERS.includes(other) && ![folder, ...allowed].includes(other))).toEqual([]);
    const { patterns } = overrides
      .filter(({ files }) => files.includes(`${folder}/**`))
      .flatMap(({ rules }) => rules['no-restricted-imports'] ?? [])
      .find((rule) => typeof rule === 'object')!;
    const isRefused = (other: string) =>
      patterns.some(
        ({ regex, allowTypeImports }) => allowTypeImports !== true && new RegExp(regex).test(`../${other}/messages.ts`),
      );
    expect(FOLDERS.filter((other) => other !== folder && !isRefused(other)).toSorted()).toEqual(
      [...allowed].toSorted(),
    );
  },
);

/**
 * MTPay's own terms: a port that knew them would be no port. Sources, and not the SQL, whose files are never edited.
 */
const MTPAYS = [...Object.keys(REFUSALS), STAMP_ERROR, 'access_key'];
const HOME = 'providers/mtpay/';
const engine = FOLDERS.filter((folder) => !['sandbox', 'test', 'harness'].includes(folder)).flatMap(sources);

test('an adapter is imported by the list of providers, and its codes stand nowhere else', () => {
  const importers = engine.filter((file) =>
    pathsOf(file).some((path) => path.startsWith(HOME) && !file.startsWith(HOME)),
  );
  expect(importers).toEqual(['providers/providers.ts']);
  const tellers = engine.filter((file) => MTPAYS.some((word) => new RegExp(`\\b${word}\\b`).test(read(file))));
  // The API's document has one as an example for callers, and the client's types are written from the document.
  const elsewhere = tellers.filter((file) => !file.startsWith(HOME));
  expect(elsewhere).toEqual(['client/src/schema.d.ts', 'contract/openapi.ts']);
  expect(tellers.length).toBeGreaterThan(1);
});

test('the port knows no adapter, key or setting', () => {
  expect(pathsOf('providers/port.ts')).toEqual(['domain/order.ts']);
});

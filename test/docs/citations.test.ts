import { readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { expect, test } from 'vitest';
import { anchors, root } from './variables.ts';

/**
 * Citations in comments and texts of programs exist: the page, the heading behind `#`, the rule (`, L3`) or the threat
 * (`, T6`). Migrations are never edited, so their pages may have moved to a folder below docs/; names of pages are
 * unique. Their functions have the same comments.
 */
const isOfMigrations = (file: string) => file.includes('migrations/') || file === join('database', 'functions.sql');
const files = readdirSync(root, { withFileTypes: true })
  .filter(({ name }) => /^(?!node_modules|dist|docs)[a-z]+$/.test(name))
  .flatMap(({ name }) =>
    readdirSync(join(root, name), { recursive: true, encoding: 'utf8' }).map((at) => join(name, at)),
  )
  .filter((path) => /\.(ts|cjs|sql|sh|cfg|yml)$/.test(path) && !path.startsWith('test/histories/'));
const pages = new Map(
  readdirSync(join(root, 'docs'), { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('.md'))
    .map((path) => [`docs/${path}`, readFileSync(join(root, 'docs', path), 'utf8')]),
);
const byName = new Map([...pages].map(([path, text]) => [basename(path), text]));

const cited = ['.env.example', 'docker-compose.yml', 'Dockerfile', ...files].flatMap((file) =>
  [...readFileSync(join(root, file), 'utf8').matchAll(/(docs\/[\w/-]+\.md)(?:#([\w-]+))?(?:, ([LT]\d+))?/g)].map(
    ([citation, path, heading, row]) => ({ file, citation, path: path!, heading, row }),
  ),
);

test('every citation of a page is one of a page, a heading and a rule that are there', () => {
  expect(cited.length).toBeGreaterThan(100);
  const dead = cited.filter(({ file, path, heading, row }) => {
    const page = pages.get(path) ?? (isOfMigrations(file) ? byName.get(basename(path)) : undefined);
    if (page === undefined) return true;
    if (heading !== undefined && !anchors(page).includes(heading)) return true;
    return row !== undefined && !page.includes(`**${row}. `) && !page.includes(`| ${row} `);
  });
  expect(dead.map(({ file, citation }) => `${file}: ${citation}`)).toEqual([]);
});

test('a comment names a page by its path', () => {
  const bare = files.flatMap((file) =>
    [
      ...readFileSync(join(root, file), 'utf8').matchAll(
        /^ *(?:\*|\/\/|\/\*\*|--|#).*?(?<![\w/.-])([a-z][\w-]*\.md)\b.*$/gm,
      ),
    ].map((match) => `${file}: ${match[0].trim()}`),
  );
  expect(bare).toEqual([]);
});

test('a comment names a file of the code that is there', () => {
  const paths = files.map((file) => `/${file}`);
  const named = files
    .filter((file) => !isOfMigrations(file))
    .flatMap((file) =>
      readFileSync(join(root, file), 'utf8')
        .split('\n')
        .filter((line) => /^ *(?:\*|\/\*|\/\/|--|#)/.test(line))
        .flatMap((line) =>
          [...line.matchAll(/(?<![\w.@/-])(?:[\w-]+\/)*[\w-]+\.(?:ts|sql)\b/g)].map(([name]) => ({ file, name })),
        ),
    );
  expect(named.length).toBeGreaterThan(20);
  expect(named.filter(({ name }) => !paths.some((path) => path.endsWith(`/${name}`)))).toEqual([]);
});

test('no two pages have one name', () => {
  expect(
    [...pages.keys()]
      .filter((path) => !path.endsWith('README.md'))
      .map((path) => basename(path))
      .toSorted(),
  ).toEqual([...byName.keys()].filter((name) => name !== 'README.md').toSorted());
});

import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { root } from '../../local/servers/paths.ts';

/**
 * A connection that is cut between queries emits `error`, and a process without a listener for it ends. So connections
 * are made in few places, each of which listens.
 */
const FACTORIES = ['database/pool.ts', 'sandbox/database.ts'];
const SKIPPED = ['node_modules', 'dist', 'test', 'harness', '.git', '.data', '.cache'];

function* sources(folder: string): Generator<string> {
  for (const name of readdirSync(join(root, folder))) {
    const path = folder === '' ? name : `${folder}/${name}`;
    if (SKIPPED.includes(path)) continue;
    if (statSync(join(root, path)).isDirectory()) yield* sources(path);
    else if (path.endsWith('.ts')) yield path;
  }
}

test('every connection to a database has a listener for the moment when it is cut', () => {
  const making = [...sources('')].filter(
    (path) => /new (pg\.)?(Client|Pool)\([^)]/.test(textOf(path)) && /from 'pg'/.test(textOf(path)),
  );
  expect(making.filter((path) => FACTORIES.includes(path))).toEqual(FACTORIES);
  // Besides the factories: the local stack's own, each followed by its listener at once.
  const bare = making
    .filter((path) => !FACTORIES.includes(path))
    .filter((path) => !path.startsWith('local/') || !listensAtOnce(path));
  expect(bare).toEqual([]);
});

test('every connection taken out of a pool by hand is in a transaction that listens', () => {
  const taking = [...sources('')].filter((path) => /\b\w*[pP]ool\w*\.connect\(/.test(textOf(path)));
  expect(taking).toEqual(FACTORIES);
  for (const path of FACTORIES) {
    expect(textOf(path)).toMatch(/pool\.connect\(\);[\s\S]{0,300}client\.on\('error'/);
    expect(textOf(path)).toMatch(/pool\.on\('connect', /);
  }
});

const textOf = (path: string): string => readFileSync(join(root, path), 'utf8');

function listensAtOnce(path: string): boolean {
  const made = [...textOf(path).matchAll(/new pg\.Client\(/g)];
  const listening = [...textOf(path).matchAll(/new pg\.Client\([\s\S]*?\);\n(\s*\/\/.*\n)*\s*\w+\.on\('error'/g)];
  return made.length === listening.length;
}

/** The bundle of the workflows, built while the servers start and kept until its sources change. */

import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { runTask } from './node-part.ts';

/** All sources of a bundle: lint keeps other folders out of workflows/, and the lockfile pins the packages. */
const SOURCES = ['workflows', 'domain', 'worker/bundle.ts', 'config/failure-converter.cjs', 'package-lock.json'];

/**
 * Returns the file of the current bundle. Bundling is the largest share of a worker's start, so a restart of the worker
 * and a second `npm start` reuse the file.
 */
export async function currentBundle(options: {
  readonly clone: string;
  readonly cache: string;
  readonly dataDirectory: string;
  readonly env: Readonly<Record<string, string | undefined>>;
}): Promise<string> {
  const { clone, cache, dataDirectory, env } = options;
  const file = join(cache, `workflow-bundle-${hashOf(clone)}.js`);
  if (existsSync(file)) return file;
  mkdirSync(cache, { recursive: true });
  for (const name of readdirSync(cache)) {
    if (name.startsWith('workflow-bundle-')) rmSync(join(cache, name), { force: true });
  }
  const fresh = `${file}.${process.pid}`;
  const inherited = Object.entries(env).filter((entry): entry is [string, string] => entry[1] !== undefined);
  await runTask('workflow-bundle', ['worker/bundle.ts', fresh], Object.fromEntries(inherited), dataDirectory);
  renameSync(fresh, file);
  return file;
}

function hashOf(clone: string): string {
  const hash = createHash('sha256');
  for (const path of SOURCES.flatMap((source) => filesBelow(clone, source))) {
    hash
      .update(`${path}\0`)
      .update(readFileSync(join(clone, path)))
      .update('\0');
  }
  return hash.digest('hex').slice(0, 16);
}

function filesBelow(clone: string, source: string): string[] {
  if (source.includes('.')) return [source];
  return readdirSync(join(clone, source), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts'))
    .toSorted()
    .map((name) => join(source, name));
}

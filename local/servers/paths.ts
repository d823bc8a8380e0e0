/** Where this clone keeps things. All of it is ignored by git, and all of it may be deleted between two starts. */

import { createHash } from 'node:crypto';
import { existsSync, readFileSync, realpathSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The clone's directory. */
export const root = realpathSync(fileURLToPath(new URL('../..', import.meta.url)));

/** Downloaded and unpacked programs; deleting it costs a download. */
export const cacheDirectory = join(root, '.cache');

/** The state of the local stack: databases, ports, keys, logs. Deleting it means a first start. */
export const dataDirectory = join(root, '.data');

/**
 * A directory outside the clone, for the unprivileged account that PostgreSQL runs as when we are root: it could not
 * reach a clone below /root. The name follows from the path it stands for, so that two clones do not meet; `mark` keeps
 * what stood for the same path before apart.
 */
export function outsideDirectory(path: string, mark?: string): string {
  const name = createHash('sha256').update(resolve(path)).digest('hex').slice(0, 12);
  return join(OUTSIDE, `deposit-engine-${name}${mark === undefined ? '' : `-${mark}`}`);
}

/** Where directories outside of clones are: it survives a restart of the machine, as the clone does. */
export const OUTSIDE = '/var/tmp';

/** The names that {@link outsideDirectory} gives. */
export const OUTSIDE_NAME = /^deposit-engine-[0-9a-f]{12}(-[0-9a-f]{16})?$/;

/** Writes into a directory outside for which path it stands, so that `npm run clean` knows whose it is. */
export function markOwner(outside: string, path: string): void {
  writeFileSync(join(outside, OWNER), `${JSON.stringify({ for: resolve(path) })}\n`);
}

/** For which path a directory outside stands; null: an earlier version made it, which did not say. */
export function ownerOf(outside: string): string | null {
  const file = join(outside, OWNER);
  return existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as { for: string }).for : null;
}

const OWNER = 'owner';

/**
 * Whether something that was written down for a directory belongs to the directory it is found in now: the same one,
 * or one that was moved here. When both exist this is a copy, and what was written down belongs to the other.
 */
export function belongsTo(here: string, recorded: string): boolean {
  return resolve(recorded) === resolve(here) || !existsSync(recorded);
}

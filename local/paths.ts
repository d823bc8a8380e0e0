/** Where this clone keeps things. All of it is ignored by git, and all of it may be deleted between two starts. */

import { createHash } from 'node:crypto';
import { existsSync, realpathSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The clone's directory. */
export const root = realpathSync(fileURLToPath(new URL('..', import.meta.url)));

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
  return `/var/tmp/deposit-engine-${name}${mark === undefined ? '' : `-${mark}`}`;
}

/**
 * Whether something that was written down for a directory belongs to the directory it is found in now: the same one,
 * or one that was moved here. When both exist this is a copy, and what was written down belongs to the other.
 */
export function belongsTo(here: string, recorded: string): boolean {
  return resolve(recorded) === resolve(here) || !existsSync(recorded);
}

/** The paths of this clone's own files. Git ignores all of them, and all may be deleted between two starts. */

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
 * A directory outside the clone, for the unprivileged account that PostgreSQL runs as when we are root: that account
 * cannot reach a clone below /root. The name is a hash of the path it is made for, so that two clones do not meet.
 * `mark` distinguishes it from an earlier directory for the same path.
 */
export function outsideDirectory(path: string, mark?: string): string {
  const name = createHash('sha256').update(resolve(path)).digest('hex').slice(0, 12);
  return join(OUTSIDE, `deposit-engine-${name}${mark === undefined ? '' : `-${mark}`}`);
}

/** The parent of directories outside of clones. Like a clone, it survives a restart of the machine. */
export const OUTSIDE = '/var/tmp';

/** The names that {@link outsideDirectory} gives. */
export const OUTSIDE_NAME = /^deposit-engine-[0-9a-f]{12}(-[0-9a-f]{16})?$/;

/** Records in an outside directory for which path it was made, so that `npm run clean` finds its clone. */
export function markOwner(outside: string, path: string): void {
  writeFileSync(join(outside, OWNER), `${JSON.stringify({ for: resolve(path) })}\n`);
}

/** The path for which an outside directory was made; null: an earlier version made it and did not record the path. */
export function ownerOf(outside: string): string | null {
  const file = join(outside, OWNER);
  return existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as { for: string }).for : null;
}

const OWNER = 'owner';

/**
 * Whether a record that names a directory belongs to the directory where it is found: the same one, or one that was
 * moved here. If both directories exist, this one is a copy and the record belongs to the other.
 */
export function belongsTo(here: string, recorded: string): boolean {
  return resolve(recorded) === resolve(here) || !existsSync(recorded);
}

/** The directories of local stacks outside of their clones: for which clone each is, and whether it is still needed. */

import { type Dirent, existsSync, lstatSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { OUTSIDE, OUTSIDE_NAME, ownerOf } from './paths.ts';
import { commandOf } from './process.ts';

/**
 * `needed`: its clone exists, or a server runs on it. `forgotten`: its clone, or the .data it was made for, is gone.
 * `unmarked`: an earlier version made it and did not record the clone.
 */
export type Outside = {
  readonly path: string;
  readonly standing: 'needed' | 'forgotten' | 'unmarked';
  /** For which path it was made. */
  readonly owner: string | null;
  readonly bytes: number;
};

/** Finds every directory that a local stack of this machine made outside of its clone, ordered by name. */
export function findOutside(parent = OUTSIDE): Outside[] {
  const paths = readdirSync(parent)
    .filter((name) => OUTSIDE_NAME.test(name))
    .toSorted()
    .map((name) => join(parent, name));
  return paths
    .filter((path) => lstatSync(path, { throwIfNoEntry: false })?.isDirectory() === true)
    .map((path) => ({ path, standing: standingOf(path), owner: ownerOf(path), bytes: bytesIn(path) }));
}

function standingOf(path: string): Outside['standing'] {
  if (isServed(path)) return 'needed';
  const owner = ownerOf(path);
  if (owner === null) return 'unmarked';
  // Programs belong to the clone's cache. Data belong to the directory whose note names this place.
  const isData = existsSync(join(path, 'mark'));
  return (isData ? placeIn(owner) === path : existsSync(dirname(owner))) ? 'needed' : 'forgotten';
}

/** Reads from the note of a database directory where its data lie; null without a note. */
function placeIn(directory: string): string | null {
  const note = join(directory, 'location');
  return existsSync(note) ? (JSON.parse(readFileSync(note, 'utf8')) as { at: string }).at : null;
}

function isServed(path: string): boolean {
  const file = join(path, 'data', 'postmaster.pid');
  if (!existsSync(file)) return false;
  const pid = Math.abs(Number(readFileSync(file, 'utf8').split('\n')[0]));
  return Number.isSafeInteger(pid) && pid > 0 && commandOf(pid).includes(path);
}

/** The size is approximate if the directory changes meanwhile. */
function bytesIn(directory: string): number {
  let bytes = 0;
  for (const entry of entriesIn(directory)) {
    const path = join(directory, entry.name);
    if (entry.isDirectory()) bytes += bytesIn(path);
    else bytes += lstatSync(path, { throwIfNoEntry: false })?.size ?? 0;
  }
  return bytes;
}

function entriesIn(directory: string): Dirent[] {
  try {
    return readdirSync(directory, { withFileTypes: true });
  } catch {
    return [];
  }
}

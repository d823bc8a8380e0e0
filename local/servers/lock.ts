/** The lock that allows one local stack per clone at a time. */

import { linkSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { isSameProcess, type ProcessRecord, recordOf } from './process.ts';

/** Another process holds the lock. */
export class LockedError extends Error {
  override name = 'LockedError';
}

/**
 * Takes the lock and returns the function that releases it. A lock whose holder is gone is taken over.
 * @throws LockedError with a sentence for the terminal.
 */
export function takeLock(path: string): () => void {
  mkdirSync(dirname(path), { recursive: true });
  const own = `${path}.${process.pid}`;
  const record = JSON.stringify(recordOf(process.pid));
  writeFileSync(own, record);
  try {
    while (!tryLink(own, path)) {
      const holder = readHolder(path);
      if (holder !== null && isSameProcess(holder)) {
        throw new LockedError(
          `This clone's stack is running already (process ${holder.pid}). Use that one, or stop it with Ctrl-C there.`,
        );
      }
      setAside(path, holder);
    }
  } finally {
    rmSync(own, { force: true });
  }
  return () => {
    if (JSON.stringify(readHolder(path)) === record) rmSync(path, { force: true });
  };
}

/** Whether this process still has the lock: deleting the directory deletes the lock. */
export function holdsLock(path: string): boolean {
  const holder = readHolder(path);
  return holder?.pid === process.pid && isSameProcess(holder);
}

/** Makes the lock as a link: atomic, and of two processes only one succeeds. */
function tryLink(own: string, path: string): boolean {
  try {
    linkSync(own, path);
    return true;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EEXIST') return false;
    throw error;
  }
}

function readHolder(path: string): ProcessRecord | null {
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as ProcessRecord;
  } catch {
    return null;
  }
}

/** Removes a dead holder's lock, unless another start has replaced it since we looked. */
function setAside(path: string, seen: ProcessRecord | null): void {
  const aside = `${path}.${process.pid}.stale`;
  try {
    renameSync(path, aside);
  } catch {
    return;
  }
  const taken = readHolder(aside);
  if (JSON.stringify(taken) !== JSON.stringify(seen)) tryLink(aside, path);
  rmSync(aside, { force: true });
}

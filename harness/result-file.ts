import { readFileSync } from 'node:fs';
import { endMisused } from '../config/command-line.ts';

/** Reads the JSON that `command` wrote; if the file is none, which has `field`, prints the usage and exits with 2. */
export function readResult<T extends object>(file: string, command: string, field: keyof T, usage: string): T {
  try {
    const found = JSON.parse(readFileSync(file, 'utf8')) as Partial<T> | null;
    if (typeof found?.[field] === 'object') return found as T;
  } catch {
    // Missing, or no JSON.
  }
  return endMisused(`${JSON.stringify(file)} is no result of ${command}`, usage);
}

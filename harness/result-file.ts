import { closeSync, existsSync, mkdirSync, openSync, readFileSync, rmSync } from 'node:fs';
import { dirname } from 'node:path';
import { endMisused } from '../config/command-line.ts';

/** A row of a table with a figure that the JSON does not have. */
const MISSING = /^\|.*\b(?:undefined|NaN)\b/m;

/** Reads the JSON that `command` wrote; if `textOf` cannot show it whole, prints the usage and exits with 2. */
export function readResult<T>(file: string, command: string, usage: string, textOf: (found: T) => string): T {
  try {
    const found = JSON.parse(readFileSync(file, 'utf8')) as T;
    if (!MISSING.test(textOf(found))) return found;
  } catch {
    // Missing, no JSON, or another one.
  }
  return endMisused(`${JSON.stringify(file)} is no result of ${command}, or not a whole one`, usage);
}

/** Ends this process with 2 if the file of the option cannot be written, before anything is done for it. */
export function refuseUnwritable(usage: string, option: string, file: string): void {
  try {
    mkdirSync(dirname(file), { recursive: true });
    const isNew = !existsSync(file);
    closeSync(openSync(file, 'a'));
    if (isNew) rmSync(file);
  } catch (error) {
    endMisused(
      `--${option} ${JSON.stringify(file)} cannot be written (${(error as NodeJS.ErrnoException).code})`,
      usage,
    );
  }
}

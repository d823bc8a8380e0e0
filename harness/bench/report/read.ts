import { readFileSync } from 'node:fs';
import { endMisused } from '../../../config/command-line.ts';
import type { BenchRun } from '../figures/result.ts';

/** Reads the JSON of an earlier run; if the file is none, prints the usage and exits with 2. */
export function readRun(file: string, usage: string): BenchRun {
  try {
    const found = JSON.parse(readFileSync(file, 'utf8')) as Partial<BenchRun> | null;
    if (typeof found?.failed === 'object') return found as BenchRun;
  } catch {
    // Missing, or no JSON.
  }
  return endMisused(`${JSON.stringify(file)} is no result of npm run bench`, usage);
}

import { existsSync, readFileSync } from 'node:fs';

/** A build has version.txt beside its folders, with the commit if it was known; the sources have package.json. */
const PLACES = ['../version.txt', '../package.json', '../../package.json'];

/** Returns the engine's version, such as `0.1.0+3fa29c81d0e4`, or `unknown`. */
export function engineVersion(): string {
  for (const place of PLACES) {
    const url = new URL(place, import.meta.url);
    if (!existsSync(url)) continue;
    const text = readFileSync(url, 'utf8');
    return place.endsWith('.json') ? (JSON.parse(text) as { version: string }).version : text.trim();
  }
  return 'unknown';
}

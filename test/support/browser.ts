import { existsSync } from 'node:fs';
import { type Browser, chromium } from 'playwright-core';

const CANDIDATES = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable'];

/** A browser of the machine's: none is ever downloaded. Null when there is none. */
export function findBrowser(): string | null {
  const given = process.env['CHROMIUM_PATH'];
  const folders = (process.env['PATH'] ?? '').split(':');
  const found = folders
    .flatMap((folder) => CANDIDATES.map((name) => `${folder}/${name}`))
    .find((path) => existsSync(path));
  return given ?? found ?? null;
}

/** Quiet and alone: it looks up nothing outside this machine. Every name below `.test` is this machine. */
export const launchBrowser = (executablePath: string): Promise<Browser> =>
  chromium.launch({
    executablePath,
    args: [
      '--host-resolver-rules=MAP *.test 127.0.0.1',
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
    ],
  });

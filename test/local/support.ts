import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync } from 'node:fs';
import { writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { onTestFinished } from 'vitest';

/** `onTestFinished`, or `afterAll` for resources that the tests of a file share. */
type WhenDone = (work: () => void) => void;

/** A directory of the test's own, gone when the test is over. */
export function makeDirectory(whenDone: WhenDone = onTestFinished): string {
  const directory = realpathSync(mkdtempSync(join(tmpdir(), 'deposit-engine-local-')));
  whenDone(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

/** A `.data` of the test's own, with the folder that PostgreSQL keeps outside of it when we are root. */
export function makeDataDirectory(whenDone: WhenDone = onTestFinished): string {
  const data = join(makeDirectory(whenDone), '.data');
  whenDone(() => {
    const note = join(data, 'postgres', 'location');
    if (!existsSync(note)) return;
    const { at } = JSON.parse(readFileSync(note, 'utf8')) as { at: string };
    rmSync(at, { recursive: true, force: true });
  });
  return data;
}

/** An executable shell script. */
export function writeScript(path: string, body: string): string {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, `#!/bin/sh\n${body}\n`);
  chmodSync(path, 0o755);
  return path;
}

/** Listens on loopback until the test is over and returns the port. */
export async function occupyPort(port = 0): Promise<number> {
  const server: Server = createServer();
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen({ port, host: '127.0.0.1' }, resolve);
  });
  onTestFinished(() => new Promise<void>((resolve) => server.close(() => resolve())));
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no address');
  return address.port;
}

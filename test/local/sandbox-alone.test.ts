import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { request } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { until } from '../support/until.ts';

let directory: string;
let child: ChildProcess;
const ended = (): Promise<number | null> =>
  new Promise((done) => (child.exitCode === null ? child.once('exit', done) : done(child.exitCode)));

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'sandbox-alone-'));
});
afterAll(async () => {
  child.kill('SIGTERM');
  await ended();
  // As root, its database lies outside.
  const note = await readFile(join(directory, 'sandbox-postgres', 'location'), 'utf8').catch(() => null);
  if (note !== null) await rm((JSON.parse(note) as { at: string }).at, { recursive: true, force: true });
  await rm(directory, { recursive: true, force: true });
});

/** Starts it as `npm run sandbox` does, without any database, and waits for its address. */
async function startAlone(): Promise<string> {
  const main = fileURLToPath(new URL('../../local/sandbox-alone.ts', import.meta.url));
  child = spawn(process.execPath, ['--import', 'tsx', main, directory], {
    env: { PATH: process.env['PATH'], HOME: process.env['HOME'], SANDBOX_LISTEN: '127.0.0.1:0' },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [child.stdout!, child.stderr!]) stream.on('data', (part: Buffer) => (output += part.toString()));
  return until('the sandbox to listen', async () => {
    if (child.exitCode !== null) throw new Error(output);
    return /"url":"(https:\/\/[^"]+)".*"sandbox listening"/.exec(output)?.[1];
  });
}

function ask(method: string, url: string, ca: string, token: string): Promise<{ status: number; body: unknown }> {
  return new Promise((done, fail) => {
    const headers = { authorization: `Bearer ${token}` };
    request(url, { method, ca, headers }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (part: string) => (text += part));
      response.on('end', () => done({ status: response.statusCode!, body: JSON.parse(text) as unknown }));
    })
      .on('error', fail)
      .end();
  });
}

test('with nothing given it starts over HTTPS on a database of its own, and a restart keeps all of it', async () => {
  const first = await startAlone();
  const ca = await readFile(join(directory, 'sandbox-tls', 'ca.pem'), 'utf8');
  const token = (await readFile(join(directory, 'sandbox-control-token'), 'utf8')).trim();
  const made = await ask('POST', `${first}/control/keys`, ca, token);
  expect(made.status).toBe(201);
  const keys = (await ask('GET', `${first}/control/keys`, ca, token)).body;
  child.kill('SIGTERM');
  expect(await ended()).toBe(0);
  const second = await startAlone();
  expect((await ask('GET', `${second}/control/keys`, ca, token)).body).toEqual(keys);
});

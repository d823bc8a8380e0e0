import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseEnv } from 'node:util';
import { expect, test } from 'vitest';
import { writePrivately } from '../../local/servers/files.ts';
import { forgetLocalEnv, writeLocalEnv } from '../../local/stack/local-env.ts';
import { holdsLock, LockedError, takeLock } from '../../local/servers/lock.ts';
import { freePort, isPortFree, portsFor } from '../../local/servers/ports.ts';
import { recordOf, start } from '../../local/servers/process.ts';
import { loadState, LocalStateError, saveState, settlePorts, sealPublicKeyOf } from '../../local/servers/state.ts';
import { Secret } from '../../config/keys/secret.ts';
import { publicSealKey } from '../../config/keys/inbox-seal.ts';
import { makeDirectory, occupyPort } from './support.ts';

const modeOf = (path: string) => statSync(path).mode & 0o777;

function makeClone(): { clone: string; data: string } {
  const clone = join(makeDirectory(), 'clone');
  mkdirSync(clone);
  return { clone, data: join(clone, '.data') };
}

test('the first start makes ports and keys up, and every later one finds the same', async () => {
  const { clone, data } = makeClone();
  const first = await loadState(data, clone);
  expect(new Set(Object.values(first.ports)).size).toBe(8);
  expect(new Set(Object.values(first.keys)).size).toBe(8);
  for (const key of Object.values(first.keys)) expect(key).toMatch(/^[A-Za-z0-9_-]{43}$/);
  expect(await loadState(data, clone)).toEqual(first);
  expect(modeOf(join(data, 'local.json'))).toBe(0o600);
});

test('a file that is written privately is never readable by others and never half there', () => {
  const directory = makeDirectory();
  const path = join(directory, 'secret');
  writeFileSync(path, 'an earlier text that others could read', { mode: 0o644 });
  writePrivately(path, 'first');
  expect(modeOf(path)).toBe(0o600);
  // A reader that has opened the file keeps the whole old text: the new one is another file put in its place.
  const inode = statSync(path).ino;
  writePrivately(path, 'second');
  expect(statSync(path).ino).not.toBe(inode);
  expect(readFileSync(path, 'utf8')).toBe('second');
  expect(readdirSync(directory)).toEqual(['secret']);
});

test('a copied clone takes other ports, a moved one keeps its own', async () => {
  const { clone, data } = makeClone();
  const original = await loadState(data, clone);
  const copy = `${clone}-copy`;
  mkdirSync(join(copy, '.data'), { recursive: true });
  writeFileSync(join(copy, '.data', 'local.json'), readFileSync(join(data, 'local.json')));
  const copied = await loadState(join(copy, '.data'), copy);
  const common = Object.values(copied.ports).filter((port) => Object.values(original.ports).includes(port));
  expect(common).toEqual([]);

  const moved = `${clone}-moved`;
  renameSync(clone, moved);
  expect((await loadState(join(moved, '.data'), moved)).ports).toEqual(original.ports);
});

test('a state of before seals and endpoints gets keys and ports for them, once', async () => {
  const { clone, data } = makeClone();
  const { keys, ports, ...rest } = await loadState(data, clone);
  const { inboxSeal: _seal, endpointSecret: _secret, ...before } = keys;
  const { shop: _shop, listen: _listen, ...portsBefore } = ports;
  writeFileSync(join(data, 'local.json'), JSON.stringify({ ...rest, ports: portsBefore, keys: before }));
  expect(sealPublicKeyOf(data)).toBeNull();
  const now = await loadState(data, clone);
  expect(now.keys).toMatchObject(before);
  expect(now.ports).toEqual(ports);
  expect(now.keys.endpointSecret).not.toBe(now.keys.inboxSeal);
  expect(await loadState(data, clone)).toEqual(now);
  expect(sealPublicKeyOf(data)).toBe(publicSealKey(new Secret(Buffer.from(now.keys.inboxSeal, 'base64url'))));
});

test('a damaged state file is reported, not replaced: open deposits depend on it', async () => {
  const { clone, data } = makeClone();
  const { ports, ...rest } = await loadState(data, clone);
  writeFileSync(join(data, 'local.json'), JSON.stringify({ ...rest, ports: { ...ports, callback: 'eighty' } }));
  await expect(loadState(data, clone)).rejects.toThrow(LocalStateError);
  await expect(loadState(data, clone)).rejects.toThrow(/local\.json is damaged\. Put it back from a copy, or delete/);
});

test('a taken callback or sandbox port stops the start with a sentence; those of API and shop move', async () => {
  const { clone, data } = makeClone();
  const { ports } = await loadState(data, clone);
  const taken = await occupyPort();
  const needed = new Set(['api', 'callback', 'sandbox'] as const);
  await expect(settlePorts({ ...ports, callback: taken }, needed)).rejects.toThrow(
    new RegExp(
      `Port ${taken} \\(callback\\) is taken by another program\\. It cannot be moved, because the provider sends`,
    ),
  );
  await expect(settlePorts({ ...ports, sandbox: taken }, needed)).rejects.toThrow(/sandbox.*open checkout links lead/);
  // Without the embedded sandbox its port may be taken.
  expect(await settlePorts({ ...ports, sandbox: taken }, new Set(['api', 'callback'] as const))).toBeTruthy();

  const settled = await settlePorts({ ...ports, api: taken }, needed);
  expect(settled.api).not.toBe(taken);
  expect({ ...settled, api: 0 }).toEqual({ ...ports, api: 0 });
  const moved = await settlePorts({ ...ports, shop: taken }, new Set(['shop'] as const));
  expect(moved.shop).not.toBe(taken);
});

test('ports of a clone follow from its path and give way to what is taken', async () => {
  const [first = 0] = await portsFor('/some/clone', 6);
  expect(await portsFor('/some/clone', 6)).toEqual([first, first + 1, first + 2, first + 3, first + 4, first + 5]);
  expect(await portsFor('/another/clone', 6)).not.toContain(first);
  await occupyPort(first + 2);
  expect(await isPortFree(first + 2)).toBe(false);
  expect(await portsFor('/some/clone', 6)).not.toContain(first);
});

test('a free port is none that outgoing connections are given', async () => {
  for (let i = 0; i < 20; i += 1) expect(await freePort()).toBeLessThan(32_768);
});

test('what the state holds survives being saved', async () => {
  const { clone, data } = makeClone();
  const state = await loadState(data, clone);
  saveState(data, { ...state, apiKey: 'dek_0123456789abcdef' });
  expect((await loadState(data, clone)).apiKey).toBe('dek_0123456789abcdef');
});

test('a shell and node read the same values from local.env, whatever they hold', () => {
  const data = makeDirectory();
  const ack = `json:{"success":true,"text":"it's $HOME"}`;
  const url = 'postgres://user:p%40ss@db.example/deposits?sslmode=require&application_name=x';
  writeLocalEnv(data, { MTPAY_ACK: ack, DATABASE_URL: url, API_URL: null, WORKER_PID: '17' });
  const file = join(data, 'local.env');
  expect(modeOf(file)).toBe(0o600);
  const script = `set -a; . "${file}"; printf '%s\\n%s\\n%s\\n' "$MTPAY_ACK" "$DATABASE_URL" "$WORKER_PID"`;
  expect(execFileSync('sh', ['-c', script], { encoding: 'utf8' })).toBe(`${ack}\n${url}\n17\n`);
  expect(readFileSync(file, 'utf8')).not.toContain('API_URL');
});

test('what a terminal has from local.env is taken out again, and what was set since is not', () => {
  const data = makeDirectory();
  const env = { DATABASE_URL: 'postgres://a', MTPAY_BASE_URL: "http://it's", SANDBOX_CONTROL_TOKEN: 'token' };
  writeLocalEnv(data, { ...env, WORKER_PID: '17' });
  const marked = parseEnv(readFileSync(join(data, 'local.env'), 'utf8'));
  const terminal: NodeJS.ProcessEnv = { ...marked, MTPAY_BASE_URL: 'https://mtpay.example', PATH: '/bin' };
  forgetLocalEnv(terminal);
  expect(terminal).toEqual({ MTPAY_BASE_URL: 'https://mtpay.example', PATH: '/bin', WORKER_PID: '17' });
  // A file without an owner: unchanged.
  const other: NodeJS.ProcessEnv = { ...env };
  forgetLocalEnv(other);
  expect(other).toEqual(env);
});

test('the lock is held by one, refused to another with a sentence, and taken over from the dead', async () => {
  const directory = makeDirectory();
  const path = join(directory, 'lock');
  const holder = await start('sleep', ['60'], { logFile: join(directory, 'log') });
  writeFileSync(path, JSON.stringify(recordOf(holder.pid)));
  expect(() => takeLock(path)).toThrow(LockedError);
  expect(() => takeLock(path)).toThrow(`running already (process ${holder.pid})`);
  process.kill(holder.pid, 'SIGKILL');
  await holder.exited;

  const unlock = takeLock(path);
  expect(() => takeLock(path)).toThrow(LockedError);
  expect(holdsLock(path)).toBe(true);
  rmSync(path);
  // A deletion of the directory removes the lock with it, and so does another start.
  expect(holdsLock(path)).toBe(false);
  writeFileSync(path, JSON.stringify(recordOf(process.ppid)));
  expect(holdsLock(path)).toBe(false);
  rmSync(path);
  unlock();
  takeLock(path)();
  expect(readdirSync(directory)).toEqual(['log']);
});

test('a lock that was cut off in the middle of writing does not lock anybody out', () => {
  const path = join(makeDirectory(), 'lock');
  writeFileSync(path, '');
  takeLock(path)();
});

import { randomBytes } from 'node:crypto';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, unlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { watchKeys } from '../../config/keys/key-watch.ts';
import { mapKeyring } from '../../config/keys/keyring.ts';
import { Secret } from '../../config/keys/secret.ts';
import { loadApiConfig } from '../../config/settings/api.ts';
import { ConfigError } from '../../config/settings/read-environment.ts';
import { createSealer, publicSealKey, sealKey, sealPublicKeys } from '../../config/keys/inbox-seal.ts';
import { nameKeys } from '../../providers/key-names.ts';
import { keyFiles } from '../support/messages/key-files.ts';
import { SEAL_ENV } from '../support/seals.ts';

const NAMES = ['MTPAY_ACCESS_KEY', 'MTPAY_SECRET_KEY', 'CALLBACK_KEY', 'PAYER_NAME_KEY', 'FINGERPRINT_KEY'] as const;
const ALL = NAMES.flatMap((name) => [name, `${name}_NEXT`, `${name}_PREVIOUS`]).concat(
  ['MTPAY_KEY', ...NAMES.slice(2)].map((name) => `${name}_PREVIOUS_UNTIL`),
);
const HOUR_MS = 3_600_000;
const text = () => randomBytes(32).toString('base64url');
const inHours = (hours: number) => new Date(Date.now() + hours * HOUR_MS).toISOString();
const BASE = { DATABASE_URL: 'postgres://localhost/x', MTPAY_BASE_URL: 'https://api.mtpay.test', ...SEAL_ENV };

/** An API's keys in files of a directory of their own, checked on demand. */
function keysInFiles() {
  const folder = mkdtempSync(join(tmpdir(), 'deposit-engine-keys-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  const first = Object.fromEntries(NAMES.map((name) => [name, text()])) as Record<(typeof NAMES)[number], string>;
  const files = keyFiles(folder, ALL, first);
  const { keys } = loadApiConfig({ ...BASE, ...files.env });
  const callback = () => keys.rings.callback.verifying.map((key) => key.reveal().toString('base64url'));
  const lookTwice = () => [keys.look(), keys.look()].map((found) => found.kind);
  return { folder, first, files, keys, callback, lookTwice, path: (name: string) => join(folder, 'current', name) };
}

describe('keys in files', () => {
  it('are taken after a change, by the second look that finds it', () => {
    const { first, files, keys, callback, lookTwice } = keysInFiles();
    expect(callback()).toEqual([first.CALLBACK_KEY]);
    expect(lookTwice()).toEqual(['nothing new', 'nothing new']);
    const next = text();
    files.put({ CALLBACK_KEY_NEXT: next });
    expect(lookTwice()).toEqual(['nothing new', 'taken']);
    expect(callback()).toEqual([first.CALLBACK_KEY, next]);
    expect(keys.rings.callback.current.reveal().toString('base64url')).toBe(first.CALLBACK_KEY);
    expect(lookTwice()).toEqual(['nothing new', 'nothing new']);
  });

  it('are whole in one instant when the link to them is swapped', () => {
    const { first, files, callback, lookTwice } = keysInFiles();
    const next = text();
    files.put({
      CALLBACK_KEY: next,
      CALLBACK_KEY_PREVIOUS: first.CALLBACK_KEY,
      CALLBACK_KEY_PREVIOUS_UNTIL: inHours(80),
    });
    lookTwice();
    expect(callback()).toEqual([next, first.CALLBACK_KEY]);
  });

  it('may be changed one file after the other: what is between is refused, and the old keys stay', () => {
    const { first, callback, lookTwice, path, files } = keysInFiles();
    const next = text();
    files.put({ CALLBACK_KEY_NEXT: next });
    lookTwice();
    const steps: [() => void, string][] = [
      [() => writeFileSync(path('CALLBACK_KEY_PREVIOUS_UNTIL'), inHours(80)), 'taken'],
      [() => writeFileSync(path('CALLBACK_KEY_PREVIOUS'), first.CALLBACK_KEY), 'refused'],
      [() => writeFileSync(path('CALLBACK_KEY'), next), 'refused'],
      [() => unlinkSync(path('CALLBACK_KEY_NEXT')), 'taken'],
    ];
    for (const [step, judged] of steps) {
      step();
      expect(lookTwice()).toEqual(['nothing new', judged]);
      expect(callback()).toContain(first.CALLBACK_KEY);
      expect(callback()).toContain(next);
    }
    expect(callback()).toEqual([next, first.CALLBACK_KEY]);
  });

  it('are never a mixture of two pairs', () => {
    const { first, keys, lookTwice, path, files } = keysInFiles();
    const [access, secret] = [text(), text()];
    files.put({ MTPAY_ACCESS_KEY_NEXT: access, MTPAY_SECRET_KEY_NEXT: secret });
    lookTwice();
    // Both access keys first, then both secrets: in between no two keys are equal, and both pairs are wrong.
    writeFileSync(path('MTPAY_KEY_PREVIOUS_UNTIL'), inHours(80));
    unlinkSync(path('MTPAY_ACCESS_KEY_NEXT'));
    unlinkSync(path('MTPAY_SECRET_KEY_NEXT'));
    writeFileSync(path('MTPAY_ACCESS_KEY'), access);
    writeFileSync(path('MTPAY_ACCESS_KEY_PREVIOUS'), first.MTPAY_ACCESS_KEY);
    writeFileSync(path('MTPAY_SECRET_KEY_PREVIOUS'), secret);
    keys.look();
    expect(keys.look()).toMatchObject({ kind: 'refused', problems: [expect.stringContaining('MTPAY_SECRET_KEY')] });
    expect(keys.rings.mtpay.current.accessKey.reveal().toString()).toBe(first.MTPAY_ACCESS_KEY);
    writeFileSync(path('MTPAY_SECRET_KEY'), secret);
    writeFileSync(path('MTPAY_SECRET_KEY_PREVIOUS'), first.MTPAY_SECRET_KEY);
    expect(lookTwice()).toEqual(['nothing new', 'taken']);
    expect(keys.rings.mtpay.current.accessKey.reveal().toString()).toBe(access);
    expect(keys.rings.mtpay.current.secretKey.reveal().toString()).toBe(secret);
  });

  it.each<[string, (path: (name: string) => string) => void, string]>([
    [
      'half a key',
      (path) => writeFileSync(path('CALLBACK_KEY'), text().slice(0, 20)),
      'CALLBACK_KEY: expected at least 32',
    ],
    ['no file', (path) => unlinkSync(path('CALLBACK_KEY')), 'CALLBACK_KEY: is not set'],
    ['an empty file', (path) => writeFileSync(path('CALLBACK_KEY'), '\n'), 'CALLBACK_KEY: is not set'],
    [
      'a directory',
      (path) => (unlinkSync(path('CALLBACK_KEY')), mkdirSync(path('CALLBACK_KEY'))),
      'CALLBACK_KEY_FILE: names no file',
    ],
    [
      'a huge file',
      (path) => writeFileSync(path('CALLBACK_KEY'), 'A'.repeat(5_000)),
      'CALLBACK_KEY_FILE: names a file of more than 4096 bytes',
    ],
    [
      'bytes that are no text',
      (path) => writeFileSync(path('CALLBACK_KEY'), Buffer.alloc(43, 0xff)),
      'CALLBACK_KEY: expected at least 32',
    ],
    ['a sample', (path) => writeFileSync(path('CALLBACK_KEY'), 'k'.repeat(43)), 'CALLBACK_KEY: is a sample'],
  ])('stay as they were with %s, and it is told once', (_, spoil, told) => {
    const { first, keys, callback, path } = keysInFiles();
    spoil(path);
    keys.look();
    const found = keys.look();
    expect(found).toMatchObject({ kind: 'refused' });
    expect(found.kind === 'refused' && found.problems[0]).toContain(told);
    expect(JSON.stringify(found)).not.toContain(first.CALLBACK_KEY);
    expect(keys.look()).toEqual({ kind: 'nothing new' });
    expect(callback()).toEqual([first.CALLBACK_KEY]);
  });

  it('that cannot be read are refused', () => {
    if (process.getuid?.() === 0) return;
    const { keys, path } = keysInFiles();
    chmodSync(path('CALLBACK_KEY'), 0);
    keys.look();
    expect(keys.look()).toMatchObject({
      kind: 'refused',
      problems: [expect.stringContaining('EACCES'), expect.anything()],
    });
  });

  it('that come back as they were are nothing new', () => {
    const { first, files, lookTwice } = keysInFiles();
    files.put({ CALLBACK_KEY: 'half' });
    expect(lookTwice()).toEqual(['nothing new', 'refused']);
    files.put({ CALLBACK_KEY: first.CALLBACK_KEY });
    expect(lookTwice()).toEqual(['nothing new', 'taken']);
  });

  it('end by the clock, without a look', () => {
    const { first, files, callback, lookTwice } = keysInFiles();
    const next = text();
    files.put({
      CALLBACK_KEY: next,
      CALLBACK_KEY_PREVIOUS: first.CALLBACK_KEY,
      CALLBACK_KEY_PREVIOUS_UNTIL: inHours(1),
    });
    lookTwice();
    vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + HOUR_MS - 1_000 });
    onTestFinished(() => void vi.useRealTimers());
    expect(callback()).toEqual([next, first.CALLBACK_KEY]);
    vi.setSystemTime(Date.now() + 1_001);
    expect(callback()).toEqual([next]);
  });
});

describe('a secret given as a file', () => {
  const given = () => Object.fromEntries(NAMES.map((name) => [name, text()]));
  const problemsOf = (env: Record<string, string>) => {
    try {
      loadApiConfig(env);
    } catch (error) {
      expect(error).toBeInstanceOf(ConfigError);
      return (error as Error).message
        .split('\n')
        .slice(1)
        .map((line) => line.trim());
    }
    return [];
  };
  const fileWith = (content: string) => {
    const folder = mkdtempSync(join(tmpdir(), 'deposit-engine-secret-'));
    onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
    writeFileSync(join(folder, 'x'), content);
    return join(folder, 'x');
  };

  it('and by itself is an error, because nobody could say which counts', () => {
    const env = { ...BASE, ...given() };
    expect(problemsOf({ ...env, CALLBACK_KEY_FILE: fileWith(text()) })).toEqual([
      'CALLBACK_KEY: is given twice, by itself and by CALLBACK_KEY_FILE',
    ]);
  });

  it.each(['', '\n', '\r\n'])('loses one line end at its end and nothing else: %j', (end) => {
    const secret = text();
    const config = loadApiConfig({ ...BASE, ...given(), CALLBACK_KEY: '', CALLBACK_KEY_FILE: fileWith(secret + end) });
    expect(config.keys.rings.callback.current.reveal().toString('base64url')).toBe(secret);
    expect(problemsOf({ ...BASE, ...given(), CALLBACK_KEY: '', CALLBACK_KEY_FILE: fileWith(`${secret}\n\n`) })).toEqual(
      ['CALLBACK_KEY: expected at least 32 random bytes as base64url'],
    );
  });

  it('that is not there is a required one that is not set', () => {
    const env = { ...BASE, ...given(), CALLBACK_KEY: '', CALLBACK_KEY_FILE: '/nowhere/at/all' };
    expect(problemsOf(env)).toEqual(['CALLBACK_KEY: is not set']);
  });

  it('may be the address of the database', () => {
    const { DATABASE_URL, ...rest } = BASE;
    const env = { ...rest, ...given(), DATABASE_URL_API_FILE: fileWith(`${DATABASE_URL}\n`) };
    expect(loadApiConfig(env).database).toEqual({ url: DATABASE_URL });
  });
});

describe('the key of the seals, and the public ones', () => {
  it('rotate without a restart: first the public key everywhere, then the key; the other way round nothing is taken', () => {
    const folder = mkdtempSync(join(tmpdir(), 'deposit-engine-keys-'));
    onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
    const names = ['INBOX_SEAL_KEY', 'INBOX_SEAL_PUBLIC_KEYS'];
    const first = Object.fromEntries(NAMES.map((name) => [name, text()]));
    const files = keyFiles(folder, names, { ...SEAL_ENV });
    const { INBOX_SEAL_KEY: _, INBOX_SEAL_PUBLIC_KEYS: old, ...base } = BASE;
    const { keys } = loadApiConfig({ ...base, ...first, ...files.env });
    const look = () => [keys.look(), keys.look()].map((found) => found.kind)[1];
    const seed = text();
    const both = `${old},${publicSealKey(new Secret(Buffer.from(seed, 'base64url')))}`;
    files.put({ INBOX_SEAL_KEY: seed });
    expect(look()).toBe('refused');
    files.put({ INBOX_SEAL_KEY: SEAL_ENV.INBOX_SEAL_KEY, INBOX_SEAL_PUBLIC_KEYS: both });
    expect(look()).toBe('taken');
    files.put({ INBOX_SEAL_KEY: seed });
    expect(look()).toBe('taken');
    const sealer = createSealer(mapKeyring(keys.rings.inboxSeal, sealKey));
    expect(sealPublicKeys(keys.rings.inboxSealPublic.current).has(sealer(SEAL_FACTS).key)).toBe(true);
    expect(sealer(SEAL_FACTS).key).toBe(sealKey(new Secret(Buffer.from(seed, 'base64url'))).id);
  });
});

const SEAL_FACTS = {
  receipt: 'first' as const,
  externalOrderNumber: 'o-1',
  contentHash: Buffer.alloc(32),
  rawHash: Buffer.alloc(32),
  stamp: null,
  sealedMs: 0,
};

describe('watching', () => {
  const watched = (overlapMs = 70 * HOUR_MS) => {
    const parts = keysInFiles();
    const lines: string[] = [];
    const log = pino({ level: 'debug' }, { write: (line: string) => void lines.push(line) });
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
    onTestFinished(() => void vi.useRealTimers());
    const stop = watchKeys(parts.keys, {
      overlapMs: { mtpay: overlapMs, callback: overlapMs },
      show: nameKeys,
      log,
      everyMs: 1_000,
    });
    onTestFinished(stop);
    const seen = () => lines.splice(0).map((line) => JSON.parse(line));
    const change = (to: Record<string, string | null>) => {
      parts.files.put(to);
      vi.advanceTimersByTime(2_000);
      return seen();
    };
    return { ...parts, change, seen, stop };
  };

  it('says which keys are in force, by names that show nothing of them', () => {
    const { seen, change, first } = watched();
    const [line] = seen();
    expect(line).toMatchObject({
      level: 30,
      msg: 'keys loaded',
      keys: { callback: { current: expect.stringMatching(/^[0-9a-f]{8}$/) } },
    });
    const next = text();
    const [after] = change({ CALLBACK_KEY_NEXT: next });
    expect(after.keys.callback).toEqual({
      current: line.keys.callback.current,
      next: expect.stringMatching(/^[0-9a-f]{8}$/),
    });
    expect(JSON.stringify([line, after])).not.toContain(next);
    expect(JSON.stringify([line, after])).not.toContain(first.MTPAY_ACCESS_KEY);
  });

  it('raises an alarm for what cannot be taken, and goes on', () => {
    const { seen, change, first } = watched();
    seen();
    expect(change({ CALLBACK_KEY: 'half' })).toMatchObject([
      {
        level: 50,
        alarm: 'keys_not_taken',
        problems: ['CALLBACK_KEY: expected at least 32 random bytes as base64url'],
      },
    ]);
    expect(change({ CALLBACK_KEY: first.CALLBACK_KEY })).toMatchObject([{ level: 30, msg: 'keys loaded' }]);
  });

  const switched = (from: Record<string, string>, until: string) => ({
    CALLBACK_KEY: text(),
    CALLBACK_KEY_PREVIOUS: from['CALLBACK_KEY']!,
    CALLBACK_KEY_PREVIOUS_UNTIL: until,
  });

  it('is content with an overlap that is long enough', () => {
    const { seen, change, first } = watched();
    seen();
    expect(change(switched(first, inHours(71)))).toMatchObject([{ msg: 'keys loaded' }]);
  });

  it('raises an alarm for one that is too short, and takes it all the same', () => {
    const { seen, change, first, callback } = watched();
    seen();
    const until = inHours(69);
    expect(change(switched(first, until))).toMatchObject([
      { msg: 'keys loaded' },
      { level: 50, alarm: 'key_overlap_short', key: 'callback', until, neededUntil: expect.any(String) },
    ]);
    expect(callback()).toHaveLength(2);
  });

  it('raises one for a key that is cut, be it the current or one that was to verify longer', () => {
    const { seen, change, first } = watched();
    seen();
    expect(change({ CALLBACK_KEY: text() })).toMatchObject([
      {},
      { alarm: 'key_overlap_short', key: 'callback', until: null },
    ]);
    expect(
      change({
        MTPAY_ACCESS_KEY: text(),
        MTPAY_SECRET_KEY: text(),
        MTPAY_ACCESS_KEY_PREVIOUS: first.MTPAY_ACCESS_KEY,
        MTPAY_SECRET_KEY_PREVIOUS: first.MTPAY_SECRET_KEY,
        MTPAY_KEY_PREVIOUS_UNTIL: inHours(71),
      }),
    ).toHaveLength(1);
    expect(change({ MTPAY_KEY_PREVIOUS_UNTIL: inHours(3) })).toMatchObject([
      {},
      { alarm: 'key_overlap_short', key: 'mtpay' },
    ]);
  });

  it('raises none for a key that was announced and never signed, or one whose end has come', () => {
    const { seen, change, first } = watched();
    seen();
    change({ CALLBACK_KEY_NEXT: text() });
    expect(change({ CALLBACK_KEY_NEXT: null })).toMatchObject([{ msg: 'keys loaded' }]);
    change(switched(first, inHours(-1)));
    expect(change({ CALLBACK_KEY_PREVIOUS: null, CALLBACK_KEY_PREVIOUS_UNTIL: null })).toMatchObject([
      { msg: 'keys loaded' },
    ]);
  });

  it('ends when it is told to', () => {
    const { seen, change, stop, callback, first } = watched();
    seen();
    stop();
    expect(change({ CALLBACK_KEY_NEXT: text() })).toEqual([]);
    expect(callback()).toEqual([first.CALLBACK_KEY]);
  });

  it('warns at the start of a previous key that ends soon, since nobody knows when it stopped signing', () => {
    const lines: string[] = [];
    const log = pino({}, { write: (line: string) => void lines.push(line) });
    const env = { ...BASE, ...Object.fromEntries(NAMES.map((name) => [name, text()])) };
    const start = (until: string) => {
      const { keys } = loadApiConfig({ ...env, CALLBACK_KEY_PREVIOUS: text(), CALLBACK_KEY_PREVIOUS_UNTIL: until });
      watchKeys(keys, { overlapMs: { callback: 70 * HOUR_MS }, show: nameKeys, log })();
      return lines.splice(0).map((line) => JSON.parse(line).level);
    };
    expect(start(inHours(71))).toEqual([30]);
    expect(start(inHours(69))).toEqual([30, 40]);
  });
});

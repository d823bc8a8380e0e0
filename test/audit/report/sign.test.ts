import { execFileSync } from 'node:child_process';
import { createPublicKey, generateKeyPairSync, randomBytes } from 'node:crypto';
import { chmodSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { writeReport } from '../../../audit/report/files.ts';
import { shellCommands } from '../../../audit/page/proof.ts';
import { openSigner } from '../../../audit/report/machine-key.ts';
import {
  fingerprintOf,
  keyIdOf,
  type SignedReport,
  signReport,
  type UnsignedReport,
  verify,
} from '../../../audit/report/sign.ts';
import { loadAuditKeys } from '../../../config/settings/audit.ts';
import { ConfigError } from '../../../config/settings/read-environment.ts';
import { everyKind, newDirectory, newSigner, sampleReport } from './sample.ts';

const owner = newSigner();
const unsigned: UnsignedReport = {
  ...sampleReport({ findings: everyKind, lines: 20 }),
  html: { file: 'report.html', sha256: '00' },
  files: [],
  signedBy: { keyId: owner.keyId, isMachineOwn: false },
};
const signed = signReport(unsigned, owner);

describe('a signature', () => {
  test('is good for the report in any order of its names, and names its key', () => {
    const publicKey = createPublicKey(owner.key);
    expect(verify(signed)).toEqual({
      ok: true,
      isPinned: false,
      keyId: keyIdOf(publicKey),
      fingerprint: fingerprintOf(publicKey),
    });
    const turned = Object.fromEntries(Object.entries(signed).toReversed());
    expect(verify(turned, publicKey)).toMatchObject({ ok: true, isPinned: true });
  });

  test('is bad for a report in which anything was changed, added or removed', () => {
    // oxlint-disable-next-line typescript/no-explicit-any -- changed as only a forger may
    const changes: readonly ((report: Record<string, any>) => void)[] = [
      (report) => void (report['unexplained'] = 0),
      (report) => void (report['heads'].ledger.n += 1),
      (report) => void (report['totals'][0].credited += '0'),
      (report) => void report['checks'][0].findings.pop(),
      (report) => void report['notes'].push('and more'),
      (report) => void (report['html'].sha256 = '01'),
      (report) => void (report['signedBy'].isMachineOwn = true),
      (report) => void (report['more'] = 1.5),
      (report) => void delete report['open'],
    ];
    for (const change of changes) {
      const changed = structuredClone(signed) as unknown as Record<string, unknown>;
      change(changed);
      expect(verify(changed), String(change)).toMatchObject({ ok: false, fault: 'changed' });
    }
  });

  test('is bad in every other spelling of itself', () => {
    const { signature } = signed;
    const spelled = (part: Partial<SignedReport['signature']> & Record<string, unknown>) =>
      verify({ ...signed, signature: { ...signature, ...part } });
    const last = signature.value.at(-3)!;
    const twin = `${signature.value.slice(0, -3)}${String.fromCharCode(last.charCodeAt(0) + 1)}==`;
    for (const part of [
      { value: twin },
      { value: ` ${signature.value}` },
      { value: signature.value.replace(/=+$/, '') },
      { algorithm: 'none' },
      { keyId: '0'.repeat(16) },
      { note: 'trust me' },
    ]) {
      expect(spelled(part as Record<string, unknown>), JSON.stringify(part)).toMatchObject({ ok: false });
    }
    const text = JSON.stringify(signed);
    for (const place of ['"signature":{', '"signedBy":{', '"heads":{', '"version":1'])
      expect(
        verify(JSON.parse(text.replace(place, place.replace(/^(.*\{)$|^/, '$1"__proto__":{},')))),
        place,
      ).toMatchObject({
        ok: false,
      });
    expect(verify(unsigned)).toMatchObject({ ok: false, fault: 'not_signed' });
    expect(verify(null)).toMatchObject({ ok: false, fault: 'not_signed' });
  });

  test('of another is found out by a pinned key, and only by that', () => {
    const other = newSigner();
    const forged = signReport(
      { ...unsigned, unexplained: 0, signedBy: { keyId: other.keyId, isMachineOwn: false } },
      other,
    );
    expect(verify(forged)).toMatchObject({ ok: true, isPinned: false, keyId: other.keyId });
    expect(verify(forged, createPublicKey(owner.key))).toMatchObject({ ok: false, fault: 'other_key' });
    // The owner's key beside the forger's signature.
    const posing = { ...forged, signature: { ...forged.signature, publicKey: signed.signature.publicKey } };
    expect(verify(posing, createPublicKey(owner.key))).toMatchObject({ ok: false, fault: 'changed' });
  });

  test('is not one of another kind of key', () => {
    const rsa = generateKeyPairSync('rsa', { modulusLength: 1024 }).publicKey;
    const publicKey = rsa.export({ format: 'der', type: 'spki' }).toString('base64');
    expect(verify({ ...signed, signature: { ...signed.signature, publicKey } })).toMatchObject({
      ok: false,
      fault: 'not_a_key',
    });
  });
});

const hasTools = ['jq', 'openssl', 'base64', 'sha256sum'].every((tool) => {
  try {
    return execFileSync('which', [tool], { stdio: 'pipe' }).length > 0;
  } catch {
    return false;
  }
});

test.skipIf(!hasTools)('the commands on the page verify it with jq and OpenSSL alone', () => {
  const directory = newDirectory();
  const { json, html } = writeReport(sampleReport({ findings: everyKind, lines: 20 }), owner, directory);
  const commands = shellCommands(json.slice(directory.length + 1));
  const run = () => execFileSync('bash', ['-e', '-c', commands], { cwd: directory, encoding: 'utf8', stdio: 'pipe' });
  const lines = run().trim().split('\n');
  expect(lines[0]).toBe('Signature Verified Successfully');
  expect(lines[2]!.split(' ')[0]).toBe(lines[1]);
  expect(lines[3]!.split(' ')[0]).toBe(fingerprintOf(createPublicKey(owner.key)));
  const text = readFileSync(json, 'utf8');
  writeFileSync(json, text.replace('"unexplained": ', '"unexplained": 1'));
  expect(run).toThrow();
  expect(html.startsWith(directory)).toBe(true);
});

describe('keys', () => {
  const pair = generateKeyPairSync('ed25519');
  const pem = pair.privateKey.export({ format: 'pem', type: 'pkcs8' }).toString();
  const publicPem = pair.publicKey.export({ format: 'pem', type: 'spki' }).toString();
  const spki = pair.publicKey.export({ format: 'der', type: 'spki' }).toString('base64');
  const seed = Buffer.from(pair.privateKey.export({ format: 'jwk' }).d!, 'base64url');
  const load = (env: Record<string, string>) => loadAuditKeys({ toSign: true }, env);

  test.each([
    ['PEM', pem],
    ['PEM on one line', pem.replaceAll('\n', '\\n')],
    ['a seed', seed.toString('base64')],
    ['a seed for addresses', seed.toString('base64url')],
  ])('to sign with are given as %s', (_form, text) => {
    expect(createPublicKey(load({ AUDIT_SIGNING_KEY: text }).signingKey!).equals(pair.publicKey)).toBe(true);
  });

  test.each([
    ['PEM', publicPem],
    ['SPKI in base64', spki],
  ])('to pin are given as %s', (_form, text) => {
    expect(load({ AUDIT_PUBLIC_KEY: text }).publicKey!.equals(pair.publicKey)).toBe(true);
  });

  test('may be files', () => {
    const file = join(newDirectory(), 'key.pem');
    writeFileSync(file, pem);
    expect(load({ AUDIT_SIGNING_KEY_FILE: file }).signingKey).not.toBeNull();
    expect(() => load({ AUDIT_SIGNING_KEY_FILE: file, AUDIT_SIGNING_KEY: pem })).toThrow(/is given twice/);
  });

  const rsa = generateKeyPairSync('rsa', { modulusLength: 1024 }).privateKey.export({ format: 'pem', type: 'pkcs8' });
  test.each([
    ['AUDIT_SIGNING_KEY', 'c2VjcmV0c2VjcmV0c2VjcmV0'],
    ['AUDIT_SIGNING_KEY', Buffer.alloc(32, 7).toString('base64')],
    ['AUDIT_SIGNING_KEY', rsa.toString()],
    ['AUDIT_SIGNING_KEY', spki],
    ['AUDIT_PUBLIC_KEY', pem],
    ['AUDIT_PUBLIC_KEY', randomBytes(32).toString('base64')],
  ])('%s is refused when it is none, and not shown', (name, text) => {
    const error = thrown(() => load({ [name]: text }));
    expect(error).toBeInstanceOf(ConfigError);
    expect(error.message).toContain(`${name}: expected an Ed25519`);
    expect(error.message).not.toContain(text.slice(0, 20));
  });

  test('production signs with a key that was given; who only verifies needs none', () => {
    expect(() => load({ NODE_ENV: 'production' })).toThrow(/AUDIT_SIGNING_KEY: is not set/);
    expect(loadAuditKeys({ toSign: false }, { NODE_ENV: 'production' })).toEqual({ signingKey: null, publicKey: null });
    expect(load({})).toEqual({ signingKey: null, publicKey: null });
  });

  test('a machine without one makes its own, once, for itself alone, and says so', () => {
    const file = join(newDirectory(), 'data', 'audit-signing-key.pem');
    const made = openSigner(load({}), file);
    expect(made.isMachineOwn).toBe(true);
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(openSigner(load({}), file).keyId).toBe(made.keyId);
    expect(openSigner(load({ AUDIT_SIGNING_KEY: pem }), file)).toMatchObject({
      isMachineOwn: false,
      keyId: keyIdOf(pair.publicKey),
    });
    chmodSync(file, 0o644);
    expect(() => openSigner(load({}), file)).toThrow(/others may read this key/);
    writeFileSync(file, 'nothing');
    chmodSync(file, 0o600);
    expect(() => openSigner(load({}), file)).toThrow(/no Ed25519 key/);
  });
});

function thrown(run: () => unknown): Error {
  try {
    run();
  } catch (error) {
    if (error instanceof Error) return error;
  }
  throw new Error('nothing was thrown');
}

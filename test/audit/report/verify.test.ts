import { createPublicKey } from 'node:crypto';
import { readdirSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { UsageError } from '../../../config/command-line.ts';
import { fileJson } from '../../../encoding/canonical-json.ts';
import { writeReport } from '../../../audit/report/files.ts';
import { fingerprintOf, type SignedReport, signReport } from '../../../audit/report/sign.ts';
import { headsOf, verifyReport } from '../../../audit/report/verify.ts';
import { hostile, newDirectory, newSigner, sampleReport } from './sample.ts';

const owner = newSigner();
const pinned = createPublicKey(owner.key);
const small = { deposits: 3, days: 1, lines: 3, findings: { posting_missing: 1 } } as const;

async function check(path: string | undefined, key: typeof pinned | null = pinned) {
  const lines: string[] = [];
  const exit = await verifyReport(path, { pinned: key, say: (line) => void lines.push(line) });
  return { exit, said: lines.join('\n') };
}

describe('verify', () => {
  test('a genuine report: exit 0, with what it says and whose key it is', async () => {
    const { json } = writeReport(sampleReport(small), owner, newDirectory());
    const { exit, said } = await check(json);
    expect(exit).toBe(0);
    expect(said).toContain('GENUINE');
    expect(said).toContain('It says: 1 unexplained.');
    expect(said).toContain(`Signed with the key AUDIT_PUBLIC_KEY, ${fingerprintOf(pinned)}`);
  });

  test('without a pinned key it says that the origin was not checked, and shows the fingerprint', async () => {
    const { json } = writeReport(sampleReport(small), newSigner(true), newDirectory());
    const { exit, said } = await check(json, null);
    expect(exit).toBe(0);
    expect(said).toContain('WHO signed it was not checked');
    expect(said).toMatch(/^ {2}[0-9a-f]{64}$/m);
    expect(said).toContain('made by the machine that audited');
  });

  test('another key than the pinned one: exit 1, and both fingerprints', async () => {
    const other = newSigner();
    const { json } = writeReport(sampleReport(small), other, newDirectory());
    const { exit, said } = await check(json);
    expect(exit).toBe(1);
    expect(said).toContain('signed with another key');
    expect(said).toContain(fingerprintOf(pinned));
    expect(said).toContain(fingerprintOf(createPublicKey(other.key)));
  });

  test('whose heads an audit goes by is said, and that nobody said whose key it is', async () => {
    const report = sampleReport(small);
    const { json } = writeReport(report, owner, newDirectory());
    const key = fingerprintOf(pinned);
    const own = await headsOf(json, pinned);
    expect(own.heads).toEqual(report.heads);
    expect(own.headsFrom).toBe(`the report of ${report.audit.finishedAt}, signed with ${key}`);
    expect((await headsOf(json, null)).headsFrom).toContain(`${key}; whose key that is was not checked`);
    await expect(headsOf(json, createPublicKey(newSigner().key))).rejects.toThrow(UsageError);
    await expect(headsOf(`${json}.none`, null)).rejects.toThrow(UsageError);
    writeFileSync(json, readFileSync(json, 'utf8').replace('"n": ', '"n": 1'));
    await expect(headsOf(json, pinned)).rejects.toThrow(/NOT GENUINE/);
  });

  test('any byte of the JSON file that was changed is found', async () => {
    const { json } = writeReport(sampleReport(small), owner, newDirectory());
    const bytes = readFileSync(json);
    const missed: number[] = [];
    // Every byte of the short parts and of the signature; a sample of the rest, another bit each time.
    for (let at = 0; at < bytes.length; at += at < 400 || at > bytes.length - 900 ? 1 : 29) {
      const changed = Buffer.from(bytes);
      changed[at] = changed[at]! ^ (1 << (at % 8));
      writeFileSync(json, changed);
      if ((await check(json)).exit !== 1) missed.push(at);
    }
    expect(missed).toEqual([]);
    for (const more of [' ', '\n', '{}', '\u0000']) {
      writeFileSync(json, Buffer.concat([bytes, Buffer.from(more)]));
      expect((await check(json)).exit).toBe(1);
    }
    writeFileSync(json, bytes);
    expect((await check(json)).exit).toBe(0);
  });

  test('a name given twice, of which the last counts, is found', async () => {
    const { json } = writeReport(sampleReport(small), owner, newDirectory());
    const text = readFileSync(json, 'utf8');
    writeFileSync(json, text.replace('  "unexplained": 1,', '  "unexplained": 0,\n  "unexplained": 1,'));
    expect(await check(json)).toMatchObject({ exit: 1, said: expect.stringContaining('was rewritten') });
    writeFileSync(json, text.replace('"signature": {', '"__proto__": {},\n  "signature": {'));
    expect((await check(json)).exit).toBe(1);
  });

  test('any byte of the page that was changed is found, and a page that is not there', async () => {
    const { json, html } = writeReport(sampleReport(small), owner, newDirectory());
    const bytes = readFileSync(html);
    for (let at = 0; at < bytes.length; at += 97) {
      const changed = Buffer.from(bytes);
      changed[at] = changed[at]! ^ (1 << (at % 8));
      writeFileSync(html, changed);
      expect((await check(json)).exit, String(at)).toBe(1);
    }
    renameSync(html, `${html}.away`);
    expect(await check(json)).toMatchObject({ exit: 1, said: expect.stringContaining('is not beside it') });
  });

  test('nothing to look at: exit 2', async () => {
    for (const path of [undefined, '', join(newDirectory(), 'none.json'), newDirectory()]) {
      expect(await check(path)).toMatchObject({ exit: 2, said: expect.stringContaining('Usage') });
    }
  });

  test('what is no report, or names a page elsewhere, is not genuine, and nothing of it reaches the terminal', async () => {
    const path = join(newDirectory(), 'report.json');
    for (const text of ['', 'null', '[]', '{"version":1}', '{"version":2}']) {
      writeFileSync(path, text);
      expect((await check(path)).exit, text).toBe(1);
    }
    const { json, report } = writeReport(sampleReport(small), owner, newDirectory());
    const { signature: _, ...unsigned } = report;
    for (const file of ['../report.html', '/etc/passwd.html', '.html', 'a\u001b[2J.html']) {
      const signed: SignedReport = signReport({ ...unsigned, html: { ...report.html, file } }, owner);
      writeFileSync(json, fileJson(signed));
      const { exit, said } = await check(json);
      expect(exit, file).toBe(1);
      for (const theirs of ['passwd', '\u001b']) expect(said).not.toContain(theirs);
    }
  });
});

describe('the files', () => {
  test('are written whole, once, under the time of the report', async () => {
    const directory = join(newDirectory(), 'a', 'b');
    const written = writeReport(sampleReport(small), owner, directory);
    expect(readdirSync(directory).toSorted()).toEqual([
      'report-20261103T101112.345Z.html',
      'report-20261103T101112.345Z.json',
    ]);
    expect(statSync(written.json).mode & 0o007).toBe(0);
    const before = readFileSync(written.json);
    expect(() => writeReport(sampleReport(small), owner, directory)).toThrow(/EEXIST/);
    expect(readFileSync(written.json)).toEqual(before);
    expect(readdirSync(directory)).toHaveLength(2);
  });

  test('have a name that is one, whatever the report says', async () => {
    const directory = newDirectory();
    const report = sampleReport(small);
    const audit = { ...report.audit, finishedAt: `../../${hostile('x')}/2026` };
    const { json } = writeReport({ ...report, audit }, owner, directory);
    expect(join(directory, json.slice(directory.length + 1))).toBe(json);
    expect(readdirSync(directory)).toHaveLength(2);
  });
});

import { createHash } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import { afterAll, describe, expect, test } from 'vitest';
import {
  ArchiveDamaged,
  ArchiveMissing,
  archiveObjects,
  directoryObjects,
  postgresObjects,
} from '../../archive/objects.ts';
import { createTestDatabase } from '../support/database.ts';

/** Texts by their hash, in both stores. */
const db = await createTestDatabase();
const worker = db.poolFor('app_worker');
const directory = await mkdtemp(join(tmpdir(), 'deposit-archive-'));
afterAll(() => rm(directory, { recursive: true, force: true }));

const hashOf = (text: string) => createHash('sha256').update(text).digest();
const fileOf = (text: string) => {
  const name = hashOf(text).toString('hex');
  return join(directory, name.slice(0, 2), `${name}.gz`);
};
const kept = async (text: string) => {
  const { rows } = await db.owner.query('select kind, bytes from engine.archive_object where hash = $1', [
    hashOf(text),
  ]);
  return rows as { kind: string; bytes: Buffer }[];
};

describe.each([
  ['PostgreSQL', postgresObjects(worker)],
  ['a directory', directoryObjects(directory)],
])('%s', (where, objects) => {
  test('gives back what was put, however often and by how many it is put', async () => {
    const text = `{"events":[],"where":"${where}","name":"李明"}`;
    await Promise.all(Array.from({ length: 8 }, () => objects.put(hashOf(text), 'history', text)));
    await objects.put(hashOf(text), 'history', text);
    expect(await objects.get(hashOf(text))).toBe(text);
  });

  test('says so when it has nothing under a hash', async () => {
    await expect(objects.get(hashOf('never put'))).rejects.toThrow(ArchiveMissing);
  });
});

test('in PostgreSQL a text is one gzip under its hash', async () => {
  const text = 'x'.repeat(10_000);
  await postgresObjects(worker).put(hashOf(text), 'bundle', text);
  const [row, ...more] = await kept(text);
  expect(more).toEqual([]);
  expect(row!.kind).toBe('bundle');
  expect(row!.bytes.length).toBeLessThan(1_000);
  expect(gunzipSync(row!.bytes).toString()).toBe(text);
});

test('in PostgreSQL damage is detected: another text under the hash, and bytes that are no gzip', async () => {
  const objects = postgresObjects(worker);
  for (const bytes of [gzipSync('another text'), Buffer.from('no gzip')]) {
    const hash = hashOf(bytes.toString('hex'));
    await db.owner.query(`insert into engine.archive_object (hash, kind, bytes) values ($1, 'history', $2)`, [
      hash,
      bytes,
    ]);
    await expect(objects.get(hash)).rejects.toThrow(ArchiveDamaged);
  }
});

test('the auditor reads the store and cannot write to it', async () => {
  const auditor = postgresObjects(db.poolFor('auditor'));
  await postgresObjects(worker).put(hashOf('for the auditor'), 'history', 'for the auditor');
  expect(await auditor.get(hashOf('for the auditor'))).toBe('for the auditor');
  await expect(auditor.put(hashOf('by the auditor'), 'history', 'by the auditor')).rejects.toMatchObject({
    code: '42501',
  });
});

test('a file in the directory is the gzip of its text, and nothing else is left there', async () => {
  const text = 'a history in a file';
  await directoryObjects(directory).put(hashOf(text), 'history', text);
  expect(gunzipSync(await readFile(fileOf(text))).toString()).toBe(text);
  const names = await readdir(directory, { recursive: true });
  expect(names.filter((name) => !/^[0-9a-f]{2}(\/[0-9a-f]{64}\.gz)?$/.test(name))).toEqual([]);
});

test('a damaged file is detected, and written anew when its text is put again', async () => {
  const objects = directoryObjects(directory);
  const text = 'a history whose file is damaged';
  await objects.put(hashOf(text), 'history', text);
  const whole = await readFile(fileOf(text));
  for (const bytes of [whole.subarray(0, 12), gzipSync('another'), Buffer.alloc(0)]) {
    await writeFile(fileOf(text), bytes);
    await expect(objects.get(hashOf(text))).rejects.toThrow(ArchiveDamaged);
  }
  await objects.put(hashOf(text), 'history', text);
  expect(await objects.get(hashOf(text))).toBe(text);
});

test('with a directory everything new goes there, and what the database has is found as well', async () => {
  const objects = archiveObjects(worker, directory);
  await postgresObjects(worker).put(hashOf('before'), 'history', 'before');
  await objects.put(hashOf('after'), 'history', 'after');
  expect(await objects.get(hashOf('before'))).toBe('before');
  expect(await objects.get(hashOf('after'))).toBe('after');
  expect(await kept('after')).toEqual([]);
  // Damage is not repaired by another copy: it has to be reported.
  await objects.put(hashOf('both'), 'history', 'both');
  await postgresObjects(worker).put(hashOf('both'), 'history', 'both');
  await writeFile(fileOf('both'), 'damaged');
  await expect(objects.get(hashOf('both'))).rejects.toThrow(ArchiveDamaged);
});

test('a directory that cannot be written is an error, not a loss', async () => {
  const objects = directoryObjects(fileOf('a history in a file'));
  await expect(objects.put(hashOf('lost?'), 'history', 'lost?')).rejects.toThrow(/ENOTDIR|EEXIST/);
});

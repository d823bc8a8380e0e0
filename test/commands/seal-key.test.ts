import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { sealKey, sealPublicKeys } from '../../config/keys/inbox-seal.ts';
import { Secret } from '../../config/keys/secret.ts';
import { registeredSealKeys } from '../../database/queries/seal-macs.ts';
import { createTestDatabase } from '../support/database.ts';
import { startOf } from '../support/programs.ts';

const db = await createTestDatabase();
const folder = mkdtempSync(join(tmpdir(), 'deposit-engine-seal-key-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Its output, and its exit code. */
const run = (args: readonly string[], env: Record<string, string>): Promise<{ code: number; said: string }> =>
  new Promise((resolve) => {
    const whole = { PATH: process.env['PATH'] ?? '', ...env };
    execFile(
      process.execPath,
      [...startOf('commands/seal-key.ts'), ...args],
      { cwd: folder, env: whole },
      (error, out, err) => resolve({ code: error === null ? 0 : Number(error.code), said: out + err }),
    );
  });

test('npm run seal-key makes a pair; with --register the owner gives the database what verifies it, once', async () => {
  const made = await run([], {});
  const [, seed, publicKey] = /^INBOX_SEAL_KEY=(\S{43})\nINBOX_SEAL_PUBLIC_KEYS=(\S{43})\n$/.exec(made.said)!;
  const { id } = sealKey(new Secret(Buffer.from(seed!, 'base64url')));
  expect([...sealPublicKeys(new Secret(Buffer.from(publicKey!))).keys()]).toEqual([id]);

  expect(await run(['--register'], { DATABASE_URL: db.url })).toEqual({
    code: 1,
    said: expect.stringContaining('INBOX_SEAL_KEY: is not set'),
  });
  const file = join(folder, 'key');
  writeFileSync(file, `${seed}\n`);
  const env = { DATABASE_URL: db.url, INBOX_SEAL_KEY_FILE: file };
  // A grant from before the contract would bypass it.
  await db.owner.query('grant insert (raw) on engine.callback to app_api');
  expect(await run(['--register'], env)).toEqual({ code: 1, said: expect.stringContaining('migrate -- --contract') });
  await db.owner.query('revoke insert (raw) on engine.callback from app_api');
  expect(await run(['--register'], env)).toEqual({
    code: 0,
    said: `${id} is registered\nrows that waited and bear a genuine seal: 0\nregistered keys: ${id}\n`,
  });
  expect(await run(['--register'], env)).toMatchObject({
    code: 0,
    said: expect.stringContaining('was registered before'),
  });
  expect(await registeredSealKeys(db.owner)).toEqual([id]);
  // No process of the engine may do it.
  expect(await run(['--register'], { ...env, DATABASE_URL: db.urlFor('app_api') })).toMatchObject({ code: 1 });
});

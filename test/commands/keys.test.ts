import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { parseKeyCommand } from '../../commands/key-arguments.ts';
import { findCaller } from '../../database/queries/api-keys.ts';
import { createTestDatabase } from '../support/database.ts';
import { startOf } from '../support/programs.ts';

const db = await createTestDatabase();
const folder = mkdtempSync(join(tmpdir(), 'deposit-engine-keys-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

interface Ended {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

const keys = (
  args: readonly string[],
  env: Record<string, string> = { DATABASE_URL: db.url },
  cwd = folder,
): Promise<Ended> =>
  new Promise((resolve) => {
    const whole = { PATH: process.env['PATH'] ?? '', ...env };
    execFile(process.execPath, [...startOf('commands/keys.ts'), ...args], { cwd, env: whole }, (error, out, err) =>
      resolve({ code: error === null ? 0 : Number(error.code), out, err }),
    );
  });

describe('npm run keys', () => {
  test('makes a key that is printed once, alone, and works as it was wished', async () => {
    const { code, out, err } = await keys([
      'create',
      'shop',
      '--scopes',
      'deposits:create,deposits:read',
      '--wallets',
      'w-1,w-2',
      '--expires',
      '90d',
    ]);
    expect({ code, err }).toMatchObject({
      code: 0,
      err: expect.stringMatching(/^K\d+ for shop: deposits:create, deposits:read; only for w-1, w-2\n/),
    });
    expect(out).toMatch(/^dek_[A-Za-z0-9_-]{43}\n$/);
    expect(err).not.toContain(out.trim());
    expect(await findCaller(db.owner, out.trim())).toMatchObject({ name: 'shop', wallets: ['w-1', 'w-2'] });
    const { rows } = await db.owner.query<{ days: number }>(
      `select round(extract(epoch from expires_at - created_at) / 86400)::int as days from engine.api_key where name = 'shop'`,
    );
    expect(rows).toEqual([{ days: 90 }]);
  });

  test('rotates in a pair, lists both without a key in it, and revokes the one that is meant', async () => {
    const [first, second] = [
      await keys(['create', 'pair', '--scopes', 'deposits:read']),
      await keys(['create', 'pair', '--scopes', 'deposits:read']),
    ];
    expect(await keys(['create', 'pair', '--scopes', 'deposits:read'])).toMatchObject({
      code: 1,
      out: '',
      err: expect.stringContaining('two living keys already: revoke one first'),
    });
    const ambiguous = await keys(['revoke', 'pair']);
    expect(ambiguous).toMatchObject({ code: 1, err: expect.stringMatching(/K\d+ and K\d+.*--all/) });
    const id = /^K\d+/.exec(first.err)![0];
    expect(await keys(['revoke', id])).toMatchObject({ code: 0, err: expect.stringContaining(`revoked ${id}`) });
    expect(await findCaller(db.owner, first.out.trim())).toBeNull();
    expect(await findCaller(db.owner, second.out.trim())).toMatchObject({ name: 'pair' });
    const { out } = await keys(['list']);
    expect(out).toMatch(new RegExp(`^${id} +pair +revoked `, 'm'));
    expect(out).toMatch(/^K\d+ +pair +living +deposits:read +all /m);
    expect(out).not.toMatch(/dek_|\\x[0-9a-f]{8}/);
    expect(await keys(['revoke', id])).toMatchObject({ code: 1, err: `${id} holds no living key\n` });
    expect(await keys(['revoke', 'nobody'])).toMatchObject({ code: 1, err: 'there is no key nobody\n' });
    expect(await keys(['revoke', 'pair', '--all'])).toMatchObject({ code: 0 });
    expect(await findCaller(db.owner, second.out.trim())).toBeNull();
  });

  test('finds the database of the local stack in this folder, and says so when there is none', async () => {
    expect(await keys(['list'], {})).toMatchObject({
      code: 1,
      out: '',
      err: expect.stringContaining('DATABASE_URL is not set'),
    });
    const stack = join(folder, 'stack');
    mkdirSync(join(stack, '.data'), { recursive: true });
    writeFileSync(join(stack, '.data', 'local.env'), `# Written by the local stack.\nDATABASE_URL=${db.url}\n`);
    expect(await keys(['list'], {}, stack)).toMatchObject({ code: 0, out: expect.stringContaining('NAME') });
  });
});

describe('the command line', () => {
  test.each<[string, string]>([
    ['', 'create, list or revoke?'],
    ['destroy x', 'there is no destroy'],
    ['create', 'a NAME is'],
    ['create Alice --scopes audit:read', 'a NAME is'],
    ['create a+b --scopes audit:read', 'a NAME is'],
    ['create shop', '--scopes is missing'],
    ['create shop --scopes deposits:write', '--scopes: “deposits:write” is none'],
    ['create shop --scopes deposits:read,', '--scopes: “” is none'],
    ['create alice --scopes reviews:decide,deposits:create', 'orders no deposits'],
    ['create shop --scopes deposits:read --wallets a/b', '--wallets: “a/b” is none'],
    ['create shop --scopes deposits:read --expires 90', '--expires: expected'],
    ['create shop --scopes deposits:read --expires 0d', '--expires: expected'],
    ['create shop more --scopes deposits:read', 'too much'],
    ['create shop --scopes deposits:read --all', '--all does not belong here'],
    ['list shop', 'list takes nothing'],
    ['revoke', 'revoke whose?'],
    ['revoke shop --force', '--force'],
  ])('“%s” is refused with a reason', (line, reason) => {
    expect(() => parseKeyCommand(line.split(' ').filter((word) => word !== ''))).toThrow(reason);
  });
});

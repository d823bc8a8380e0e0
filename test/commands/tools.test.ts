import { execFile } from 'node:child_process';
import { expect, test } from 'vitest';
import { root } from '../docs/variables.ts';
import { createTestDatabase } from '../support/database.ts';

/** The commands as the compose file's service `tools` runs them. */
const db = await createTestDatabase();

const tools = (args: readonly string[], input = '', given: Record<string, string> = { DATABASE_URL: db.url }) =>
  new Promise<{ code: number; out: string; err: string }>((resolve) => {
    const env = { PATH: process.env['PATH'] ?? '', ...given };
    const child = execFile(
      process.execPath,
      ['--import', 'tsx', 'commands/tools.ts', ...args],
      { cwd: root, env },
      (error, out, err) => resolve({ code: error === null ? 0 : Number(error.code), out, err }),
    );
    child.stdin!.end(input);
  });
test('a name that is none, and none, are told what there is, and nothing is done', async () => {
  const [wrong, none] = await Promise.all([tools(['../commands/keys', 'list']), tools([])]);
  expect(wrong).toEqual({
    code: 2,
    out: '',
    err: expect.stringMatching(/^There is no command "\.\.\/commands\/keys"\.\n/),
  });
  expect(none).toEqual({ code: 2, out: '', err: expect.stringMatching(/^Which command\?\n/) });
  for (const { err } of [wrong, none]) expect(err).toContain('docker compose run --rm tools seal-key --help\n');
});

test('a command says its usage as it was called, and ends with its own code', async () => {
  const [misused, unknown] = await Promise.all([tools(['keys', 'make']), tools(['reviews', '--clsoed'])]);
  for (const [{ code, err }, first] of [
    [misused, 'keys create'],
    [unknown, 'reviews list'],
  ] as const) {
    expect(code).toBe(2);
    expect(err).toContain(`docker compose run --rm tools ${first}`);
    expect(err).not.toMatch(/npm run (keys|reviews)|\n +at /);
  }
});

test('what its user can mend ends a command with a sentence, no stack, and nothing secret in it', async () => {
  const nobody = { DATABASE_URL: 'postgres://u:hidden-word@127.0.0.1:1/x' };
  const api = { API_URL: 'http://127.0.0.1:3', API_KEY: 'a-key' };
  const seal = { ...nobody, INBOX_SEAL_KEY: Buffer.alloc(32, 1).toString('base64url') };
  const ended = await Promise.all([
    tools(['keys', 'list'], '', nobody),
    tools(['restored', '--yes'], '', nobody),
    tools(['seal-key', '--register'], '', seal),
    tools(['reviews', 'list'], '', api),
    tools(['reviews', 'list'], '', { ...api, API_KEY: 'hidden-word\nx' }),
    tools(['reviews', 'lsit']),
    tools(['reviews', 'list', 'deposit:x'], '', api),
    tools(['keys', '--all=x', '--lsit']),
  ]);
  expect(ended.map(({ code, err }) => `${code} ${err.split('\n')[0]}`)).toEqual([
    ...Array.from({ length: 3 }, () => '1 the database cannot be used: connect ECONNREFUSED 127.0.0.1:1'),
    '1 no_answer: no answer of 127.0.0.1:3: ECONNREFUSED',
    '2 API_URL or API_KEY cannot be used: apiKey has a blank or another character that no key has',
    '2 there is no lsit',
    '2 deposit:x is too much',
    "2 Option '--all' does not take an argument",
  ]);
  for (const { err } of ended) expect(err).not.toMatch(/hidden-word|\n +at /);
});

test('restored notes nothing before somebody has said yes', async () => {
  const [silent, refused] = await Promise.all([tools(['restored']), tools(['restored'], 'no\n')]);
  for (const { code, err } of [silent, refused]) {
    expect(code).toBe(2);
    expect(err).toContain('Nothing was noted. Without the question: docker compose run --rm tools restored --yes\n');
  }
  const noted = async () => (await db.owner.query('select from engine.restored')).rowCount;
  expect(await noted()).toBe(0);
  expect(await tools(['restored'], 'yes\n')).toMatchObject({ code: 0, out: expect.stringMatching(/^noted: /) });
  expect(await noted()).toBe(1);
});

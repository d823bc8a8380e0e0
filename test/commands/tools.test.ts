import { execFile } from 'node:child_process';
import { expect, test } from 'vitest';
import { root } from '../docs/variables.ts';
import { createTestDatabase } from '../support/database.ts';

/** The commands as the compose file's service `tools` runs them. */
const db = await createTestDatabase();

const tools = (args: readonly string[], input = '') =>
  new Promise<{ code: number; out: string; err: string }>((resolve) => {
    const env = { PATH: process.env['PATH'] ?? '', DATABASE_URL: db.url };
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

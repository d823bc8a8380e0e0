import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { root } from '../../local/servers/paths.ts';
import { run } from '../../local/servers/process.ts';
import { SEAL_ENV } from '../support/seals.ts';

const { scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
  readonly scripts: Readonly<Record<string, string>>;
};

/** As `npm run` runs it, with no settings at all. */
const program = (name: string, ...args: string[]) =>
  run(process.execPath, [...scripts[name]!.split(' ').slice(1), ...args], {
    timeoutMs: 60_000,
    cwd: root,
    env: { PATH: process.env['PATH'], HOME: process.env['HOME'] },
  });

test.each(['api', 'callbacks', 'worker', 'notifier', 'codec', 'migrate', 'sandbox', 'clean', 'scenario'])(
  '%s refuses an argument it does not know before it reads its settings or starts anything',
  async (name) => {
    const { code, stdout, stderr } = await program(name, '--dry-run');
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toMatch(/^Unknown (argument "|option ')--dry-run/);
    expect(stderr).toContain(`npm run ${name}`);
  },
);

/** The entries of package.json that are programs of ours. */
const entries = Object.entries(scripts).flatMap(([name, command]) => {
  const entry = /^node (?:--import tsx|local\/start\.cjs) (\S+)$/.exec(command)?.[1];
  return entry === undefined ? [] : [[name, entry] as const];
});
const textOf = (entry: string) => readFileSync(join(root, entry), 'utf8');

test('every command reads its arguments with the reader that refuses unknown ones', () => {
  expect(entries.length).toBeGreaterThan(25);
  const own: Readonly<Record<string, string>> = {
    start: 'local/terminal/arguments.ts',
    keys: 'commands/key-arguments.ts',
    bench: 'harness/bench/options.ts',
    growth: 'harness/growth/options.ts',
    audit: 'audit/audit-arguments.ts',
  };
  const others = entries.filter(
    ([name, entry]) => !/\b(readArguments(Or)?|takesNoArguments)\(/.test(textOf(own[name] ?? entry)),
  );
  expect(others).toEqual([['sandbox', 'local/sandbox-alone.ts']]);
});

test.each([
  ['bench:page', ['nosuch.json']],
  ['growth:page', ['nosuch.json']],
  ['growth', ['--deposits', 'many']],
  ['growth:plans', ['--deposits', 'many']],
  ['drill:upgrade', ['--from', 'nosuch']],
  ['keys', ['create', 'shop', '--scopes']],
  ['scenario', ['one', 'two']],
])('%s %j is misused: a line and the usage, and no stack', async (name, args) => {
  const { code, stdout, stderr } = await program(name, ...args);
  expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
  expect(stderr).toContain(`npm run ${name === 'keys' ? '--silent keys' : name}`);
  expect(stderr).not.toMatch(/\n +at /);
});

test.each([
  ['growth:page', 'growth-measured.json', { sizes: [{}] }],
  ['growth:page', 'growth-measured.json', { sizes: null }],
  ['bench:page', 'benchmarks.json', { failed: {} }],
])('%s refuses a result without its figures, and leaves %s as it is: %j', async (name, page, damaged) => {
  const read = () => readFileSync(join(root, 'docs/reference', page), 'utf8');
  const [before, folder] = [read(), mkdtempSync(join(tmpdir(), 'damaged-'))];
  onTestFinished(() => {
    rmSync(folder, { recursive: true });
    writeFileSync(join(root, 'docs/reference', page), before);
  });
  const file = join(folder, 'result.json');
  writeFileSync(file, JSON.stringify(damaged));
  const { code, stderr } = await program(name, file);
  expect([code, read()]).toEqual([2, before]);
  expect(stderr).toMatch(/^"[^"]+" is no result of npm run \w+, or not a whole one\.\n\nnpm run /);
});

test.each([
  ['growth', 'out'],
  ['bench', 'out'],
  ['attack', 'json'],
])('%s refuses at once a file for --%s that it cannot write', async (name, option) => {
  const { code, stdout, stderr } = await program(name, `--${option}`, join(root, 'package.json', 'below'));
  expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
  expect(stderr).toMatch(/^--\w+ ".*" cannot be written \(E[A-Z]+\)\.\n\nnpm run /);
});

// A stack of this clone would be used.
test.skipIf(existsSync(join(root, '.data/local.env')))('a scenario says that no stack runs', async () => {
  const { code, stdout, stderr } = await program('scenario', 'customer-pays-twice');
  expect({ code, stdout, stderr }).toEqual({
    code: 1,
    stdout: '',
    stderr: 'Nothing runs here: start it with npm start, in another terminal.\n',
  });
});

test('a process whose settings are wrong lists them and ends with 1, without a stack', async () => {
  const { code, stderr } = await program('callbacks');
  expect(code).toBe(1);
  expect(stderr).toMatch(/^the configuration has \d+ problem\(s\):\n {2}MTPAY_ACCESS_KEY: is not set\n/);
  expect(stderr).not.toMatch(/\n +at /);
});

test('an audit without a server that answers ends with 1 and a line, without a stack', async () => {
  const { code, stderr } = await run(process.execPath, scripts['audit']!.split(' ').slice(1), {
    timeoutMs: 120_000,
    cwd: root,
    env: {
      PATH: process.env['PATH'],
      HOME: process.env['HOME'],
      DATABASE_URL: 'postgres://u@127.0.0.1:1/x',
      TEMPORAL_ADDRESS: '127.0.0.1:1',
      INBOX_SEAL_PUBLIC_KEYS: SEAL_ENV.INBOX_SEAL_PUBLIC_KEYS,
    },
  });
  expect({ code, stderr }).toEqual({ code: 1, stderr: expect.stringMatching(/^Temporal cannot be reached$/m) });
  expect(stderr).not.toMatch(/\n +at /);
});

test('a variable that is nearly one of ours is named by migrations, and by every process', async () => {
  const { command, args } = { command: process.execPath, args: scripts['migrate']!.split(' ').slice(1) };
  const { code, stdout } = await run(command, args, {
    timeoutMs: 60_000,
    cwd: root,
    env: { PATH: process.env['PATH'], DATABASE_URL: 'postgres://u@127.0.0.1:1/x', ARCHIVE_EVRY: 'hush' },
  });
  expect({ code, stdout }).toEqual({
    code: 1,
    stdout: 'variables that look like ours, and that nothing reads: ARCHIVE_EVRY (ARCHIVE_EVERY?)\n',
  });
  const processes = ['api', 'callbacks', 'worker', 'notifier', 'codec', 'start', 'sandbox'];
  const silent = entries.filter(
    ([name, entry]) => processes.includes(name) && !textOf(entry).includes('tellMisspelt('),
  );
  expect(silent).toEqual([]);
});

test.each(['migrate', 'sandbox'])('%s says what it does', async (name) => {
  const { code, stdout } = await program(name, '--help');
  expect(code).toBe(0);
  expect(stdout).toContain(`npm run ${name}`);
  expect(stdout).toContain('docs/reference/settings.md');
});

test('every package is known by its hash, on every platform', () => {
  const { packages } = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')) as {
    readonly packages: Readonly<Record<string, { readonly integrity?: string }>>;
  };
  const unknown = Object.entries(packages).filter(([path, { integrity }]) => path !== '' && integrity === undefined);
  expect(unknown.map(([path]) => path)).toEqual([]);
});

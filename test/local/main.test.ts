import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { UsageError } from '../../config/command-line.ts';
import { parseArguments } from '../../local/terminal/arguments.ts';
import { errorSentence } from '../../local/servers/error-sentences.ts';
import { askDatabaseElsewhere, askTemporalElsewhere } from '../../local/stack/external-servers.ts';
import { root } from '../../local/servers/paths.ts';
import { readableLines, run } from '../../local/servers/process.ts';
import { createStack } from '../../local/stack/stack.ts';
import { createStory } from '../../local/terminal/story.ts';
import { makeDataDirectory, makeDirectory, occupyPort } from './support.ts';

const start = (args: readonly string[], env: NodeJS.ProcessEnv = {}) =>
  run(process.execPath, ['local/start.cjs', 'local/main.ts', ...args], {
    timeoutMs: 30_000,
    cwd: root,
    env: { PATH: process.env['PATH'], HOME: process.env['HOME'], ...env },
  });

test('--help tells what happens and what switches parts off', async () => {
  const { code, stdout } = await start(['--help']);
  expect(code).toBe(0);
  for (const word of ['--once', '.data/', 'DATABASE_URL', 'TEMPORAL_ADDRESS', 'MTPAY_BASE_URL']) {
    expect(stdout).toContain(word);
  }
});

test('anything that is not a known flag is refused with the usage, and starts nothing', async () => {
  for (const args of [['--bogus'], ['once'], ['--once=yes']]) expect(() => parseArguments(args)).toThrow(UsageError);
  const { code, stdout, stderr } = await start(['--onec']);
  expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
  expect(stderr).toContain("Unknown option '--onec'");
});

test('npm start --once, which npm takes for its own, is understood', () => {
  expect(parseArguments([], { npm_config_once: 'true' })).toEqual({ once: true, help: false, onceByNpm: true });
  expect(parseArguments(['--once'], { npm_config_once: 'true' })).toMatchObject({ once: true, onceByNpm: false });
  expect(parseArguments([], { npm_config_once: 'false' })).toMatchObject({ once: false, onceByNpm: false });
});

/** A clone with nothing in it but what runs first. */
function bareClone(name: string): string {
  const clone = join(makeDirectory(), name);
  mkdirSync(join(clone, 'local'), { recursive: true });
  for (const file of ['package.json', 'local/start.cjs']) copyFileSync(join(root, file), join(clone, file));
  return clone;
}

test('an unsupported Node, a path that the loader cannot take, no folder for temporary files and missing packages are told in a sentence', async () => {
  const first = (clone: string, ...flags: string[]) => firstWith({}, clone, ...flags);
  const firstWith = (env: NodeJS.ProcessEnv, clone: string, ...flags: string[]) =>
    run(process.execPath, [...flags, join(clone, 'local/start.cjs'), 'local/main.ts'], {
      timeoutMs: 30_000,
      cwd: clone,
      env: { ...process.env, ...env },
    });
  const old = join(makeDirectory(), 'old.cjs');
  writeFileSync(old, `Object.defineProperty(process.versions, 'node', { value: '20.18.3' });`);
  for (const [answer, said] of [
    [await first(bareClone('clone'), '--require', old), /^This needs Node 20\.19 or later; here .*\.\n$/],
    [await first(bareClone('a?b')), /^The path .*a\?b has a question mark, and the loader of TypeScript .*\n$/],
    [
      await firstWith({ TMPDIR: '/dev/null/none' }, bareClone('clone')),
      /^Nothing can be written into \/dev\/null\/none, the folder for temporary files \(ENOTDIR\)\. .*\n$/,
    ],
    [await first(bareClone('clone')), /^The packages are not installed in .*: run `npm ci` there first\.\n$/],
  ] as const) {
    expect(answer.stderr).toMatch(said);
    expect({ code: answer.code, stdout: answer.stdout }).toEqual({ code: 1, stdout: '' });
  }
});

test('a server of somebody else that is not there is told in a sentence, before anything is started', async () => {
  await expect(askTemporalElsewhere({ TEMPORAL_ADDRESS: '127.0.0.1:1' })).rejects.toThrow(
    /^No Temporal server answers at 127\.0\.0\.1:1 .*ECONNREFUSED 127\.0\.0\.1:1\. Correct it, or remove it/,
  );
  await expect(askTemporalElsewhere({ TEMPORAL_ADDRESS: 'http://127.0.0.1:1' })).rejects.toThrow(
    /TEMPORAL_…\) are wrong/,
  );
  const url = 'postgres://owner:hidden@127.0.0.1:1/deposits';
  const failure = await askDatabaseElsewhere({ DATABASE_URL: url }).catch((error: Error) => error.message);
  expect(failure).toBe(
    'The database of DATABASE_URL cannot be used: Cannot connect 127.0.0.1:1: nobody listens there (ECONNREFUSED). ' +
      'Correct it, or remove it to have a server started here.',
  );
});

test('a listener that the user has chosen and somebody else has is told before anything is started', async () => {
  const taken = await occupyPort();
  for (const name of ['API_LISTEN', 'CALLBACK_LISTEN']) {
    let told = '';
    const story = createStory({ isTerminal: false, columns: 80, write: (text) => (told += text) });
    const env = { PATH: process.env['PATH'], [name]: `127.0.0.1:${taken}` };
    const stack = createStack({ env, dataDirectory: makeDataDirectory(), clone: root, story });
    onTestFinished(() => stack.stop());
    await expect(stack.start()).rejects.toThrow(
      `Cannot listen 127.0.0.1:${taken}: the port is taken by another program (EADDRINUSE). ${name} names that address; `,
    );
    expect({ told, hasStarted: stack.hasStarted() }).toEqual({ told: '', hasStarted: false });
  }
});

test('a wrong setting of a part is told before anything is started, with the form that is expected', async () => {
  for (const [name, value, said] of [
    ['SANDBOX_SPEED', 'abc', 'SANDBOX_SPEED must be a number'],
    ['SANDBOX_LOG_LEVEL', 'loud', 'SANDBOX_LOG_LEVEL must be one of trace, debug'],
    ['LOG_LEVEL', 'loud', 'LOG_LEVEL: Invalid option: expected one of "debug"'],
    ['API_LISTEN', 'hidden', 'API_LISTEN: expected host:port'],
    ['MTPAY_DEADLINE', 'soon', 'MTPAY_DEADLINE: expected a duration'],
    ['ARCHIVE_EVERY', 'soon', 'ARCHIVE_EVERY: expected a duration'],
    ['CRASH_AT', 'credit.afterCommit:soon', 'CRASH_AT: expected POINT or POINT:N'],
  ] as const) {
    let told = '';
    const story = createStory({ isTerminal: false, columns: 80, write: (text) => (told += text) });
    const env = { PATH: process.env['PATH'], [name]: value };
    const stack = createStack({ env, dataDirectory: makeDataDirectory(), clone: root, story });
    onTestFinished(() => stack.stop());
    await expect(stack.start()).rejects.toThrow(said);
    expect({ told, hasStarted: stack.hasStarted() }).toEqual({ told: '', hasStarted: false });
  }
});

test('of the output of a program that died its reason is shown, without stacks, bytes and code', async () => {
  const taken = await occupyPort();
  const program = `require('node:net').createServer().listen(${taken}, '127.0.0.1')`;
  const { stderr } = await run(process.execPath, ['-e', program], { timeoutMs: 30_000 });
  expect(readableLines(stderr)).toEqual([`Error: listen EADDRINUSE: address already in use 127.0.0.1:${taken}`]);
  const logged = [
    { level: 30, msg: 'begins' },
    { level: 50, msg: 'cannot go on', err: { message: 'the reason' } },
  ];
  const output = [...logged.map((line) => JSON.stringify(line)), '  1, 2, 3,', '  problems:', ''].join('\n');
  expect(readableLines(output)).toEqual(['error: cannot go on: the reason', '  problems:']);
});

test("what is the machine's is one sentence, and a defect of ours keeps its stack", async () => {
  const taken = await occupyPort();
  const server = createServer();
  const failure = await new Promise<unknown>((resolve) => server.once('error', resolve).listen(taken, '127.0.0.1'));
  expect(errorSentence(failure)).toBe(
    `Cannot listen 127.0.0.1:${taken}: the port is taken by another program (EADDRINUSE).`,
  );
  expect(errorSentence(new UsageError('A sentence.'))).toBe('A sentence.');
  expect(errorSentence(new TypeError('a defect'))).toMatch(/TypeError: a defect\n +at /);
});

test('--once refuses a real provider with a sentence, before anything is started', async () => {
  const env = { MTPAY_BASE_URL: 'https://mtpay.example', MTPAY_ACCESS_KEY: 'a', MTPAY_SECRET_KEY: 's' };
  const { code, stdout, stderr } = await start(['--once'], env);
  expect(code).not.toBe(0);
  expect(stdout).toBe('');
  expect(stderr).toContain('it would be an order at a real provider');
});

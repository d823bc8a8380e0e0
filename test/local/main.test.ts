import { expect, test } from 'vitest';
import { parseArguments, UsageError } from '../../local/arguments.ts';
import { root } from '../../local/paths.ts';
import { run } from '../../local/process.ts';

const start = (args: readonly string[], env: NodeJS.ProcessEnv = {}) =>
  run(process.execPath, ['--import', 'tsx', 'local/main.ts', ...args], {
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

test('--once refuses a real provider with a sentence, before anything is started', async () => {
  const env = { MTPAY_BASE_URL: 'https://mtpay.example', MTPAY_ACCESS_KEY: 'a', MTPAY_SECRET_KEY: 's' };
  const { code, stdout, stderr } = await start(['--once'], env);
  expect(code).not.toBe(0);
  expect(stdout).toBe('');
  expect(stderr).toContain('it would be an order at a real provider');
});

import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { payAtSandbox } from '../../local/engine-api.ts';
import { root } from '../../local/paths.ts';
import { isAlive } from '../../local/process.ts';
import { proveCreditedOnce } from '../../local/proof.ts';
import { walkSample } from '../../local/sample.ts';
import { createStack } from '../../local/stack.ts';
import { createStory } from '../../local/story.ts';
import { makeDataDirectory, until } from './support.ts';

/** Nothing of the test run's own servers reaches the stack. */
function plainEnvironment(): NodeJS.ProcessEnv {
  const foreign = /^(TEST_|DATABASE_URL|TEMPORAL_ADDRESS|MTPAY_)/;
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !foreign.test(name)));
}

function makeStack(dataDirectory: string) {
  let text = '';
  const story = createStory({ isTerminal: false, columns: 80, write: (more) => (text += more) });
  const stack = createStack({ env: plainEnvironment(), dataDirectory, clone: root, story });
  onTestFinished(() => stack.stop());
  return { stack, story, told: () => text };
}

/** `local.env` as a script would read it. */
function localEnv(dataDirectory: string): Record<string, string> {
  const file = join(dataDirectory, 'local.env');
  expect(statSync(file).mode & 0o777).toBe(0o600);
  const lines = readFileSync(file, 'utf8')
    .split('\n')
    .filter((line) => /^[A-Z]/.test(line));
  return Object.fromEntries(lines.map((line) => [line.split('=')[0] ?? '', line.slice(line.indexOf('=') + 1)]));
}

const pidsOf = (env: Record<string, string>) =>
  ['API_PID', 'WORKER_PID', 'SANDBOX_PID'].map((name) => Number(env[name]));

test('a deposit is credited, a dead worker comes back, and a second start goes on with what was open', async () => {
  const dataDirectory = makeDataDirectory();
  const first = makeStack(dataDirectory);
  const facts = await first.stack.start();
  const sandboxUrl = facts.places.sandboxUrl ?? '';
  const { signal } = new AbortController();
  const sample = { api: facts.api, sandboxUrl, controlToken: facts.controlToken, story: first.story, signal };
  const credited = await walkSample(sample);
  const findings = await proveCreditedOnce(facts.api, facts.databaseUrl, credited.externalOrderNumber, '5000');
  expect(findings.filter(({ holds }) => !holds)).toEqual([]);
  // The proof can fail: of another amount there is no posting.
  const wrong = await proveCreditedOnce(facts.api, facts.databaseUrl, credited.externalOrderNumber, '4999');
  expect(wrong.filter(({ holds }) => !holds)).toHaveLength(1);

  const before = localEnv(dataDirectory);
  process.kill(Number(before['WORKER_PID']), 'SIGKILL');
  await until('the worker to come back', () => first.told().includes('worker is back'));
  expect(first.told()).toContain('worker was ended by SIGKILL; it is started again');
  const after = localEnv(dataDirectory);
  expect(after['WORKER_PID']).not.toBe(before['WORKER_PID']);
  expect({ ...after, WORKER_PID: '' }).toEqual({ ...before, WORKER_PID: '' });

  const open = await facts.api.createDeposit({
    externalOrderNumber: 'left-open',
    wallet: 'wallet-7',
    buyCoinMode: 'MtcAmount',
    mtcAmount: '250',
    currencyCode: 'HKD',
    supportLanguage: 'en',
    payerRealName: 'Test Person',
  });
  await until('the checkout link', async () => (await facts.api.readDeposit('left-open')).redirectUrl !== null);
  await first.stack.stop();
  expect(pidsOf(after).filter(isAlive)).toEqual([]);

  const second = makeStack(dataDirectory);
  const resumed = await second.stack.start();
  expect(resumed.places).toEqual(facts.places);
  expect(localEnv(dataDirectory)['API_KEY']).toBe(before['API_KEY']);
  await payAtSandbox(sandboxUrl, facts.controlToken, open.externalOrderNumber);
  await until('the credit', async () => (await resumed.api.readDeposit('left-open')).state === 'CREDITED');
  expect((await resumed.api.readWallet('wallet-7')).balance).toBe('250');
  const left = pidsOf(localEnv(dataDirectory));
  await second.stack.stop();
  expect(left.filter(isAlive)).toEqual([]);
}, 180_000);

test('a start that is told to stop ends with nothing running', async () => {
  const { stack, told } = makeStack(makeDataDirectory());
  const starting = stack.start().catch((error: unknown) => error);
  await until('the first part', () => told().includes('✓ postgres'));
  await stack.stop();
  expect(await starting).toBeInstanceOf(Error);
});

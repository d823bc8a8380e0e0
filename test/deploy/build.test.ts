import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { promisify } from 'node:util';
import { withClient } from '../../database/pool.ts';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { freePort } from '../../local/servers/ports.ts';
import { root } from '../docs/variables.ts';
import { required } from '../support/database.ts';
import { orderNumber } from '../support/builders.ts';
import { until } from '../support/until.ts';
import { SEAL_ENV } from '../support/seals.ts';
import { openTemporal, type TestTemporal } from '../support/temporal.ts';

/**
 * The output of `npm run build`, run as in production: plain node, no sources, a database and a namespace of its own.
 */
const run = promisify(execFile);
const built = join(root, '.cache', `build-test-${randomBytes(4).toString('hex')}`);
const folder = mkdtempSync(join(tmpdir(), 'deposit-engine-build-'));
const database = `test_build_${randomBytes(4).toString('hex')}`;
const children: { readonly process: ChildProcess; readonly ended: Promise<unknown> }[] = [];
const key = () => randomBytes(32).toString('base64url');
let temporal: TestTemporal;

const admin = required('TEST_POSTGRES_URL');
const urlFor = (role: string): string => {
  const url = new URL(admin);
  url.pathname = `/${database}`;
  url.username = role;
  return url.href;
};

beforeAll(async () => {
  mkdirSync(join(root, '.cache'), { recursive: true });
  await asOwner(admin, `create database ${database}`);
  [temporal] = await Promise.all([
    openTemporal(),
    run('bash', ['deploy/build.sh', relative(root, built)], { cwd: root }),
  ]);
});

afterAll(async () => {
  for (const child of children) child.process.kill('SIGTERM');
  await Promise.all(children.map((child) => child.ended));
  await temporal?.stop();
  await asOwner(admin, `drop database if exists ${database} with (force)`);
  rmSync(built, { recursive: true, force: true });
  rmSync(folder, { recursive: true, force: true });
});

async function asOwner(url: string, sql: string, values: readonly unknown[] = []): Promise<void> {
  await withClient({ connectionString: url }, async (client) => {
    await client.query(sql, [...values]);
  });
}

/** Starts a built program. The environment is whole: nothing of the tests' own reaches it. */
function start(program: string, env: Readonly<Record<string, string>>): () => string {
  const child = spawn(process.execPath, [join(built, program)], {
    env: { NODE_ENV: 'production', TEMPORAL_CONFIG_FILE: '/dev/null', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    // A folder without sources or a package.json.
    cwd: folder,
  });
  let output = '';
  child.stdout.on('data', (data: Buffer) => (output += data.toString()));
  child.stderr.on('data', (data: Buffer) => (output += data.toString()));
  children.push({ process: child, ended: new Promise((resolve) => child.once('exit', resolve)) });
  return () => output;
}

async function json(url: string, init?: RequestInit): Promise<Record<string, unknown>> {
  const response = await fetch(url, init);
  if (!response.ok) throw new Error(`${url}: ${response.status} ${await response.text()}`);
  return (await response.json()) as Record<string, unknown>;
}

const answers = (url: string) =>
  until(`${url} to answer`, () =>
    fetch(url)
      .then((r) => r.ok)
      .catch(() => false),
  );

test('the build holds the programs, the workflow bundle and the migrations, and neither tests nor local stack', () => {
  for (const path of [
    'api/main.js',
    'worker/main.js',
    'worker/migrate.js',
    'notifications/main.js',
    'sandbox/main.js',
    'workflow-bundle.js',
  ]) {
    expect(existsSync(join(built, path)), path).toBe(true);
  }
  expect(existsSync(join(built, 'database/migrations/001-engine.sql'))).toBe(true);
  expect(existsSync(join(built, 'sandbox/migrations/001-sandbox.sql'))).toBe(true);
  // The version that rows of the archive contain.
  expect(readFileSync(join(built, 'version.txt'), 'utf8')).toMatch(/^\d+\.\d+\.\d+(\+[0-9a-f]{12})?\n$/);
  for (const path of ['test', 'local', 'harness', 'docs']) expect(existsSync(join(built, path)), path).toBe(false);
});

test('a deposit goes through the built API, worker and sandbox into the wallet', async () => {
  const env = { TEMPORAL_ADDRESS: temporal.address, TEMPORAL_NAMESPACE: temporal.namespace };
  const migrations = await run(process.execPath, [join(built, 'worker/migrate.js')], {
    env: { ...env, TEMPORAL_CONFIG_FILE: '/dev/null', DATABASE_URL_MIGRATOR: urlFor('postgres') },
  });
  expect(migrations.stdout).toMatch(/applied 001-engine\.sql.*search attributes are registered.*archived every 60 s/s);

  const [api, callback, sandbox] = [await freePort(), await freePort(), await freePort()];
  const pair = { access: key(), secret: key() };
  const controlToken = key();
  const engine = {
    ...env,
    MTPAY_BASE_URL: `http://127.0.0.1:${sandbox}`,
    MTPAY_ACCESS_KEY: pair.access,
    MTPAY_SECRET_KEY: pair.secret,
    CALLBACK_BASE_URL: `http://127.0.0.1:${callback}`,
    CALLBACK_KEY: key(),
    PAYER_NAME_KEY: key(),
    FINGERPRINT_KEY: key(),
    ...SEAL_ENV,
    API_LISTEN: `127.0.0.1:${api}`,
    CALLBACK_LISTEN: `127.0.0.1:${callback}`,
  };
  start('sandbox/main.js', {
    DATABASE_URL_SANDBOX: urlFor('postgres'),
    SANDBOX_LISTEN: `127.0.0.1:${sandbox}`,
    SANDBOX_TLS: 'off',
    SANDBOX_ALLOW_PLAIN_HTTP: 'loopback',
    SANDBOX_ACCESS_KEY: pair.access,
    SANDBOX_SECRET_KEY: pair.secret,
    SANDBOX_CONTROL_TOKEN: controlToken,
  });
  const workerSays = start('worker/main.js', {
    ...engine,
    DATABASE_URL_WORKER: urlFor('app_worker'),
    DATABASE_URL_DECISIONS: urlFor('app_decisions'),
  });
  const notifierSays = start('notifications/main.js', {
    DATABASE_URL_NOTIFIER: urlFor('app_notifier'),
    ENDPOINT_SECRET_KEY: key(),
  });
  start('api/main.js', { ...engine, DATABASE_URL_API: urlFor('app_api') });
  const keys = [join(built, 'commands/keys.js'), 'create', 'build', '--scopes', 'deposits:create,deposits:read'];
  const keyEnv = { DATABASE_URL_MIGRATOR: urlFor('postgres') };
  const apiKey = (await run(process.execPath, keys, { cwd: folder, env: keyEnv })).stdout.trim();
  const at = `http://127.0.0.1:${api}`;
  await answers(`${at}/healthz`);
  expect(await json(`${at}/healthz`)).toEqual({ status: 'alive' });
  await answers(`${at}/readyz`);
  await answers(`http://127.0.0.1:${sandbox}/healthz`);
  await until('the worker to be ready', async () => workerSays().includes('worker ready'));
  await until('the notifier to be ready', async () => notifierSays().includes('notifier ready'));

  const number = orderNumber();
  const headers = { authorization: `Bearer ${apiKey}`, 'content-type': 'application/json' };
  const created = await json(`${at}/v1/deposits`, {
    method: 'POST',
    headers,
    body: JSON.stringify({
      externalOrderNumber: number,
      wallet: 'wallet-42',
      buyCoinMode: 'MtcAmount',
      mtcAmount: '5000',
      currencyCode: 'CNY',
      supportLanguage: 'en',
      payerRealName: 'Li Ming',
    }),
  });
  expect(created).toMatchObject({ state: 'AWAITING_PAYMENT' });
  await json(`http://127.0.0.1:${sandbox}/control/orders/${number}/pay`, {
    method: 'POST',
    headers: { authorization: `Bearer ${controlToken}`, 'content-type': 'application/json' },
    body: JSON.stringify({ immediately: true }),
  });
  await until('the deposit to be credited', async () => {
    const deposit = await json(`${at}/v1/deposits/${number}`, { headers });
    return deposit['state'] === 'CREDITED';
  });
  expect(await json(`${at}/v1/wallets/wallet-42`, { headers })).toMatchObject({ balance: '5000' });

  const signing = generateKeyPairSync('ed25519').privateKey.export({ format: 'pem', type: 'pkcs8' }) as string;
  const audit = (...args: string[]) =>
    run(process.execPath, [join(built, 'audit/main.js'), ...args], {
      cwd: folder,
      env: {
        NODE_ENV: 'production',
        TEMPORAL_CONFIG_FILE: '/dev/null',
        TEMPORAL_ADDRESS: temporal.address,
        TEMPORAL_NAMESPACE: temporal.namespace,
        DATABASE_URL_AUDITOR: urlFor('auditor'),
        DATABASE_URL_ARCHIVER: urlFor('archiver'),
        AUDIT_SIGNING_KEY: signing,
        ...SEAL_ENV,
      },
    });
  const audited = await audit('--deposit', number);
  expect(audited.stderr).toContain('nothing is unexplained');
  expect(audited.stdout).toContain('credited');
  const report = audited.stdout.split('\n').find((line) => line.endsWith('.json'));
  expect((await audit('verify', report!)).stdout).toContain('GENUINE');
});

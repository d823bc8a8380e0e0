import pg from 'pg';
import { pino } from 'pino';
import { beforeAll, describe, expect, test } from 'vitest';
import { loadSandboxConfig } from '../../sandbox/config.ts';
import { openPool } from '../../sandbox/database.ts';
import { migrate } from '../../sandbox/migrate.ts';
import { startSandbox } from '../../sandbox/server.ts';
import { ended, runProgram } from './program.ts';
import {
  ACCESS_KEY,
  control,
  CONTROL_TOKEN,
  createDatabase,
  eventually,
  fault,
  type Merchant,
  type MerchantAnswer,
  orders,
  pay,
  place,
  PLAIN,
  SECRET_KEY,
  settled,
  start,
  startMerchant,
  SUCCESS,
} from './support.ts';

let databaseUrl: string;
let merchant: Merchant;

beforeAll(async () => {
  databaseUrl = await createDatabase();
  merchant = await startMerchant();
});

test('another instance takes up a delivery that was due while none was running', async () => {
  const first = await start(databaseUrl);
  merchant.answer = () => ({ status: 500 });
  const number = await place(first, merchant);
  await control(first, 'PUT', '/settings', { speed: 60_000 });
  await pay(first, number);
  await eventually(async () => (await orders(first, number))[0]!.deliveries.find((delivery) => delivery.nextRetry > 0));
  await first.close();
  merchant.answer = () => SUCCESS;
  const second = await start(databaseUrl);
  const [delivery] = await settled(second, number);
  expect(delivery!.state).toBe('ACKNOWLEDGED');
  expect(delivery!.attempts.every((attempt) => !attempt.repeated)).toBe(true);
  await control(second, 'PUT', '/settings', { speed: null });
  await second.close();
});

test('another instance releases what was paid while none was running', async () => {
  const first = await start(databaseUrl, { SANDBOX_RELEASE_DELAY: '1h' });
  const number = await place(first, merchant);
  await control(first, 'POST', `/orders/${number}/pay`);
  await first.close();
  const client = new pg.Client({ connectionString: databaseUrl });
  await client.connect();
  await client.query(`UPDATE sandbox.buy_order SET release_at = now() WHERE external_order_number = $1`, [number]);
  await client.end();
  const second = await start(databaseUrl);
  expect((await settled(second, number))[0]!.state).toBe('ACKNOWLEDGED');
  await second.close();
});

describe('the program', () => {
  const run = () => runProgram(databaseUrl);
  const gone = ended;

  test('killed while a callback is under way repeats it, and the books show both', async () => {
    const first = await run();
    let answered = 0;
    merchant.answer = (): MerchantAnswer => ((answered += 1) === 1 ? { silent: true } : SUCCESS);
    const number = await place(first.sandbox, merchant);
    await pay(first.sandbox, number);
    await merchant.received(number);
    first.child.kill('SIGKILL');
    await gone(first.child);
    const second = await run();
    const [delivery] = await settled(second.sandbox, number);
    expect(delivery!.attempts).toMatchObject([
      { retry: 0, repeated: false, outcome: 'UNKNOWN' },
      { retry: 0, repeated: true, outcome: 'ACKNOWLEDGED' },
    ]);
    second.child.kill('SIGTERM');
    expect(await gone(second.child)).toBe(0);
  });

  test('stops on SIGTERM in good order, an unanswered placement notwithstanding', async () => {
    const { child, sandbox, output } = await run();
    await fault(sandbox, 'global', 'hang');
    const hanging = place(sandbox, merchant).catch((error: Error) => error);
    await eventually(async () =>
      (await control(sandbox, 'GET', '/faults')).body.faults.length === 0 ? true : undefined,
    );
    child.kill('SIGTERM');
    expect(await gone(child)).toBe(0);
    expect(await hanging).toBeInstanceOf(Error);
    expect(output()).toContain('"sandbox stopped"');
    for (const secret of [SECRET_KEY, ACCESS_KEY, CONTROL_TOKEN, 'Wang Xiaoming', '/callback', '/pay/']) {
      expect(output()).not.toContain(secret);
    }
  });
});

describe('starting', () => {
  const config = (env: Record<string, string>) =>
    loadSandboxConfig({
      ...PLAIN,
      SANDBOX_LISTEN: '127.0.0.1:0',
      DATABASE_URL: databaseUrl,
      SANDBOX_LOG_LEVEL: 'silent',
      ...env,
    });

  test('without keys uses those the database holds', async () => {
    const sandbox = await startSandbox(config({}));
    expect(sandbox).toMatchObject({ accessKey: ACCESS_KEY, secretKey: SECRET_KEY, keyPairIsGenerated: false });
    await sandbox.close();
  });

  test('without keys on an empty database makes a pair of the documented lengths and keeps it', async () => {
    const empty = await createDatabase();
    const first = await startSandbox(config({ DATABASE_URL: empty }));
    expect(first.accessKey).toMatch(/^[0-9A-Za-z]{32}$/);
    expect(first.secretKey).toMatch(/^[0-9A-Za-z]{64}$/);
    expect(first.keyPairIsGenerated).toBe(true);
    await first.close();
    const second = await startSandbox(config({ DATABASE_URL: empty }));
    expect(second).toMatchObject({ accessKey: first.accessKey, keyPairIsGenerated: false });
    await second.close();
  });

  test('with a stored access key and another secret is refused', async () => {
    const contradicting = config({ SANDBOX_ACCESS_KEY: ACCESS_KEY, SANDBOX_SECRET_KEY: 'another-secret-key' });
    await expect(startSandbox(contradicting)).rejects.toThrow('already stored with another secret key');
  });

  test('on a taken address is refused', async () => {
    const first = await start(databaseUrl);
    await expect(startSandbox(config({ SANDBOX_LISTEN: new URL(first.url).host }))).rejects.toThrow('EADDRINUSE');
    await first.close();
  });

  test('on a database whose migrations were edited is refused', async () => {
    const pool = openPool(await createDatabase(), 4, pino({ level: 'silent' }));
    await migrate(pool);
    await pool.query("UPDATE sandbox.migration SET sha256 = 'x'");
    await expect(migrate(pool)).rejects.toThrow('was edited after it was applied');
    await pool.end();
  });
});

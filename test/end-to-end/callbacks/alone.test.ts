import { onTestFinished, test, expect } from 'vitest';
import { startCallbacks } from '../../../api/start-callbacks.ts';
import { loadCallbacksConfig } from '../../../config/settings/callbacks.ts';
import { freePort } from '../../../local/servers/ports.ts';
import { depositRow, inbox, memoryLog, postings } from '../../api/evidence.ts';
import { expectAck } from '../../api/parts.ts';
import { paid } from '../../support/builders.ts';
import { callbackAddress, callbackBody } from '../../support/messages/callbacks.ts';
import { createTestDatabase } from '../../support/database.ts';
import { startEngine } from '../../support/engine.ts';
import { startPart } from '../../support/process.ts';
import { until } from '../../support/until.ts';

/** The relay raises nothing by itself here: only notified callbacks are raised. */
const NO_RELAY = { everyMs: 100, freshMs: 3_600_000, againMs: 3_600_000, unstartedMs: 3_600_000 };
const engine = await startEngine({ relay: NO_RELAY });

/**
 * The environment of the listener, with an address of its own: no Temporal, and only keys that it verifies or seals
 * with.
 */
async function environment(): Promise<Readonly<Record<string, string>>> {
  const known = /^(DATABASE_URL_API|MTPAY_(ACCESS|SECRET)_KEY|CALLBACK_KEY|INBOX_SEAL_(KEY|PUBLIC_KEYS))$/;
  return {
    ...Object.fromEntries(Object.entries(engine.env).filter(([name]) => known.test(name))),
    API_LISTEN: `127.0.0.1:${await freePort()}`,
    CALLBACK_LISTEN: `127.0.0.1:${await freePort()}`,
  };
}

async function placed() {
  const { status, body } = await engine.create();
  expect(status).toBe(201);
  return body;
}
const send = (base: string, data: ReturnType<typeof paid>) =>
  engine.callback(
    base + new URL(callbackAddress(engine, data.externalOrderNumber)).pathname,
    callbackBody(engine, data),
  );

test('a process for callbacks alone keeps them, and an API that it tells has them credited', async () => {
  const env = await environment();
  const part = await startPart('callbacks', env);
  const health = `http://${env['API_LISTEN']}`;
  expect(await (await fetch(`${health}/readyz`)).json()).toEqual({ ready: true, database: 'up' });
  expect((await fetch(`${health}/v1/deposits`)).status).toBe(404);

  const data = paid(await placed());
  expectAck(await send(`http://${env['CALLBACK_LISTEN']}`, data));
  await engine.untilState(data.externalOrderNumber, 'CREDITED');
  expect(await postings(engine, data.externalOrderNumber)).toEqual(['5000']);
  await part.kill('SIGTERM');
  expect(part.log()).toContain('callbacks stopped');
});

test('names of rows that nobody kept, and of rows that are done, move nothing', async () => {
  const data = paid(await placed());
  expectAck(await send(engine.api.callbackUrl, data));
  await engine.untilState(data.externalOrderNumber, 'CREDITED');
  const raisedAt = async () =>
    (
      await engine.db.owner.query('select raised_at from engine.callback where deposit = $1', [
        data.externalOrderNumber,
      ])
    ).rows;
  await until('it to be noted as raised', async () => (await raisedAt())[0].raised_at !== null);
  const before = [await raisedAt(), await depositRow(engine, data.externalOrderNumber)];
  const [row] = await inbox(engine, data.externalOrderNumber);
  for (const told of ['0', '999999999', 'x', "1'; drop table engine.callback", '9'.repeat(40), row!.id])
    await engine.db.owner.query(
      `select pg_notify(application_name, $1) from pg_stat_activity where application_name like 'deposit_api_listen_%' and datname = current_database()`,
      [told],
    );
  // It still receives callbacks.
  const other = paid(await placed());
  const alone = await startCallbacks(loadCallbacksConfig(await environment()), memoryLog().log);
  onTestFinished(() => alone.close());
  expectAck(await send(alone.callbackUrl, other));
  await engine.untilState(other.externalOrderNumber, 'CREDITED');
  expect([await raisedAt(), await depositRow(engine, data.externalOrderNumber)]).toEqual(before);
});

test('what it keeps while no API listens is raised by the relay of the next one', async () => {
  const env = await environment();
  const alone = await startCallbacks(loadCallbacksConfig(env), memoryLog().log);
  onTestFinished(() => alone.close());
  const data = paid(await placed());
  await engine.api.close();
  expectAck(await send(alone.callbackUrl, data));
  await engine.startApi({ ...NO_RELAY, freshMs: 0 });
  await engine.untilState(data.externalOrderNumber, 'CREDITED');
});

test('on a database without any deposit it keeps nothing, unless that is meant', async () => {
  const empty = await createTestDatabase();
  const data = paid(await placed());
  const env = { ...(await environment()), DATABASE_URL_API: empty.urlFor('app_api') };
  await empty.owner.query(`alter database ${new URL(empty.url).pathname.slice(1)} set log_statement = 'mod'`);
  const memory = memoryLog();
  const alone = await startCallbacks(loadCallbacksConfig(env), memory.log);
  onTestFinished(() => alone.close());
  expect(memory.fields('database_logs_parameters')).toMatchObject([{ settings: ['log_statement=mod'] }]);
  const count = async () => Number((await empty.owner.query('select count(*) from engine.callback')).rows[0].count);
  expect((await send(alone.apiUrl, data)).status).toBe(404);
  await until('the alarm', async () => memory.fields('callback_not_readable').length > 0);
  expect((await send(alone.callbackUrl, data)).status).toBe(503);
  expect(await count()).toBe(0);
  expect(memory.fields('callback_not_stored')).toMatchObject([{ error: 'EmptyDatabase' }]);

  const ports = { API_LISTEN: '127.0.0.1:0', CALLBACK_LISTEN: '127.0.0.1:0' };
  const meant = await startCallbacks(
    loadCallbacksConfig({ ...env, ...ports, RESTORED_FROM_EMPTY: '1' }),
    memoryLog().log,
  );
  onTestFinished(() => meant.close());
  // Not acknowledged yet, since its order is unknown, but stored.
  expect((await send(meant.callbackUrl, data)).status).toBe(503);
  await until('the message to be kept', async () => (await count()) === 1);
});

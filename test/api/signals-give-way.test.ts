import { expect, onTestFinished, test } from 'vitest';
import { inTransaction } from '../../database/pool.ts';
import { depositWorkflowId } from '../../domain/ids.ts';
import type { CallbackData } from '../../domain/order.ts';
import { paid } from '../support/builders.ts';
import { startEngine } from '../support/engine.ts';
import { callbackAddress, callbackBody } from '../support/messages/callbacks.ts';
import { insertBound } from '../support/messages/inbox.ts';
import { until } from '../support/until.ts';

const HOUR_MS = 3_600_000;
const engine = await startEngine({ relay: { everyMs: 250, freshMs: HOUR_MS, againMs: HOUR_MS, unstartedMs: HOUR_MS } });
const { owner } = engine.db;
const GIVES_WAY_MS = 1_000;
/** Between two clocks. */
const ROUNDING_MS = 20;
const CALLBACKS = 12;
/** A callback waits in its process for some milliseconds before the API counts it. */
const TRIES = 6;

const payments = (count: number) =>
  Promise.all(Array.from({ length: count }, async () => paid((await engine.place()) as Parameters<typeof paid>[0])));

/** Signals by a notification, as the relay does, and returns for how long the signal gave way. */
async function gaveWayMs({ data, id }: { readonly data: CallbackData; readonly id: string }): Promise<number> {
  const toldMs = Date.now();
  await owner.query(
    `select pg_notify(application_name, $1) from pg_stat_activity where application_name like 'deposit_api_listen_%' and datname = current_database()`,
    [id],
  );
  const handle = engine.client.workflow.getHandle(depositWorkflowId(data.externalOrderNumber));
  return until('the signal', async () => {
    const { events } = await handle.fetchHistory();
    const at = events?.find((event) => event.workflowExecutionSignaledEventAttributes)?.eventTime;
    return at && Number(at.seconds) * 1_000 + at.nanos! / 1e6 - toldMs;
  });
}

test('a signal gives way to a burst of callbacks at the same API, for a second', async () => {
  const arriving = await payments(CALLBACKS);
  const told = await Promise.all(
    (await payments(TRIES)).map(async (data) => ({ data, id: (await insertBound(owner, data)).id })),
  );
  const set = (timeout: string) =>
    owner.query(`alter function engine.receive_firsts(jsonb) set lock_timeout = '${timeout}'`);
  await set('1h');
  onTestFinished(async () => void (await set('500ms')));
  const answers: Promise<unknown>[] = [];
  const waits: number[] = [];
  await inTransaction(owner, async (client) => {
    await client.query('lock table engine.callback in share mode');
    for (const payment of told) {
      for (const data of arriving)
        answers.push(engine.callback(callbackAddress(engine, data.externalOrderNumber), callbackBody(engine, data)));
      await until('them to wait for the database', async () => {
        const { rowCount } = await owner.query(
          `select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`,
        );
        return rowCount! > 0;
      });
      waits.push(await gaveWayMs(payment));
      if (waits.at(-1)! >= GIVES_WAY_MS - ROUNDING_MS) break;
    }
  });
  expect(Math.max(...waits)).toBeGreaterThanOrEqual(GIVES_WAY_MS - ROUNDING_MS);
  await Promise.all(answers);
  for (const { data } of told.slice(0, waits.length)) await engine.untilState(data.externalOrderNumber, 'CREDITED');
});

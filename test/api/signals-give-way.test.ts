import { expect, onTestFinished, test, vi } from 'vitest';
import { inTransaction } from '../../database/pool.ts';
import type { UnderWay } from '../../intake/admission-control.ts';
import { depositWorkflowId } from '../../domain/ids.ts';
import { paid } from '../support/builders.ts';
import { startEngine } from '../support/engine.ts';
import { callbackAddress, callbackBody } from '../support/messages/callbacks.ts';
import { insertBound } from '../support/messages/inbox.ts';
import { until } from '../support/until.ts';

/** The API's own count of the callbacks under way, to see when it has a burst. */
const { counts } = vi.hoisted(() => ({ counts: [] as UnderWay[] }));
vi.mock('../../intake/admission-control.ts', async (original) => {
  const genuine = await original<typeof import('../../intake/admission-control.ts')>();
  const countUnderWay = () => {
    const count = genuine.countUnderWay();
    counts.push(count);
    return count;
  };
  return { ...genuine, countUnderWay };
});

const HOUR_MS = 3_600_000;
const engine = await startEngine({ relay: { everyMs: 250, freshMs: HOUR_MS, againMs: HOUR_MS, unstartedMs: HOUR_MS } });
const { owner } = engine.db;
const GIVES_WAY_MS = 1_000;
/** Between two clocks. */
const ROUNDING_MS = 20;

const placed = async () => paid((await engine.create()).body);
async function signaledAt(externalOrderNumber: string): Promise<number | null> {
  const { events } = await engine.client.workflow.getHandle(depositWorkflowId(externalOrderNumber)).fetchHistory();
  const signal = events?.find((event) => event.workflowExecutionSignaledEventAttributes);
  return signal === undefined ? null : Number(signal.eventTime!.seconds) * 1_000 + signal.eventTime!.nanos! / 1e6;
}

test('a signal gives way to a burst of callbacks at the same API, for a second', async () => {
  const payments = await Promise.all(Array.from({ length: 12 }, placed));
  const told = await placed();
  const { id } = await insertBound(owner, told);
  const set = (timeout: string) =>
    owner.query(`alter function engine.receive_firsts(jsonb) set lock_timeout = '${timeout}'`);
  await set('1h');
  onTestFinished(async () => void (await set('500ms')));
  let answers: Promise<Awaited<ReturnType<typeof engine.callback>>[]>;
  await inTransaction(owner, async (client) => {
    await client.query('lock table engine.callback in share mode');
    answers = Promise.all(
      payments.map((data) =>
        engine.callback(callbackAddress(engine, data.externalOrderNumber), callbackBody(engine, data)),
      ),
    );
    await until('a burst', async () => counts.some((count) => count.count() === payments.length));
    const toldMs = Date.now();
    await owner.query(
      `select pg_notify(application_name, $1) from pg_stat_activity where application_name like 'deposit_api_listen_%' and datname = current_database()`,
      [id],
    );
    const atMs = await until('the signal', () => signaledAt(told.externalOrderNumber));
    expect(atMs - toldMs).toBeGreaterThanOrEqual(GIVES_WAY_MS - ROUNDING_MS);
  });
  await answers!;
  await engine.untilState(told.externalOrderNumber, 'CREDITED');
});

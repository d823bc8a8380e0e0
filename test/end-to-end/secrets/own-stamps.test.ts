import { afterEach, describe, expect, test } from 'vitest';
import { attempts, memoryLog, seenByProvider } from '../../api/evidence.ts';
import { withWorker } from '../../api/parts.ts';
import { isOnGrid } from '../../../providers/own-stamps.ts';
import { startEngine } from '../../support/engine.ts';
import { until } from '../../support/until.ts';

/** The widest step allowed: orders of one minute share a stamp, however slow the machine is. */
const MINUTE = 60_000;
const engine = await startEngine({ worker: false });
const grid = { OWN_STAMP_GRID: '60s' };

const usedStamps = (value: string | null) => engine.control('PUT', '/settings', { usedStamps: value });
afterEach(() => usedStamps(null));

async function create(): Promise<string> {
  const body = engine.body();
  const answer = await engine.call('POST', '/v1/deposits', body);
  expect(answer).toMatchObject({ status: 201, body: { state: 'AWAITING_PAYMENT' } });
  return String(body['externalOrderNumber']);
}

/** The stamp under which the provider has made the order. */
async function stampOf(externalOrderNumber: string): Promise<number> {
  const { rows } = await engine.db.owner.query<{ stamp: string }>(
    'select placed_stamp as stamp from sandbox.buy_order where external_order_number = $1',
    [externalOrderNumber],
  );
  expect(rows).toHaveLength(1);
  return Number(rows[0]!.stamp);
}

async function expectCredited(externalOrderNumber: string): Promise<void> {
  await engine.pay(externalOrderNumber);
  expect(await engine.untilState(externalOrderNumber, 'CREDITED')).toMatchObject({ creditedAmount: '5000' });
}

test('orders of one minute share a stamp, each is placed by one call, and a payment is credited', async () => {
  await withWorker(engine, { env: grid }, async () => {
    const numbers = await Promise.all(Array.from({ length: 10 }, create));
    const stamps = await Promise.all(numbers.map(stampOf));
    // One more where the minute turned meanwhile.
    expect(new Set(stamps).size).toBeLessThanOrEqual(2);
    expect(stamps.filter((stamp) => !isOnGrid(stamp, MINUTE))).toEqual([]);
    for (const number of numbers) {
      expect(await seenByProvider(engine, number)).toEqual({ placements: 1, orders: 1 });
    }
    await expectCredited(numbers[0]!);
  });
});

describe('a provider that refuses a stamp used before', () => {
  test.each(['SIGNATURE_ERROR', 'TIMESTAMP_ERROR'])(
    'with %s gets the order once more under a free millisecond: one order, one alarm, and one call from then on',
    async (statusCode) => {
      await usedStamps(statusCode);
      const { log, lines } = memoryLog();
      const left = () => lines.filter((line) => line.includes('"alarm":"stamp_grid_refused"'));
      await withWorker(engine, { env: grid, log }, async () => {
        // The first order of a minute has a stamp of its own, and the second one the same.
        const fallen = await until('an order that was refused for its stamp', async () => {
          const number = await create();
          const [first] = await attempts(engine, number);
          return first!.answer['gridRefused'] === true && number;
        });
        expect(await attempts(engine, fallen)).toMatchObject([
          { n: 1, outcome: 'not_sent', answer: { cause: statusCode, gridRefused: true } },
          { n: 2, outcome: 'placed' },
        ]);
        expect(await seenByProvider(engine, fallen)).toEqual({ placements: 2, orders: 1 });
        expect(isOnGrid(await stampOf(fallen), MINUTE)).toBe(false);
        await until('the alarm', async () => left().length > 0);
        expect(JSON.parse(left()[0]!)).toMatchObject({ deposit: fallen });

        const next = await create();
        expect(await attempts(engine, next)).toMatchObject([{ n: 1, outcome: 'placed' }]);
        expect(await seenByProvider(engine, next)).toEqual({ placements: 1, orders: 1 });
        expect(isOnGrid(await stampOf(next), MINUTE)).toBe(false);
        expect(left()).toHaveLength(1);
        for (const number of [fallen, next]) await expectCredited(number);
      });
    },
  );
});

test('the books are whole', () => engine.auditLedger());

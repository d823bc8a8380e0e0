import type pg from 'pg';
import { expect, onTestFinished, test, vi } from 'vitest';
import { watchClock } from '../../database/clock-watch.ts';
import { memoryLog, raised } from '../api/evidence.ts';
import { createTestDatabase } from '../support/database.ts';
import { until } from '../support/until.ts';

const db = await createTestDatabase();

/** The log of a process whose own clock is ahead by this much, after three checks. */
async function saidWhenAhead(offMs: number) {
  const realMs = Date.now;
  vi.spyOn(Date, 'now').mockImplementation(() => realMs() + offMs);
  const pool = db.poolFor('app_api');
  const asked = vi.spyOn(pool, 'query');
  const { log, lines } = memoryLog();
  const stop = watchClock(pool, log, 20);
  onTestFinished(() => {
    stop();
    vi.restoreAllMocks();
  });
  await until('three looks', async () => asked.mock.settledResults.length > 2);
  stop();
  await Promise.all(asked.mock.results.map(({ value }) => value as Promise<unknown>));
  return raised(log, lines);
}

test.each([-3 * 86_400_000, -20 * 60_000, -3 * 60_000, 3 * 60_000, 20 * 60_000, 3 * 86_400_000])(
  'a process whose clock is %i ms ahead of the database says so by how much, in one line and a count',
  async (offMs) => {
    const said = await saidWhenAhead(offMs);
    expect(said.map(({ alarm }) => alarm)).toEqual(['clock_off', 'clock_off']);
    expect(said[1]!.times).toBeGreaterThan(0);
    for (const line of said) expect(Math.abs(Number(line['aheadMs']) - offMs)).toBeLessThan(4_000);
  },
);

test.each([-3_000, 0, 3_000])('%i ms are nothing to speak of', async (offMs) => {
  expect(await saidWhenAhead(offMs)).toEqual([]);
});

test('while the database is away nothing is said and nothing breaks', async () => {
  let looks = 0;
  const query = () => {
    looks += 1;
    return Promise.reject(new Error('away'));
  };
  const { log, lines } = memoryLog();
  const stop = watchClock({ query } as unknown as pg.Pool, log, 20);
  onTestFinished(stop);
  await until('three looks', async () => looks > 2);
  expect(lines).toEqual([]);
});

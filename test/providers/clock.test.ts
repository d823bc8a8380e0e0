import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import { beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import { createProviderClock } from '../../providers/clock.ts';
import { createTestDatabase } from '../support/database.ts';

const db = await createTestDatabase();
const worker = db.poolFor('app_worker');
const MINUTE = 60_000;
const monotonicMs = performance.now.bind(performance);
/** Our monotonic clock so much later. */
const passed = (ms: number) => () => monotonicMs() + ms;

beforeEach(async () => {
  await db.owner.query('delete from engine.provider_clock');
});

/** How far a clock is ahead of ours, to the nearest second. */
async function aheadSeconds(clock = createProviderClock(worker)) {
  return Math.round(((await clock.read()).nowMs - Date.now()) / 1_000) || 0;
}
const learn = (aheadMs: number, clock = createProviderClock(worker)) => {
  const sentAt = performance.now();
  return clock.learn(Date.now() + 50 + aheadMs, sentAt, sentAt + 100);
};
/** The learned skew, to the nearest second. */
const writtenSeconds = async () => Math.round(Number((await written())[0]!.skew_ms) / 1_000) || 0;
const written = async () => (await db.owner.query('select skew_ms from engine.provider_clock')).rows;

describe("the provider's clock", () => {
  it('is ours until something was learned', async () => {
    expect(await aheadSeconds()).toBe(0);
    expect(await written()).toEqual([]);
  });

  it.each([3 * MINUTE, -3 * MINUTE, 9.9 * MINUTE, -9.9 * MINUTE])(
    'is learned from one answer, by every process: %i ms ahead',
    async (aheadMs) => {
      const clock = createProviderClock(worker);
      expect(await learn(aheadMs, clock)).toBe(true);
      expect(await aheadSeconds(clock)).toBe(aheadMs / 1_000);
      expect(await aheadSeconds(createProviderClock(db.poolFor('app_api')))).toBe(aheadMs / 1_000);
    },
  );

  it.each([10.1 * MINUTE, -10.1 * MINUTE, 2 ** 40])(
    'is not believed when it is too far off, and what was known stays: %i ms ahead',
    async (aheadMs) => {
      await learn(2 * MINUTE);
      const clock = createProviderClock(worker);
      expect(await learn(aheadMs, clock)).toBe(false);
      expect(await aheadSeconds(clock)).toBe(120);
      expect(await writtenSeconds()).toBe(120);
    },
  );

  it('is known within half of what the first answer took, and a slow answer later spoils nothing', async () => {
    const databaseMs = () => 1_000_000 + performance.now();
    let slowMs = 300;
    const slow = {
      query: async () => {
        const answer = { rows: [{ database_ms: `${databaseMs()}`, skew_ms: '60000' }] };
        await sleep(slowMs);
        return answer;
      },
    } as unknown as pg.Pool;
    const clock = createProviderClock(slow);
    const offMs = async () => Math.abs((await clock.read()).nowMs - 60_000 - databaseMs());
    expect(await offMs()).toBeLessThan(200);
    const monotonic = vi.spyOn(performance, 'now').mockImplementation(passed(6_000));
    onTestFinished(() => void vi.restoreAllMocks());
    slowMs = 0;
    expect(await offMs()).toBeLessThan(100);
    monotonic.mockImplementation(passed(12_000));
    slowMs = 1_000;
    expect(await offMs()).toBeLessThan(100);
  });

  it.each([-3 * 24 * 60 * MINUTE, -20 * MINUTE, 20 * MINUTE, 3 * 24 * 60 * MINUTE])(
    'is told by the database, whatever our own clock says: ours %i ms ahead',
    async (offMs) => {
      const realMs = Date.now;
      vi.spyOn(Date, 'now').mockImplementation(() => realMs() + offMs);
      onTestFinished(() => void vi.restoreAllMocks());
      const clock = createProviderClock(worker);
      expect(Math.abs((await clock.read()).nowMs - realMs())).toBeLessThan(2_000);
      const sentAt = performance.now();
      expect(await clock.learn(realMs() + 2 * MINUTE, sentAt, sentAt)).toBe(true);
      expect(Math.abs((await clock.read()).skewMs - 2 * MINUTE)).toBeLessThan(2_000);
    },
  );

  it('is not written for the noise of the network, but is corrected when it was wrong', async () => {
    await learn(400);
    expect(await written()).toEqual([]);
    await learn(2 * MINUTE);
    await learn(2 * MINUTE + 400);
    expect(await writtenSeconds()).toBe(120);
    await learn(0);
    expect(await writtenSeconds()).toBe(0);
  });
});

describe('by arithmetic', () => {
  const DATABASE_MS = 1_000_000;
  /**
   * A database that reads its clock when it responds, and that counts its queries; and our clock, which stops in
   * between.
   */
  function still(skewMs = 0) {
    const asked: string[] = [];
    const written: unknown[] = [];
    let nowMs = 0;
    vi.spyOn(performance, 'now').mockImplementation(() => nowMs);
    onTestFinished(() => void vi.restoreAllMocks());
    const pool = {
      query: async (sql: string, values?: readonly unknown[]) => {
        if (values === undefined) asked.push(sql);
        else written.push(values[0]);
        return { rows: [{ database_ms: `${DATABASE_MS + nowMs}`, skew_ms: `${skewMs}` }] };
      },
    } as unknown as pg.Pool;
    const goTo = (ms: number) => {
      nowMs = ms;
    };
    return { clock: createProviderClock(pool), asked, written, goTo };
  }

  it('the database is asked again when more than five seconds have gone by', async () => {
    const { clock, asked, goTo } = still(7);
    expect(await clock.read()).toEqual({ nowMs: DATABASE_MS + 7, skewMs: 7 });
    goTo(5_000);
    expect(await clock.read()).toEqual({ nowMs: DATABASE_MS + 5_007, skewMs: 7 });
    expect(asked).toHaveLength(1);
    goTo(5_001);
    await clock.read();
    expect(asked).toHaveLength(2);
  });

  it.each([
    [600_000, true, [600_000]],
    [600_001, false, []],
    [-600_000, true, [-600_000]],
    [-600_001, false, []],
  ])('a skew of ten minutes is the most that is believed: %i ms', async (aheadMs, isBelieved, kept) => {
    const { clock, written } = still();
    expect(await clock.learn(DATABASE_MS + aheadMs + 50, 0, 100)).toBe(isBelieved);
    expect(written).toEqual(kept);
  });

  it.each([
    [60_499, []],
    [60_500, [60_500]],
    [59_501, []],
    [59_500, [59_500]],
  ])('a change of half a second is the least that is written: from 60,000 to %i ms', async (aheadMs, kept) => {
    const { clock, written } = still(60_000);
    expect(await clock.learn(DATABASE_MS + aheadMs, 0, 0)).toBe(true);
    expect(written).toEqual(kept);
    expect((await clock.read()).skewMs).toBe(kept[0] ?? 60_000);
  });

  it.each([0, 300])(
    'the first answer took 300 ms, and the database looked at its clock after %i of them',
    async (afterMs) => {
      let nowMs = 0;
      vi.spyOn(performance, 'now').mockImplementation(() => nowMs);
      onTestFinished(() => void vi.restoreAllMocks());
      const query = async () => {
        const rows = [{ database_ms: `${DATABASE_MS + afterMs}`, skew_ms: null }];
        nowMs = 300;
        return { rows };
      };
      const { nowMs: told } = await createProviderClock({ query } as unknown as pg.Pool).read();
      expect(told).toBe(DATABASE_MS + 150 + afterMs);
    },
  );
});

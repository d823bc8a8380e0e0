import type pg from 'pg';
import { beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import { createProviderClock } from '../../mtpay/clock.ts';
import { createTestDatabase } from '../support/database.ts';

const db = await createTestDatabase();
const worker = db.poolFor('app_worker');
const MINUTE = 60_000;

beforeEach(async () => {
  await db.owner.query('delete from engine.provider_clock');
});

/** How far a clock is ahead of ours, to the nearest second. */
async function aheadSeconds(clock = createProviderClock(worker)) {
  return Math.round(((await clock.now()) - Date.now()) / 1_000) || 0;
}
const learn = (aheadMs: number, clock = createProviderClock(worker)) => {
  const sentMs = Date.now();
  return clock.learn(sentMs + 50 + aheadMs, sentMs, sentMs + 100);
};
const written = async () => (await db.owner.query('select skew_ms from engine.provider_clock')).rows;

describe("the provider's clock", () => {
  it('is ours until something was learned', async () => {
    expect(await aheadSeconds()).toBe(0);
    expect(await written()).toEqual([]);
  });

  it.each([3 * MINUTE, -3 * MINUTE, 10 * MINUTE, -10 * MINUTE])(
    'is learned from one answer, by every process: %i ms ahead',
    async (aheadMs) => {
      const clock = createProviderClock(worker);
      expect(await learn(aheadMs, clock)).toBe(true);
      expect(await aheadSeconds(clock)).toBe(aheadMs / 1_000);
      expect(await aheadSeconds(createProviderClock(db.poolFor('app_api')))).toBe(aheadMs / 1_000);
    },
  );

  it.each([10 * MINUTE + 1, -10 * MINUTE - 1, 2 ** 40])(
    'is not believed when it is too far off, and what was known stays: %i ms ahead',
    async (aheadMs) => {
      await learn(2 * MINUTE);
      const clock = createProviderClock(worker);
      expect(await learn(aheadMs, clock)).toBe(false);
      expect(await aheadSeconds(clock)).toBe(120);
      expect(await written()).toEqual([{ skew_ms: `${2 * MINUTE}` }]);
    },
  );

  it('is read off after the database has answered, however long that took', async () => {
    vi.useFakeTimers({ toFake: ['Date'], now: 1_000_000 });
    onTestFinished(() => void vi.useRealTimers());
    const slow = {
      query: async () => {
        vi.setSystemTime(1_007_000);
        return Promise.resolve({ rows: [{ skew_ms: '60000' }] });
      },
    } as unknown as pg.Pool;
    expect(await createProviderClock(slow).now()).toBe(1_067_000);
  });

  it('is not written for the noise of the network, but is corrected when it was wrong', async () => {
    await learn(499);
    expect(await written()).toEqual([]);
    await learn(2 * MINUTE);
    await learn(2 * MINUTE + 499);
    expect(await written()).toEqual([{ skew_ms: `${2 * MINUTE}` }]);
    await learn(0);
    expect(await written()).toEqual([{ skew_ms: '0' }]);
  });
});

import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { createTurn, type Step } from '../../api/turns.ts';
import { memoryLog } from './evidence.ts';

/** The turns of the relay, without a database: which rows are served when, and what is told of those that fail. */
beforeEach(() => void vi.useFakeTimers({ toFake: ['performance'] }));
afterEach(() => void vi.useRealTimers());

const BAD = (row: number) => row <= 101;
const failing = (error: Error) => (row: number) => {
  if (BAD(row)) throw error;
};
const away = () => Object.assign(new Error('connection refused'), { code: 'ECONNREFUSED' });

/** Rows 1 to `count`; what was tried, in order, and what was told. */
function turns(count: number, work: (row: number) => boolean | void, change: Partial<Step<number>> = {}) {
  const memory = memoryLog();
  const tried: number[] = [];
  const health: unknown[] = [];
  const rows = Array.from({ length: count }, (_, i) => i + 1);
  const sweep = createTurn(
    {
      name: 'numbers',
      page: async (after, limit) => {
        const page = rows.filter((row) => row > Number(after?.[0] ?? 0)).slice(0, limit);
        return { rows: page, end: page.length < limit ? null : [String(page.at(-1))] };
      },
      idOf: String,
      work: async (row) => {
        tried.push(row);
        return work(row);
      },
      ...change,
    },
    { log: memory.log, everyMs: 1_000, pages: 10, concurrency: 8, health: (error) => health.push(error) },
  );
  const next = async () => {
    tried.length = 0;
    const more = await sweep(new AbortController().signal);
    return { more, tried: tried.toSorted((a, b) => a - b) };
  };
  return { next, health, told: () => memory.fields('relay_row_failed') };
}

describe('a turn', () => {
  test('goes on past a hundred and one rows that fail, and comes back to them ever more seldom', async () => {
    const { next, told } = turns(103, failing(new TypeError('a defect')));
    expect((await next()).tried).toHaveLength(103);
    // They rest, and the others do not.
    for (const restMs of [1_000, 2_000, 4_000, 8_000, 16_000]) {
      vi.advanceTimersByTime(restMs - 1);
      expect((await next()).tried).toEqual([102, 103]);
      vi.advanceTimersByTime(1);
      expect((await next()).tried).toHaveLength(103);
    }
    // Each is told of once.
    expect(told().reduce((sum, { times }) => sum + Number(times), 0)).toBe(101);
    expect(told().at(-1)!['about']).toMatchObject({ 101: 1 });
    expect(told()[0]).toMatchObject({ step: 'numbers', row: '1', error: 'TypeError' });
    for (let hours = 0; hours < 12; hours += 1) {
      vi.advanceTimersByTime(3_600_000);
      expect((await next()).tried).toHaveLength(103);
    }
  });

  test('begins where the one before ended', async () => {
    const { next } = turns(1_050, () => undefined);
    const first = await next();
    expect(first).toMatchObject({ more: true });
    expect(first.tried).toHaveLength(1_000);
    expect(await next()).toEqual({ more: false, tried: Array.from({ length: 50 }, (_, i) => 1_001 + i) });
    expect((await next()).tried[0]).toBe(1);
  });

  test('leaves a row alone for ever longer that was served and stays; one with nothing to do is looked at each time', async () => {
    const { next } = turns(2, (row) => row === 1, { againMs: 60_000 });
    expect((await next()).tried).toEqual([1, 2]);
    for (const restMs of [60_000, 120_000, 240_000]) {
      vi.advanceTimersByTime(restMs - 1);
      expect((await next()).tried).toEqual([2]);
      vi.advanceTimersByTime(1);
      expect((await next()).tried).toEqual([1, 2]);
    }
  });

  test('tells of an outage and not of its rows, and tries each again within 15 s', async () => {
    let isAway = true;
    const { next, health, told } = turns(101, () => {
      if (isAway) throw away();
    });
    expect((await next()).tried).toHaveLength(101);
    for (let i = 1; i < 12; i += 1) {
      vi.advanceTimersByTime(15_000);
      // Eight of the page of a hundred, and the one of the next.
      expect((await next()).tried).toHaveLength(9);
    }
    vi.advanceTimersByTime(15_000);
    expect(told()).toEqual([]);
    expect(health).toHaveLength(24);
    expect(health.every((error) => error instanceof Error)).toBe(true);
    isAway = false;
    expect((await next()).tried).toHaveLength(101);
    expect(health.at(-1)).toBeNull();
  });

  test('spends one deadline on a page of rows that hang, each of which has its turn; what comes behind them is served', async () => {
    const { next } = turns(101, (row) => {
      if (row <= 100) throw away();
    });
    expect((await next()).tried).toHaveLength(101);
    const tried = new Set<number>();
    for (let i = 0; i < 40; i += 1) {
      vi.advanceTimersByTime(1_000);
      const sweep = (await next()).tried;
      expect(sweep.at(-1)).toBe(101);
      expect(sweep.length).toBeLessThanOrEqual(9);
      for (const row of sweep) tried.add(row);
    }
    expect(tried.size).toBe(101);
  });

  test('that cannot read a page fails, and the next one works', async () => {
    let isAway = true;
    const page = async () => {
      if (isAway) throw away();
      return { rows: [7], end: null };
    };
    const { next } = turns(0, () => undefined, { page });
    await expect(next()).rejects.toThrow('connection refused');
    isAway = false;
    expect((await next()).tried).toEqual([7]);
  });
});

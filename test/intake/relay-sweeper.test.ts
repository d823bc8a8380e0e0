import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { NamespaceNotFoundError } from '@temporalio/client';
import { createSweeper, MAX_LEFT_BEHIND, type RelayStep, type SweeperOptions } from '../../intake/relay/sweeper.ts';
import { memoryLog } from '../api/evidence.ts';

/** The sweeps of the relay, without a database: the time of each row, and the reports of failing ones. */
beforeEach(() => void vi.useFakeTimers({ toFake: ['performance', 'setTimeout', 'clearTimeout'] }));
afterEach(() => void vi.useRealTimers());

const BAD = (row: number) => row <= 101;
const failing = (error: Error) => (row: number) => {
  if (BAD(row)) throw error;
};
const refused = (code: number) => Object.assign(new Error('refused'), { code, details: '', metadata: {} });
const away = () => Object.assign(new Error('connection refused'), { code: 'ECONNREFUSED' });

/** Rows 1 to `count`; the attempts, in order, and the reports. */
function sweeps(
  count: number,
  work: (row: number) => boolean | void | Promise<void>,
  change: Partial<RelayStep<number> & SweeperOptions> = {},
) {
  const memory = memoryLog();
  const tried: number[] = [];
  const health: unknown[] = [];
  const rows = Array.from({ length: count }, (_, i) => i + 1);
  const sweeper = createSweeper(
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
    { log: memory.log, everyMs: 1_000, pages: 10, concurrency: 8, health: (error) => health.push(error), ...change },
  );
  const next = async () => {
    tried.length = 0;
    const more = await sweeper.sweep(new AbortController().signal);
    return { more, tried: tried.toSorted((a, b) => a - b) };
  };
  return { next, sweeper, tried, health, told: () => memory.fields('relay_row_failed') };
}

describe('a sweep', () => {
  test('goes on past a hundred and one rows that fail, and comes back to them ever more seldom', async () => {
    const { next, told } = sweeps(103, failing(new TypeError('a defect')));
    expect((await next()).tried).toHaveLength(103);
    // They back off, and the others do not.
    for (const restMs of [1_000, 2_000, 4_000, 8_000, 16_000]) {
      vi.advanceTimersByTime(restMs - 1);
      expect((await next()).tried).toEqual([102, 103]);
      vi.advanceTimersByTime(1);
      expect((await next()).tried).toHaveLength(103);
    }
    // Each is reported once.
    expect(told().reduce((sum, { times }) => sum + Number(times), 0)).toBe(101);
    expect(told().at(-1)!['about']).toMatchObject({ 101: 1 });
    expect(told()[0]).toMatchObject({ step: 'numbers', row: '1', error: 'TypeError' });
    for (let hours = 0; hours < 12; hours += 1) {
      vi.advanceTimersByTime(3_600_000);
      expect((await next()).tried).toHaveLength(103);
    }
  });

  test('begins where the one before ended', async () => {
    const { next } = sweeps(1_050, () => undefined);
    const first = await next();
    expect(first).toMatchObject({ more: true });
    expect(first.tried).toHaveLength(1_000);
    expect(await next()).toEqual({ more: false, tried: Array.from({ length: 50 }, (_, i) => 1_001 + i) });
    expect((await next()).tried[0]).toBe(1);
  });

  test('leaves a row alone for ever longer that was served and stays; one with nothing to do is looked at each time', async () => {
    const { next } = sweeps(2, (row) => row === 1, { againMs: 60_000 });
    expect((await next()).tried).toEqual([1, 2]);
    for (const restMs of [60_000, 120_000, 240_000]) {
      vi.advanceTimersByTime(restMs - 1);
      expect((await next()).tried).toEqual([2]);
      vi.advanceTimersByTime(1);
      expect((await next()).tried).toEqual([1, 2]);
    }
  });

  test.each<[string, Error]>([
    ['a database that is away', away()],
    ['a namespace that is not there', new NamespaceNotFoundError('default')],
    ['a login that Temporal refuses', refused(16)],
    ['a namespace that it is not shown', refused(7)],
  ])('tells of an outage and not of its rows, and tries each again within 15 s: %s', async (_, error) => {
    let isAway = true;
    const { next, health, told } = sweeps(101, () => {
      if (isAway) throw error;
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
    const { next } = sweeps(101, (row) => {
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
    const { next } = sweeps(0, () => undefined, { page });
    await expect(next()).rejects.toThrow('connection refused');
    isAway = false;
    expect((await next()).tried).toEqual([7]);
  });
});

/** Work that never returns fails by its deadline. */
const DEADLINE_MS = 5_000;
const hanging = () =>
  new Promise<void>((_, reject) => {
    setTimeout(() => reject(away()), DEADLINE_MS);
  });
const slow = (ms: number) =>
  new Promise<void>((resolve) => {
    setTimeout(resolve, ms);
  });

/** Sweeps a second apart, as the relay does; resolves with the time until `isEnough`, in deadlines. */
async function deadlinesUntil({ sweeper }: ReturnType<typeof sweeps>, isEnough: () => boolean): Promise<number> {
  const startedMs = performance.now();
  const stop = new AbortController();
  const looping = (async () => {
    while (!stop.signal.aborted) if (!(await sweeper.sweep(stop.signal))) await slow(1_000);
    await sweeper.drain();
  })();
  while (!isEnough() && performance.now() - startedMs < 1_000_000) await vi.advanceTimersByTimeAsync(50);
  const tookMs = performance.now() - startedMs;
  stop.abort();
  await vi.advanceTimersByTimeAsync(2 * DEADLINE_MS);
  await looping;
  return tookMs / DEADLINE_MS;
}

/** Counts the concurrent calls, of all and of one row. */
function counted(work: (row: number) => Promise<void>) {
  const now = new Map<number, number>();
  const most = { all: 0, one: 0 };
  let served = 0;
  return {
    most,
    served: () => served,
    now: () => now.size,
    work: async (row: number) => {
      now.set(row, (now.get(row) ?? 0) + 1);
      most.all = Math.max(most.all, now.size);
      most.one = Math.max(most.one, now.get(row)!);
      try {
        await work(row);
        served += 1;
      } finally {
        now.delete(row);
      }
    },
  };
}

describe('rows that hang', () => {
  // Eight at a time would be 13 and 125 deadlines.
  test.each([
    [101, 1.5],
    [1_000, 16],
  ])('for the first time, %i of them, hold up what is behind them for %d deadlines at most', async (bad, atMost) => {
    const rows = counted((row) => (row <= bad ? hanging() : Promise.resolve()));
    const run = sweeps(bad + 1, rows.work);
    expect(await deadlinesUntil(run, () => rows.served() > 0)).toBeLessThanOrEqual(atMost);
    expect(rows.most).toEqual({ all: 8 + MAX_LEFT_BEHIND, one: 1 });
    expect(rows.now()).toBe(0);
  });

  test.each([
    [101, 0.4],
    [1_000, 3],
  ])('again, %i of them, hold up what is new behind them for %d deadlines at most', async (bad, atMost) => {
    let isServed = false;
    const run = sweeps(bad + 1, (row) => (row <= bad ? hanging() : void (isServed = true)));
    await deadlinesUntil(run, () => isServed);
    vi.advanceTimersByTime(15_000);
    isServed = false;
    expect(await deadlinesUntil(run, () => isServed)).toBeLessThanOrEqual(atMost);
  });

  test('are told of one by one when something else is answered, and as an outage when nothing is', async () => {
    const alone = sweeps(100, hanging);
    await deadlinesUntil(alone, () => alone.health.length > 40);
    expect(alone.told()).toEqual([]);
    expect(alone.health.filter((error) => error === null)).toEqual([]);
    const beside = sweeps(101, (row) => (row <= 100 ? hanging() : undefined));
    const told = () => beside.told().reduce((sum, { times }) => sum + Number(times ?? 1), 0);
    await deadlinesUntil(beside, () => told() >= 100);
    expect(told()).toBe(100);
    expect(beside.health.at(-1)).toBeNull();
  });

  test('are left behind by the sweep, and waited for by a stop, which begins no other', async () => {
    const rows = counted(hanging);
    const { sweeper, tried } = sweeps(200, rows.work);
    const stop = new AbortController();
    const sweep = sweeper.sweep(stop.signal);
    await vi.advanceTimersByTimeAsync(700);
    stop.abort();
    await vi.advanceTimersByTimeAsync(300);
    await sweep;
    expect({ tried: tried.length, now: rows.now() }).toEqual({ tried: 16, now: 16 });
    const drained = sweeper.drain();
    await vi.advanceTimersByTimeAsync(DEADLINE_MS);
    await drained;
    expect({ tried: tried.length, now: rows.now() }).toEqual({ tried: 16, now: 0 });
  });
});

test.each([
  [1_000, 16, 0.13],
  [4_900, 8 + MAX_LEFT_BEHIND, 0.14],
])('a Temporal that takes %i ms has %i calls of a step at most, each once', async (ms, calls, deadlinesEach) => {
  const rows = counted(() => slow(ms));
  const took = await deadlinesUntil(sweeps(200, rows.work, { againMs: 3_600_000 }), () => rows.served() === 200);
  expect(rows.most.all).toBeLessThanOrEqual(calls);
  expect(rows.most.one).toBe(1);
  expect(rows.served()).toBe(200);
  expect(took / 200).toBeLessThan(deadlinesEach);
});

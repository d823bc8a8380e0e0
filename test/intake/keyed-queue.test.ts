import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { QueueFull, KeyedQueue } from '../../intake/keyed-queue.ts';

/** Work that the test ends; `begun` records each name with the number of requests merged into it. */
function work() {
  const begun: [string, number][] = [];
  const ends: (() => void)[] = [];
  const of = (name: string) => (times: number) => {
    begun.push([name, times]);
    return new Promise<string>((resolve, reject) =>
      ends.push(() => (name.startsWith('bad') ? reject(new Error(name)) : resolve(`${name} done`))),
    );
  };
  const end = async () => {
    ends.shift()!();
    await new Promise((resolve) => setImmediate(resolve));
  };
  return { begun, of, end };
}

const lanes = (maxWaiting = 3, maxWaitMs = 10_000) => new KeyedQueue<string>({ maxWaiting, maxWaitMs });

describe('a lane', () => {
  it('does one thing at a time, in order; equal ones that wait become one, and every asker hears of it', async () => {
    const { begun, of, end } = work();
    const lane = lanes();
    const asked = ['a', 'a', 'b', 'a', 'bad', 'b'].map((name) => lane.run('x', name, of(name)));
    const other = lane.run('y', 'c', of('c'));
    expect(begun).toEqual([
      ['a', 1],
      ['c', 1],
    ]);
    const done = Promise.allSettled([...asked, other]);
    for (let i = 0; i < 5; i += 1) await end();
    expect(begun.slice(2)).toEqual([
      ['a', 2],
      ['b', 2],
      ['bad', 1],
    ]);
    expect((await done).map((one) => (one.status === 'fulfilled' ? one.value : (one.reason as Error).message))).toEqual(
      ['a done', 'a done', 'b done', 'a done', 'bad', 'b done', 'c done'],
    );
    const again = lane.run('x', 'd', of('d'));
    await end();
    expect(await again).toBe('d done');
  });

  it('refuses what is too much at once, and nothing that waits already', async () => {
    const { of, end } = work();
    const lane = lanes();
    const asked = ['a', 'b', 'c', 'd'].map((name) => lane.run('x', name, of(name)));
    await expect(lane.run('x', 'e', of('e'))).rejects.toThrow(QueueFull);
    const joined = lane.run('x', 'd', of('d'));
    for (let i = 0; i < 4; i += 1) await end();
    expect(await Promise.all([...asked, joined])).toHaveLength(5);
  });

  it('gives up what has not begun in time, and goes on with the rest', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    onTestFinished(() => void vi.useRealTimers());
    const { begun, of, end } = work();
    const lane = lanes(3, 1_000);
    const first = lane.run('x', 'a', of('a'));
    const late = [lane.run('x', 'b', of('b')), lane.run('x', 'b', of('b'))].map((one) =>
      one.catch((error: unknown) => error),
    );
    vi.advanceTimersByTime(600);
    const inTime = lane.run('x', 'c', of('c'));
    vi.advanceTimersByTime(600);
    for (const error of await Promise.all(late)) expect(error).toBeInstanceOf(QueueFull);
    await end();
    await end();
    expect([await first, await inTime]).toEqual(['a done', 'c done']);
    expect(begun.map(([name]) => name)).toEqual(['a', 'c']);
  });
});

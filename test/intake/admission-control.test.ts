import { setImmediate as nextLoop } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { countUnderWay, limitPerKey, takeTurns } from '../../intake/admission-control.ts';

/** Work that runs until the test ends it. */
function held() {
  const ends: (() => void)[] = [];
  const begun: string[] = [];
  const work = (name: string) => () => {
    begun.push(name);
    return new Promise<string>((resolve) => ends.push(() => resolve(name)));
  };
  return { begun, work, endOne: () => ends.shift()!() };
}
const settled = async () => {
  for (let i = 0; i < 3; i += 1) await nextLoop();
};

describe('a limit per key', () => {
  test('lets one of a key in, the next when it has ended, in order, and other keys at once', async () => {
    const limit = limitPerKey({ maxWaiting: 5, maxWaitMs: 10_000 });
    const { begun, work, endOne } = held();
    const hot = ['a', 'b', 'c', 'd'].map((name) => limit('hot', work(name)));
    const other = limit('other', work('x'));
    await settled();
    expect(begun).toEqual(['a', 'x']);
    endOne();
    await settled();
    expect(begun).toEqual(['a', 'x', 'b']);
    for (let i = 0; i < 4; i += 1) {
      endOne();
      await settled();
    }
    expect(await Promise.all([...hot, other])).toEqual(['a', 'b', 'c', 'd', 'x']);
  });

  test('turns the rest away at once, with nothing begun, and has room again afterwards', async () => {
    const limit = limitPerKey({ maxWaiting: 1, maxWaitMs: 10_000 });
    const { begun, work, endOne } = held();
    const taken = [limit('hot', work('a')), limit('hot', work('b'))];
    await expect(limit('hot', work('c'))).rejects.toMatchObject({ code: 'unavailable' });
    endOne();
    await settled();
    endOne();
    await Promise.all(taken);
    expect(begun).toEqual(['a', 'b']);
    const again = limit('hot', work('d'));
    await settled();
    endOne();
    expect(await again).toBe('d');
  });

  test('turns away whoever waited for long enough; the place goes to the one behind', async () => {
    const limit = limitPerKey({ maxWaiting: 5, maxWaitMs: 20 });
    const { begun, work, endOne } = held();
    const first = limit('hot', work('a'));
    await expect(limit('hot', work('b'))).rejects.toMatchObject({ code: 'unavailable' });
    const third = limit('hot', work('c'));
    endOne();
    await settled();
    endOne();
    expect(await Promise.all([first, third])).toEqual(['a', 'c']);
    expect(begun).toEqual(['a', 'c']);
  });

  test('gives the place back when work fails', async () => {
    const limit = limitPerKey({ maxWaiting: 0, maxWaitMs: 10 });
    const failed = new Error('on purpose');
    await expect(limit('hot', () => Promise.reject(failed))).rejects.toBe(failed);
    expect(await limit('hot', async () => 'in')).toBe('in');
  });
});

test('turns leave the event loop to others in between, and all get theirs in order', async () => {
  const turn = takeTurns(0);
  const order: number[] = [];
  let rounds = 0;
  const stop = new AbortController();
  const others = (async () => {
    while (!stop.signal.aborted) {
      await nextLoop();
      rounds += 1;
    }
  })();
  await Promise.all([1, 2, 3, 4, 5, 6, 7, 8].map(async (n) => turn().then(() => order.push(n))));
  stop.abort();
  await others;
  expect(order).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
  expect(rounds).toBeGreaterThanOrEqual(7);
});

describe('work under way', () => {
  test('is a burst above eight at once, and none any more when it has ended', async () => {
    const underWay = countUnderWay();
    const { work, endOne } = held();
    const all = Array.from({ length: 8 }, (_, i) => underWay.run(work(`${i}`)));
    expect([underWay.count(), underWay.isBurst()]).toEqual([8, false]);
    const more = underWay.run(work('8'));
    const failing = underWay.run(() => Promise.reject(new Error('refused')));
    expect([underWay.count(), underWay.isBurst()]).toEqual([10, true]);
    await expect(failing).rejects.toThrow('refused');
    for (let i = 0; i < 9; i += 1) endOne();
    await Promise.all([...all, more]);
    expect([underWay.count(), underWay.isBurst()]).toEqual([0, false]);
  });
});

import fc from 'fast-check';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { createBatcher, BatcherFull } from '../../ledger/batcher.ts';

const databaseError = (code: string) => Object.assign(new Error(`SQLSTATE ${code}`), { code });
const numbers = (count: number) => Array.from({ length: count }, (_, i) => i);

/** A database that returns the name of each item, refuses batches with a bad one, and counts its calls. */
function database(isBad: (item: number) => boolean = () => false, code = '23514') {
  const calls: number[][] = [];
  const run = (items: readonly number[]) => {
    calls.push([...items]);
    return items.some(isBad)
      ? Promise.reject(databaseError(code))
      : Promise.resolve(items.map((item) => `answer ${item}`));
  };
  return { calls, run };
}

/** A database whose results the test releases. */
function slowDatabase() {
  const waiting: { readonly items: readonly number[]; answer(): void; fail(code: string): void }[] = [];
  const run = (items: readonly number[]) =>
    new Promise<string[]>((resolve, reject) => {
      waiting.push({
        items,
        answer: () => resolve(items.map((item) => `answer ${item}`)),
        fail: (code) => reject(databaseError(code)),
      });
    });
  return { waiting, run };
}
/** Resolves once all work is done that needs no outside event. */
const settled = () => new Promise((resolve) => void setImmediate(resolve));

describe('a batch', () => {
  it('is of one item and goes at once when nothing is under way', async () => {
    const { calls, run } = database();
    const add = createBatcher(run);
    expect(await add(1)).toBe('answer 1');
    expect(await add(2)).toBe('answer 2');
    expect(calls).toEqual([[1], [2]]);
  });

  it('collects what comes while others are under way, up to its size, in order', async () => {
    const { waiting, run } = slowDatabase();
    const add = createBatcher(run, { max: 3, lanes: 1 });
    const answers = [add(0)];
    await settled();
    answers.push(...numbers(7).map((item) => add(item + 1)));
    await settled();
    expect(waiting.map((call) => call.items)).toEqual([[0]]);
    for (let i = 0; i < 4; i += 1) {
      waiting[i]!.answer();
      await settled();
    }
    expect(waiting.map((call) => call.items)).toEqual([[0], [1, 2, 3], [4, 5, 6], [7]]);
    expect(await Promise.all(answers)).toEqual(numbers(8).map((item) => `answer ${item}`));
  });

  it('is one of as many under way as there are lanes, and no more', async () => {
    const { waiting, run } = slowDatabase();
    const add = createBatcher(run, { max: 2, lanes: 2 });
    const answers = Promise.all(numbers(10).map((item) => add(item)));
    await settled();
    expect(waiting).toHaveLength(2);
    waiting[1]!.answer();
    await settled();
    expect(waiting.map((call) => call.items)).toEqual([
      [0, 1],
      [2, 3],
      [4, 5],
    ]);
    for (let i = 0; i < waiting.length; i += 1) {
      waiting[i]!.answer();
      await settled();
    }
    expect(await answers).toHaveLength(10);
  });
});

describe('a bad item', () => {
  it('among two hundred costs seventeen calls at most, and the other 199 are answered', async () => {
    for (const bad of [0, 99, 137, 199]) {
      const { calls, run } = database((item) => item === bad);
      const add = createBatcher(run);
      const answers = await Promise.allSettled(numbers(200).map((item) => add(item)));
      expect(calls.length).toBeLessThanOrEqual(17);
      expect(calls[0]).toHaveLength(200);
      for (const [item, answer] of answers.entries()) {
        if (item === bad) expect(answer).toMatchObject({ status: 'rejected', reason: { code: '23514' } });
        else expect(answer).toEqual({ status: 'fulfilled', value: `answer ${item}` });
      }
    }
  });

  it.each(['22003', '23505', '23514', '40001', '40P01', 'P0L02', 'P0001'])(
    'or a moment that was bad (%s) takes no other down',
    async (code) => {
      const add = createBatcher(database((item) => item === 3, code).run);
      const answers = await Promise.allSettled(numbers(8).map((item) => add(item)));
      expect(answers.flatMap((answer, item) => (answer.status === 'rejected' ? [item] : []))).toEqual([3]);
    },
  );

  it('is told apart from any others, however many there are and however they are batched', async () => {
    const anyLoad = fc.record({
      bad: fc.uniqueArray(fc.nat(60), { maxLength: 12 }),
      max: fc.integer({ min: 1, max: 70 }),
      lanes: fc.integer({ min: 1, max: 4 }),
    });
    await fc.assert(
      fc.asyncProperty(anyLoad, async ({ bad, max, lanes }) => {
        const { calls, run } = database((item) => bad.includes(item));
        const add = createBatcher(run, { max, lanes });
        const answers = await Promise.allSettled(numbers(61).map((item) => add(item)));
        for (const [item, answer] of answers.entries()) {
          expect(answer.status).toBe(bad.includes(item) ? 'rejected' : 'fulfilled');
          if (answer.status === 'fulfilled') expect(answer.value).toBe(`answer ${item}`);
        }
        expect(Math.max(...calls.map((call) => call.length))).toBeLessThanOrEqual(max);
      }),
    );
  });

  it('that is bad only once is answered when its half is tried again', async () => {
    let failures = 1;
    const add = createBatcher((items: readonly number[]) =>
      failures-- > 0 ? Promise.reject(databaseError('40P01')) : Promise.resolve(items.map((item) => `answer ${item}`)),
    );
    expect(await Promise.all([add(1), add(2)])).toEqual(['answer 1', 'answer 2']);
  });
});

describe('a failure that is no item’s', () => {
  it.each([
    ['connection lost', databaseError('08006')],
    ['lock timeout', databaseError('55P03')],
    ['shut down', databaseError('57P01')],
    ['no permission', databaseError('42501')],
    ['disk full', databaseError('53100')],
    ['corrupted', databaseError('XX001')],
    ['socket', databaseError('ECONNRESET')],
    ['no code', new Error('Connection terminated unexpectedly')],
    ['a defect of ours', new TypeError('oops')],
    ['nothing at all', undefined],
  ])('rejects the whole batch with itself, in one call: %s', async (_, error) => {
    let calls = 0;
    const add = createBatcher(() => {
      calls += 1;
      return Promise.reject(error);
    });
    const answers = await Promise.allSettled(numbers(50).map((item) => add(item)));
    expect(calls).toBe(1);
    expect(new Set(answers.map((answer) => answer.status === 'rejected' && answer.reason))).toEqual(new Set([error]));
  });

  it('does not stop what comes later', async () => {
    const { waiting, run } = slowDatabase();
    const add = createBatcher(run, { lanes: 1 });
    const lost = add(1);
    await settled();
    const later = add(2);
    waiting[0]!.fail('08006');
    await expect(lost).rejects.toMatchObject({ code: '08006' });
    await settled();
    waiting[1]!.answer();
    expect(await later).toBe('answer 2');
  });
});

describe('a full queue', () => {
  it('refuses one more, and those it took are answered', async () => {
    const { waiting, run } = slowDatabase();
    const add = createBatcher(run, { max: 1, lanes: 1, queueMax: 3 });
    const underWay = add(0);
    await settled();
    const queued = [1, 2, 3].map((item) => add(item));
    await expect(add(4)).rejects.toThrow(new BatcherFull('3 are waiting already'));
    for (let i = 0; i < 4; i += 1) {
      waiting[i]!.answer();
      await settled();
    }
    expect(await Promise.all([underWay, ...queued])).toEqual(numbers(4).map((item) => `answer ${item}`));
    expect(waiting).toHaveLength(4);
    const again = add(5);
    await settled();
    waiting[4]!.answer();
    expect(await again).toBe('answer 5');
  });
});

describe('an item that waits too long', () => {
  it('is given up, was not sent, and the others are answered', async () => {
    vi.useFakeTimers();
    onTestFinished(() => void vi.useRealTimers());
    const { waiting, run } = slowDatabase();
    const add = createBatcher(run, { lanes: 1, maxWaitMs: 100 });
    const sent = add(0);
    await vi.advanceTimersByTimeAsync(0);
    const first = add(1);
    await vi.advanceTimersByTimeAsync(60);
    const second = add(2);
    const given = expect(first).rejects.toThrow(new BatcherFull('waited too long'));
    await vi.advanceTimersByTimeAsync(60);
    await given;
    waiting[0]!.answer();
    await vi.advanceTimersByTimeAsync(0);
    // Sent ones are waited for.
    await vi.advanceTimersByTimeAsync(1_000);
    waiting[1]!.answer();
    expect(await Promise.all([sent, second])).toEqual(['answer 0', 'answer 2']);
    expect(waiting.map(({ items }) => items)).toEqual([[0], [2]]);
  });
});

describe('a drain', () => {
  it('ends at once when nothing is under way', async () => {
    await createBatcher(database().run).drain();
  });

  it('ends when everything accepted has been answered, the queue and the halves included', async () => {
    const { waiting, run } = slowDatabase();
    const add = createBatcher(run, { max: 2, lanes: 1 });
    const open = new Set<number>();
    const answers = numbers(4).map(async (item) => {
      open.add(item);
      await add(item).catch(() => undefined);
      open.delete(item);
    });
    let drained = false;
    const drain = add.drain().then(() => {
      drained = true;
      return [...open];
    });
    await settled();
    waiting[0]!.fail('23514');
    for (let i = 1; i < 4; i += 1) {
      await settled();
      expect(drained).toBe(false);
      waiting[i]!.answer();
    }
    expect(await drain).toEqual([]);
    await Promise.all(answers);
    expect(waiting.map((call) => call.items)).toEqual([[0, 1], [0], [1], [2, 3]]);
  });
});

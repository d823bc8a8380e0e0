import { setImmediate } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { createDepositWaiter } from '../../api/routes/deposit-waiter.ts';
import { startEngine } from '../support/engine.ts';
import { until } from '../support/until.ts';
import { expectRefusal } from './evidence.ts';
import { withApi } from './parts.ts';

const engine = await startEngine();
const LONG_MS = 20_000;

/** The answer, and whether it came before the end of the wait. */
async function read(n: string, query: string) {
  const startedMs = performance.now();
  const answer = await engine.call('GET', `/v1/deposits/${n}${query}`);
  return { answer, isEarly: performance.now() - startedMs < LONG_MS };
}

describe('a request for a deposit that waits', () => {
  test('is answered as soon as the deposit has another state', async () => {
    const { externalOrderNumber: n } = await engine.place();
    const waits = read(n, '?wait=30&state=AWAITING_PAYMENT');
    await engine.pay(n);
    const { answer, isEarly } = await waits;
    expect([answer.status, isEarly]).toEqual([200, true]);
    expect(answer.body.state).not.toBe('AWAITING_PAYMENT');
    await engine.untilState(n, 'CREDITED');
  });

  test('is answered at once when the state is final, or is another than the caller knows', async () => {
    const { externalOrderNumber: n } = await engine.place();
    const known = await read(n, '?wait=30&state=PLACING');
    expect([known.answer.body.state, known.isEarly]).toEqual(['AWAITING_PAYMENT', true]);
    await engine.pay(n);
    await engine.untilState(n, 'CREDITED');
    const over = await read(n, '?wait=30&state=CREDITED');
    expect([over.answer.body.final, over.isEarly]).toEqual([true, true]);
  });

  test('is answered with what there is when its time is over', async () => {
    const { externalOrderNumber: n } = await engine.place();
    const startedMs = performance.now();
    const { answer } = await read(n, '?wait=1');
    expect(performance.now() - startedMs).toBeGreaterThanOrEqual(990);
    expect(answer.body.state).toBe('AWAITING_PAYMENT');
  });

  test('is refused for a time that is none, and 404 for no deposit at once', async () => {
    for (const wait of ['0', '31', '1.5', '-1', 'x', ''])
      expectRefusal((await read('nobody', `?wait=${wait}`)).answer, 400, 'invalid_request');
    const { answer, isEarly } = await read('nobody', '?wait=30');
    expectRefusal(answer, 404, 'not_found');
    expect(isEarly).toBe(true);
  });

  test('holds no connection of the database, and does not keep the process from stopping', async () => {
    const { externalOrderNumber: n } = await engine.place();
    await withApi(engine, { env: { DATABASE_CONNECTIONS: '3' } }, async () => {
      const waiting = Array.from({ length: 20 }, () => read(n, '?wait=30'));
      // More of them than connections: others are answered meanwhile.
      expect((await read(n, '')).answer.status).toBe(200);
      await until('all to wait', async () => {
        const { rows } = await engine.db.owner.query(
          `select from pg_stat_activity where datname = current_database() and application_name = 'deposit-api-private' and state <> 'idle'`,
        );
        return rows.length === 0;
      });
      await engine.api.close();
      for (const { answer, isEarly } of await Promise.all(waiting))
        expect([answer.status, isEarly]).toEqual([200, true]);
    });
  });
});

describe('those that wait', () => {
  const versions = new Map<string, string>();
  let looks = 0;
  const look = (numbers: readonly string[]) => {
    looks += 1;
    return Promise.resolve(new Map(numbers.map((n) => [n, versions.get(n) ?? '1'])));
  };
  const how = (keyId: string, until_ = new AbortController()) => ({
    keyId,
    withinMs: 60_000,
    until: until_.signal,
  });
  const settled = async (one: Promise<void>) => {
    let is = false;
    void one.then(() => (is = true));
    await setImmediate();
    return is;
  };

  test('are at most so many of a process and of a key; further ones are answered at once', async () => {
    const waiter = createDepositWaiter(look, { perProcess: 3, perKey: 2, everyMs: 60_000 });
    const all = ['K1', 'K1', 'K1', 'K2', 'K3'].map((key) => waiter.wait('a', '1', how(key)));
    const are = await Promise.all(all.map(settled));
    expect(are).toEqual([false, false, true, false, true]);
    waiter.close();
    await Promise.all(all);
    expect(await settled(waiter.wait('a', '1', how('K4')))).toBe(true);
  });

  test('share one look, which a published event brings about; those whose deposit is the same wait on', async () => {
    const waiter = createDepositWaiter(look, { perProcess: 9, perKey: 9, everyMs: 60_000 });
    const [changed, same] = [waiter.wait('a', '1', how('K1')), waiter.wait('b', '1', how('K1'))];
    versions.set('a', '2');
    const before = looks;
    waiter.wake();
    waiter.wake();
    await changed;
    expect(looks).toBe(before + 1);
    expect(await settled(same)).toBe(false);
    waiter.close();
    await same;
  });

  test('end when the client has gone', async () => {
    const waiter = createDepositWaiter(look, { perProcess: 1, perKey: 1, everyMs: 60_000 });
    const client = new AbortController();
    const one = waiter.wait('b', '1', how('K1', client));
    client.abort();
    await one;
    expect(await settled(waiter.wait('b', '1', how('K1')))).toBe(false);
    waiter.close();
  });

  test('wait on while the database is away, and are found when it is back', async () => {
    let isAway = true;
    let failures = 0;
    const failing = () => {
      if (!isAway) return look(['a']);
      failures += 1;
      return Promise.reject(new Error('away'));
    };
    const waiter = createDepositWaiter(failing, { perProcess: 1, perKey: 1, everyMs: 10 });
    const one = waiter.wait('a', '1', how('K1'));
    await until('two failures', () => Promise.resolve(failures > 1));
    expect(await settled(one)).toBe(false);
    isAway = false;
    await one;
    waiter.close();
  });
});

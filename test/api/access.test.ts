import { describe, expect, test } from 'vitest';
import { issueKey, revokeKeys } from '../../database/queries/api-keys.ts';
import { type Answer, startEngine } from '../support/engine.ts';
import { arrives, decideTogether, opened, operator, placed } from './decisions.ts';
import { expectRefusal, stored } from './evidence.ts';
import { withLimits } from './parts.ts';

const engine = await startEngine();
const scopes = ['deposits:create', 'deposits:read'] as const;
const issue = (name: string, wallets?: readonly string[]) => issueKey(engine.db.owner, { name, scopes, wallets });
const [{ key: red }, { key: blue }, { key: all }] = [
  await issue('red', ['red-1', 'red-2']),
  await issue('blue', ['blue-1']),
  await issue('all'),
];
const created = async (wallet: string): Promise<string> => (await engine.create({ wallet })).body.externalOrderNumber;
const [inRed1, inRed2, inBlue] = [await created('red-1'), await created('red-2'), await created('blue-1')];
const get = (key: string, path: string) => engine.call('GET', path, undefined, { key });
const create = (key: string, change: object) =>
  engine.call('POST', '/v1/deposits', engine.body({ ...change }), { key });
/** What tells requests of one caller apart, whatever they ask for. */
const OF_REQUESTS = /^(date|request-id|ratelimit-.*)$/;
/** Everything that a caller can see of a response, without the caller's own input, the time and the request's id. */
const seen = ({ status, headers, text }: Answer, asked: string) => ({
  status,
  headers: [...headers]
    .filter(([name]) => !OF_REQUESTS.test(name))
    .map(([name, value]) => [name, name === 'content-length' ? '' : value]),
  text: text.replaceAll(headers.get('request-id')!, 'ID').replaceAll(asked, '…'),
});

describe('T25: someone else’s deposit and wallet', () => {
  test('are read by those whose wallet it is and by those without a limit, and by nobody else', async () => {
    const callers = { red, blue, all };
    const may: Record<string, readonly string[]> = {
      red: [inRed1, inRed2, 'red-1', 'red-2'],
      blue: [inBlue, 'blue-1'],
    };
    for (const [name, key] of Object.entries(callers)) {
      for (const number of [inRed1, inRed2, inBlue]) {
        const expected = may[name]?.includes(number) === false ? 404 : 200;
        expect([name, number, (await get(key, `/v1/deposits/${number}`)).status]).toEqual([name, number, expected]);
      }
      for (const wallet of ['red-1', 'red-2', 'blue-1']) {
        const expected = may[name]?.includes(wallet) === false ? 404 : 200;
        expect([name, wallet, (await get(key, `/v1/wallets/${wallet}`)).status]).toEqual([name, wallet, expected]);
      }
    }
  });

  test('look exactly like those that do not exist', async () => {
    const [foreign, none] = [await get(red, `/v1/deposits/${inBlue}`), await get(red, '/v1/deposits/never-was')];
    expectRefusal(foreign, 404, 'not_found');
    expect(seen(foreign, inBlue)).toEqual(seen(none, 'never-was'));
    const [theirs, nobodys] = [await get(red, '/v1/wallets/blue-1'), await get(red, '/v1/wallets/never-was')];
    expectRefusal(theirs, 404, 'not_found');
    expect(seen(theirs, 'blue-1')).toEqual(seen(nobodys, 'never-was'));
  });

  test('are not in the list, whatever the filter says', async () => {
    const numbers = async (key: string, query: string) =>
      (await get(key, `/v1/deposits?${query}`)).body.items
        .map((one: { externalOrderNumber: string }) => one.externalOrderNumber)
        .toSorted();
    expect(await numbers(red, '')).toEqual([inRed1, inRed2].toSorted());
    expect(await numbers(red, 'wallet=red-2')).toEqual([inRed2]);
    expect(await numbers(red, 'wallet=blue-1')).toEqual([]);
    expect(await numbers(blue, 'limit=1')).toEqual([inBlue]);
    expect(await numbers(all, '')).toEqual([inRed1, inRed2, inBlue].toSorted());
    const page = (await get(all, '/v1/deposits?limit=1')).body;
    // The cursor of another caller's page opens nothing.
    expect(await numbers(red, `cursor=${encodeURIComponent(page.nextCursor)}`)).not.toContain(inBlue);
  });

  test('are not ordered for: another wallet is forbidden and nothing is stored', async () => {
    const before = await stored(engine);
    expectRefusal(await create(red, { wallet: 'blue-1' }), 403, 'forbidden');
    expectRefusal(await create(red, { wallet: 'never-was' }), 403, 'forbidden');
    expectRefusal(await create(red, { wallet: 'blue-1', externalOrderNumber: inBlue }), 403, 'forbidden');
    expect(await stored(engine)).toEqual(before);
    expect((await create(red, { wallet: 'red-1' })).status).toBe(201);
  });

  test('are not told by their order number: it is taken, and that is all', async () => {
    const answer = await create(red, { wallet: 'red-1', externalOrderNumber: inBlue });
    expectRefusal(answer, 409, 'other_parameters');
    expect(answer.text).not.toMatch(/blue|AWAITING|http/);
    const own = await create(red, { wallet: 'red-2', externalOrderNumber: inRed1 });
    expect(seen(answer, inBlue)).toEqual(seen(own, inRed1));
  });
});

describe('a living key', () => {
  test.each(['bearer', 'BEARER ', 'Bearer   '])('is taken behind "%s", as HTTP has it', async (scheme) => {
    const headers = { authorization: `${scheme} ${red}` };
    expect((await engine.call('GET', '/v1/deposits?limit=1', undefined, { key: null, headers })).status).toBe(200);
  });

  test('is what a caller without one is told to send, in the same words whatever is wrong with theirs', async () => {
    const { key, keyId } = await issue('gone');
    await revokeKeys(engine.db.owner, [keyId]);
    const [revoked, unknown] = [await get(key, '/v1/deposits'), await get('x'.repeat(40), '/v1/deposits')];
    for (const answer of [revoked, unknown]) expectRefusal(answer, 401, 'unauthorized');
    const words = ({ body }: Answer) => ({ ...body, requestId: '' });
    expect(words(revoked)).toEqual(words(unknown));
    expect(revoked.body.detail).toContain('not expired or revoked');
  });
});

describe('T25: someone else’s payments, for an operator who is limited to wallets', async () => {
  const [alice, bob] = [await operator(engine, 'alice'), await operator(engine, 'bob')];
  const { key } = await issueKey(engine.db.owner, {
    name: 'rita',
    scopes: ['reviews:decide', 'audit:read'],
    wallets: ['red-1'],
  });
  const ask = (path: string, body?: unknown) => engine.call(body === undefined ? 'GET' : 'POST', path, body, { key });
  const everything = async () => {
    const { rows } = await engine.db.owner.query(
      'select (select count(*) from engine.review_case) as cases, (select count(*) from engine.decision) as steps',
    );
    return rows[0];
  };

  /** A credited deposit, its posting, a decided case about it, and an open one. */
  async function paidTwice(wallet: string) {
    const order = await placed(engine, { wallet });
    await arrives(engine, order);
    await engine.untilState(order.externalOrderNumber, 'CREDITED');
    const { body } = await alice.doubt({ externalOrderNumber: order.externalOrderNumber, reason: 'the wrong wallet' });
    await decideTogether(alice, bob, body.id, { decision: 'reject' });
    await arrives(engine, order);
    const open = await opened(alice, order, 'SECOND_CODE', 'parked');
    return { n: order.externalOrderNumber, posting: open.newestCredit, closed: body.id, open: open.id };
  }

  test('look exactly like what does not exist, in every route, and nothing is written', async () => {
    const [own, foreign] = [await paidTwice('red-1'), await paidTwice('blue-1')];
    const none = {
      n: 'never-was',
      posting: '999999999',
      closed: 'review:999999999-00000000',
      open: 'review:999999999-00000000',
    };
    const reason = 'found in the statement';
    const routes: Record<string, (of: typeof none) => Promise<Answer>> = {
      'doubt a deposit': ({ n }) => ask('/v1/reviews', { externalOrderNumber: n, reason }),
      'doubt a posting': ({ posting }) => ask('/v1/reviews', { postingId: posting, reason }),
      'doubt a case': ({ closed }) => ask('/v1/reviews', { case: closed, reason }),
      'doubt an open case': ({ open }) => ask('/v1/reviews', { case: open, reason }),
      'read a case': ({ open }) => ask(`/v1/reviews/${encodeURIComponent(open)}`),
      'read a closed case': ({ closed }) => ask(`/v1/reviews/${encodeURIComponent(closed)}`),
      propose: ({ open }) => ask(`/v1/reviews/${encodeURIComponent(open)}/propose`, { decision: 'reject', reason }),
      confirm: ({ open }) => ask(`/v1/reviews/${encodeURIComponent(open)}/confirm`, { proposal: '1' }),
      withdraw: ({ open }) => ask(`/v1/reviews/${encodeURIComponent(open)}/withdraw`, { proposal: '1', reason }),
      'credit to a deposit': ({ n }) =>
        ask(`/v1/reviews/${encodeURIComponent(own.open)}/propose`, { decision: 'credit', toDeposit: n, reason }),
      'read the evidence': ({ n }) => ask(`/v1/deposits/${n}/evidence`),
    };
    const before = await everything();
    for (const [name, route] of Object.entries(routes)) {
      const [theirs, nobodys] = [await route(foreign), await route(none)];
      expect([name, theirs.status]).toEqual([name, 404]);
      const asked = (of: typeof none) => new RegExp([of.n, of.posting, of.closed, of.open].join('|'), 'g');
      const plain = (answer: Answer, of: typeof none) => ({
        ...seen(answer, '…'),
        text: answer.text.replace(/"requestId":"[^"]*"/, '').replace(asked(of), '…'),
      });
      expect([name, plain(theirs, foreign)]).toEqual([name, plain(nobodys, none)]);
    }
    expect(await everything()).toEqual(before);
    const { items } = (await ask('/v1/reviews?limit=200')).body;
    expect(items.map((one: { id: string }) => one.id)).toEqual([own.open]);
    const doubted = await ask('/v1/reviews', { postingId: own.posting, reason });
    expect(doubted.status, doubted.text).toBe(201);
  });
});

describe('a pair of keys', () => {
  test('takes over without a refused request: both work, and the old one is refused as soon as it is revoked', async () => {
    const [old, next] = [await issue('pair'), await issue('pair')];
    for (const { key } of [old, next]) expect((await get(key, '/v1/deposits?limit=1')).status).toBe(200);
    await revokeKeys(engine.db.owner, [old.keyId]);
    expectRefusal(await get(old.key, '/v1/deposits?limit=1'), 401, 'unauthorized');
    expect((await get(next.key, '/v1/deposits?limit=1')).status).toBe(200);
  });
});

describe('a limit', () => {
  const limited = (env: Record<string, string>, work: () => Promise<void>) => withLimits(engine, env, work);

  test('of requests holds for one key and no other, says when to go on, and stores nothing', async () => {
    await limited({ API_RATE_LIMIT: '1', API_RATE_BURST: '5' }, async () => {
      const statuses: number[] = [];
      for (let i = 0; i < 5; i += 1) statuses.push((await get(red, '/v1/deposits?limit=1')).status);
      expect(statuses).toEqual([200, 200, 200, 200, 200]);
      const before = await stored(engine);
      const refused = await create(red, { wallet: 'red-1' });
      expectRefusal(refused, 429, 'rate_limited');
      expect(Number(refused.headers.get('retry-after'))).toBeGreaterThanOrEqual(1);
      expect(await stored(engine)).toEqual(before);
      expect((await get(blue, '/v1/deposits?limit=1')).status).toBe(200);
      expect((await engine.call('GET', '/healthz', undefined, { key: null })).status).toBe(200);
    });
  });

  test('of failed authentications slows whoever guesses, and not a key that was good before', async () => {
    await limited({ API_FAILURE_LIMIT: '1', API_FAILURE_BURST: '10' }, async () => {
      expect((await get(red, '/v1/deposits?limit=1')).status).toBe(200);
      const guess = (n: number) => get(`dek_${String(n).padStart(43, 'g')}`, '/v1/deposits');
      const statuses: number[] = [];
      for (let i = 0; i < 15; i += 1) statuses.push((await guess(i)).status);
      expect(statuses.slice(0, 10)).toEqual(Array(10).fill(401));
      expect(statuses.at(-1)).toBe(429);
      const forged = await engine.call('GET', '/v1/deposits', undefined, {
        key: null,
        headers: { 'x-forwarded-for': '9.9.9.9' },
      });
      expectRefusal(forged, 429, 'rate_limited');
      // Behind a proxy all callers come from one address.
      expect((await get(red, '/v1/deposits?limit=1')).status).toBe(200);
    });
  });

  test('does not exist for callbacks: a flood of bad ones leaves the genuine one accepted', async () => {
    await limited(
      { API_FAILURE_LIMIT: '1', API_FAILURE_BURST: '1', API_RATE_BURST: '1', API_RATE_LIMIT: '1' },
      async () => {
        const answers = await Promise.all(
          Array.from({ length: 200 }, () => engine.callback(`/v1/callbacks/mtpay/x/${'y'.repeat(43)}`, '{}')),
        );
        expect(answers.filter((answer) => answer.status === 429)).toEqual([]);
      },
    );
    await engine.pay(inRed2);
    await engine.untilState(inRed2, 'CREDITED');
  });
});

import { describe, expect, test } from 'vitest';
import { SCENARIOS } from '../../sandbox/faults/scenarios.ts';
import { CONSOLE_PASSWORD, fieldsOf, formsTo, logIn, request } from './console/client.ts';
import { CONTROL_TOKEN, control, fault, newNumber, openSandbox, orders } from './support.ts';
import { pay, place, placementBody, send, settled, start } from './support.ts';

const { databaseUrl, sandbox, merchant } = await openSandbox({
  SANDBOX_CONSOLE_PASSWORD: CONSOLE_PASSWORD,
  SANDBOX_RELEASE_DELAY: '0s',
});
const client = await logIn(sandbox);

describe('what no database stores (NUL, half a character)', () => {
  const BAD = ['\0', 'a\0b', '\ud800'];

  test.each(['%00', 'a%00b'])('leads nowhere in an address: %s', async (bad) => {
    const headers = { authorization: `Bearer ${CONTROL_TOKEN}`, 'content-type': 'application/json' };
    for (const [method, path, body] of [
      ['GET', `/pay/${bad}`],
      ['POST', `/pay/${bad}/paid`],
      ['GET', `/control/orders/${bad}`],
      ['POST', `/control/orders/${bad}/pay`, '{}'],
      ['POST', `/control/keys/${bad}/disable`, '{}'],
      ['PATCH', `/control/advertisements/${bad}`, '{"active":true}'],
    ] as const) {
      const answer = await request(sandbox, path, { method, headers, ...(body === undefined ? {} : { body }) });
      expect([path, answer.status]).toEqual([path, 404]);
    }
    for (const path of [
      `/console/tokens/${bad}/disable`,
      `/console/advertisements/${bad}`,
      `/console/tokens/${bad}/reveal`,
    ]) {
      expect([path, (await client.post(path, { password: CONSOLE_PASSWORD })).status]).toEqual([path, 404]);
    }
    expect((await client.get(`/console/orders?q=${bad}`)).status).toBe(200);
    expect((await client.get(`/console/faults?order=${bad}&q=${bad}`)).status).toBe(200);
  });

  test('is refused in a text, with the place it stands in', async () => {
    for (const bad of BAD) {
      for (const [method, path, body, where] of [
        ['POST', '/faults', { kind: 'cut', scope: bad }, 'scope'],
        ['POST', '/faults', { kind: 'status', params: { statusCode: 'SYSTEM_ERROR', message: bad } }, 'params.message'],
        ['POST', '/faults', { kind: 'changedBody', params: { data: { [bad]: 1 } } }, 'params.data'],
        ['POST', '/scenarios', { name: 'answer-lost', scope: bad }, 'scope'],
        ['PUT', '/settings', { acks: [`text:${bad}`] }, 'acks.0'],
        ['POST', '/advertisements', { currencyCode: 'CNY', unitPrice: '7', seller: bad }, 'seller'],
      ] as const) {
        const answer = await control(sandbox, method, path, body);
        expect([path, answer.status, answer.body.error]).toEqual([
          path,
          400,
          `${where} must not hold NUL or half a character`,
        ]);
      }
    }
    // A browser sends no half character, and a form with NUL is handmade.
    for (const [path, fields] of [
      ['/console/faults', { kind: 'cut', scope: '\0' }],
      ['/console/settings', { acks: 'text:\0' }],
      ['/console/advertisements', { seller: '\0', currencyCode: 'CNY' }],
    ] as const) {
      expect([path, (await client.post(path, fields)).status]).toEqual([path, 400]);
    }
  });
});

test('a character is what people count as one', async () => {
  const longest = '𠮷'.repeat(128);
  const asked = (externalOrderNumber: string) =>
    send(sandbox, placementBody(merchant, { externalOrderNumber: JSON.stringify(externalOrderNumber) }));
  expect((await asked(longest)).statusCode).toBe('SUCCESS');
  expect((await asked(`${longest}𠮷`)).message).toContain('at most 128 characters');
  await fault(sandbox, longest, 'cut');
  expect((await control(sandbox, 'POST', '/faults', { kind: 'cut', scope: `${longest}𠮷` })).body.error).toBe(
    'scope must have at most 128 characters',
  );
  expect((await client.post('/console/faults', { kind: 'cut', scope: longest })).status).toBe(303);
  await control(sandbox, 'DELETE', '/faults');
});

test('the address of a form of the checkout, opened as a page, leads to the page; any other is a page as well', async () => {
  const number = await place(sandbox, merchant);
  const { token } = (await orders(sandbox, number))[0]!;
  for (const form of ['paid', 'cancel']) {
    const answer = await request(sandbox, `/pay/${token}/${form}?lang=zh_TW`);
    expect([answer.status, answer.headers.get('location')]).toEqual([303, `/pay/${token}?lang=zh_TW`]);
  }
  expect((await orders(sandbox, number))[0]!.state).toBe('WAITING');
  for (const path of ['/pay', '/pay/', '/pay/unknown/paid', `/pay/${token}/receipt`]) {
    const answer = await request(sandbox, path);
    expect([path, answer.status, answer.headers.get('content-type')]).toEqual([path, 404, 'text/html; charset=utf-8']);
  }
});

test('what is wrong is said in sentences', async () => {
  const number = await place(sandbox, merchant);
  for (const [method, path, body, said] of [
    ['POST', `/orders/${number}/pay`, { immediately: 'yes' }, 'immediately must be true or false'],
    ['POST', `/orders/${number}/pay`, { nth: 0 }, 'nth must be at least 1'],
    ['POST', '/faults', { remaining: 1.5 }, 'kind must be a text; remaining must be a whole number'],
    ['POST', '/faults', { kind: 'cut', often: 1 }, 'the body must not have often'],
    ['POST', '/faults', { kind: 'duplicate', params: { copies: 1 } }, 'copies must be at least 2'],
    ['PUT', '/settings', { resign: 'never' }, 'resign must be one of fresh, same'],
    ['PUT', '/settings', { acks: [] }, 'acks must have at least 1 entries'],
    ['PUT', '/settings', { speed: 0 }, 'speed must be more than 0'],
    ['PUT', '/settings', { prices: { CNY: 'much' } }, 'prices.CNY must be a positive decimal'],
    ['POST', '/scenarios', { name: 'luck' }, 'name must be one of customer-pays-twice, '],
  ] as const) {
    const answer = await control(sandbox, method, path, body);
    expect(answer.status).toBe(400);
    expect(answer.body.error).toContain(said);
  }
  const wrong = await client.post('/console/settings', { speed: 'fast', acks: '' });
  expect(wrong.text).toContain('Speed must be a number; Accepted success bodies must have at least 1 entries.');
});

test('two consoles on one machine keep their sessions apart: cookies know no port', async () => {
  const other = await start(databaseUrl, { SANDBOX_CONSOLE_PASSWORD: CONSOLE_PASSWORD });
  const second = await logIn(other);
  const [first, last] = [client.cookie, second.cookie].map((cookie) => cookie.split('=')[0]);
  expect(first).not.toBe(last);
  // As a browser sends them, to both.
  const headers = { cookie: `${second.cookie}; ${client.cookie}` };
  for (const each of [sandbox, other]) expect((await request(each, '/console', { headers })).status).toBe(200);
});

describe('a page that has stood open while another changed something', () => {
  const shownBy = async (path: string, action = path) => fieldsOf(formsTo((await client.get(path)).text, action)[0]!);

  test('changes what is changed on it and nothing else', async () => {
    const stale = await shownBy('/console/settings');
    const staleFees = await shownBy('/console/fees');
    const stalePrices = await shownBy('/console/advertisements', '/console/advertisements/prices');
    await control(sandbox, 'PUT', '/settings', { resign: 'same', fees: { percent: '2' }, prices: { HKD: '7.9' } });
    expect((await client.post('/console/settings', { ...stale, speed: '5' })).status).toBe(303);
    expect((await client.post('/console/fees', { ...staleFees, fixed: '1' })).status).toBe(303);
    expect((await client.post('/console/advertisements/prices', { ...stalePrices, CNY: '7.1' })).status).toBe(303);
    expect((await control(sandbox, 'GET', '/settings')).body).toMatchObject({
      speed: 5,
      resign: 'same',
      fees: { percent: '2', fixed: '1' },
      prices: { CNY: '7.1', HKD: '7.9' },
    });
    await control(sandbox, 'PUT', '/settings', { speed: null, resign: null, fees: null, prices: null });
  });

  test('is told when both changed the same, and changes nothing', async () => {
    const stale = await shownBy('/console/settings');
    await control(sandbox, 'PUT', '/settings', { speed: 7 });
    const answer = await client.post('/console/settings', { ...stale, speed: '5', resign: 'same' });
    expect(answer.status).toBe(409);
    expect(answer.text).toContain('Speed was changed meanwhile, to 7. Open the page again.');
    expect((await control(sandbox, 'GET', '/settings')).body).toMatchObject({ speed: 7, resign: 'fresh' });
    await control(sandbox, 'PUT', '/settings', { speed: null });
  });

  test('does not give an offer back what was sold meanwhile', async () => {
    const offer = { currencyCode: 'TWD', unitPrice: '1', remaining: '900', seller: 'Stale' };
    const { code } = (await control(sandbox, 'POST', '/advertisements', offer)).body as { code: string };
    const stale = await shownBy('/console/advertisements', `/console/advertisements/${code}`);
    await control(sandbox, 'PATCH', `/advertisements/${code}`, { remaining: '400' });
    expect((await client.post(`/console/advertisements/${code}`, { ...stale, seller: 'New' })).status).toBe(303);
    const { advertisements } = (await control(sandbox, 'GET', '/advertisements')).body;
    expect(advertisements.find((each: { code: string }) => each.code === code)).toMatchObject({
      seller: 'New',
      remaining: '400',
    });
    await control(sandbox, 'PATCH', `/advertisements/${code}`, { active: false });
  });
});

describe('a ready-made scenario', () => {
  test('is one call of the control API: the customer pays twice', async () => {
    const number = await place(sandbox, merchant);
    const armed = await control(sandbox, 'POST', '/scenarios', { name: 'customer-pays-twice', scope: number });
    expect([armed.status, armed.body.armed]).toEqual([
      201,
      [expect.objectContaining({ kind: 'secondCode', scope: number, remaining: 1 })],
    ]);
    await pay(sandbox, number);
    const bodies = (await merchant.received(number, 2)).map(({ body }) => JSON.parse(body).data as object);
    expect(new Set(bodies.map((data) => (data as { transactionCode: string }).transactionCode)).size).toBe(2);
  });

  test('is one click in the console: the answer is lost, and the order is made', async () => {
    const number = newNumber();
    const page = (await client.get(`/console/faults?order=${number}`)).text;
    const forms = formsTo(page, '/console/faults/scenario').filter((form) => form.includes('value="answer-lost"'));
    expect((await client.post('/console/faults/scenario', fieldsOf(forms[0]!))).status).toBe(303);
    await expect(place(sandbox, merchant, number)).rejects.toThrow();
    expect(await orders(sandbox, number)).toHaveLength(1);
    await place(sandbox, merchant);
  });

  test('exists by every name of the list, and each can be armed', async () => {
    const { scenarios } = (await control(sandbox, 'GET', '/scenarios')).body;
    expect(scenarios).toHaveLength(SCENARIOS.length);
    for (const { name } of SCENARIOS) {
      const { status, body } = await control(sandbox, 'POST', '/scenarios', { name, scope: 'nobody' });
      expect([name, status, body.armed.length > 0]).toEqual([name, 201, true]);
    }
    await control(sandbox, 'DELETE', '/faults');
    const number = await place(sandbox, merchant);
    await pay(sandbox, number);
    expect(await settled(sandbox, number)).toHaveLength(1);
  });
});

test('the list of what can go wrong is searched in words', async () => {
  const found = async (words: string) => {
    const { text } = await client.get(`/console/faults?q=${encodeURIComponent(words)}`);
    return [...text.matchAll(/<details class="fault"( open)?>.*?<code>(\w+)<\/code>/gs)].map(([, , kind]) => kind);
  };
  expect(await found('')).toHaveLength(38);
  expect(await found('pays TWICE')).toEqual(['secondCode']);
  expect(await found('lower case')).toEqual(['lowerCaseSignature']);
  expect(await found('answer lost')).toEqual(['cut']);
  expect((await client.get('/console/faults?q=zebra')).text).toContain('Nothing is called so.');
});

import { Webhook } from 'standardwebhooks';
import { expect, onTestFinished, test } from 'vitest';
import { createDepositClient, webhooks } from '../../client/src/client.ts';
import { createApiKey } from '../../database/queries/api-keys.ts';
import { listenForNotifications, type ListenOptions } from '../../local/listen.ts';
import { freePort } from '../../local/servers/ports.ts';
import { startReceiver } from '../notifications/receiver.ts';
import { startEngine } from '../support/engine.ts';
import { startPart } from '../support/process.ts';
import { until } from '../support/until.ts';

/** `npm run listen`, beside a real engine and notifier. */
const port = await freePort();
const env = { NOTIFY_LOCAL_TARGETS: `127.0.0.1:${port}` };
const engine = await startEngine({ env });
const apiKey = await createApiKey(engine.db.owner, { name: 'local', scopes: ['endpoints:manage'] });
const api = createDepositClient({ baseUrl: engine.api.apiUrl, apiKey });

const plain = { api, port, forwardTo: null, types: null };

function listening(options: Partial<ListenOptions> = {}) {
  const said: string[] = [];
  const interrupt = new AbortController();
  const out = (line: string) => said.push(line);
  const ended = listenForNotifications({ ...plain, out, signal: interrupt.signal, ...options });
  const stop = async () => {
    interrupt.abort();
    await ended;
  };
  onTestFinished(stop);
  return { said, stop, secret: () => /whsec_\S+/.exec(said.join('\n'))?.[0] };
}

test('each notification is shown and forwarded with its bytes, the answer goes back, and nothing is left at the end', async () => {
  const { DATABASE_URL_NOTIFIER, ENDPOINT_SECRET_KEY } = engine.env;
  const notifierEnv = { ...env, DATABASE_URL_NOTIFIER: DATABASE_URL_NOTIFIER! };
  await startPart('notifier', { ...notifierEnv, ENDPOINT_SECRET_KEY: ENDPOINT_SECRET_KEY! });
  const receiver = await startReceiver();
  onTestFinished(() => receiver.close());
  receiver.answer = ({ sequence }) => (sequence === 1 ? 201 : 418);
  // An endpoint of a killed run is replaced.
  await api.endpoints.create({ url: `http://127.0.0.1:${port}/` });
  const { said, stop, secret } = listening({ forwardTo: receiver.url });
  await until('the secret', () => secret() !== undefined);
  const [endpoint, ...others] = await api.endpoints.list();
  expect(others).toEqual([]);

  const { externalOrderNumber: order } = await engine.place();
  await engine.pay(order);
  await until('both', () => said.length >= 4);
  expect(said.slice(2, 4)).toEqual([
    expect.stringMatching(new RegExp(`^\\d\\d:\\d\\d:\\d\\d  deposit\\.placed +${order}  1  201$`)),
    expect.stringMatching(new RegExp(`^\\d\\d:\\d\\d:\\d\\d  deposit\\.credited +${order}  2  418$`)),
  ]);
  expect(receiver.received.map(({ id }) => id)).toEqual([`evt_${order}_1`, `evt_${order}_2`]);
  for (const { headers, text } of receiver.received)
    expect(webhooks.verify(text, headers, secret()!)).toEqual(JSON.parse(text));
  const statuses = await until('both answers', async () => {
    const found: (number | null)[] = [];
    for await (const { attempts } of api.deliveries.list({ endpoint: endpoint!.id, deposit: order }))
      found.push(attempts[0]?.status ?? null);
    return found.length === 2 && !found.includes(null) && found;
  });
  expect(statuses).toEqual([201, 418]);

  await stop();
  expect(said.at(-1)).toBe(`${endpoint!.id} is deleted.`);
  expect(await api.endpoints.list()).toEqual([]);
});

test('only the types that are asked for are sent, and the API says which there are', async () => {
  const { secret } = listening({ types: ['deposit.reversed'] });
  await until('the secret', () => secret() !== undefined);
  expect(await api.endpoints.list()).toMatchObject([{ types: ['deposit.reversed'] }]);
});

test('a type that is none is refused, and nothing listens any more', async () => {
  const { signal } = new AbortController();
  const refused = listenForNotifications({ ...plain, types: ['deposit.luck'], out: () => {}, signal });
  await expect(refused).rejects.toThrow(/^invalid_request: types/);
  await expect(fetch(`http://127.0.0.1:${port}/`)).rejects.toThrow('fetch failed');
});

test('a message of somebody else is refused, and an address where nobody answers is told', async () => {
  const { said, secret } = listening({ forwardTo: 'http://127.0.0.1:1/' });
  await until('the secret', () => secret() !== undefined);
  expect((await fetch(`http://127.0.0.1:${port}/`, { method: 'POST', body: '{}' })).status).toBe(400);
  expect(said.at(-1)).toMatch(/refused, not from the engine: webhook-id is missing/);
  const body = JSON.stringify({ type: 'deposit.placed', data: { externalOrderNumber: 'order-1', sequence: 1 } });
  const at = new Date();
  const answer = await fetch(`http://127.0.0.1:${port}/`, {
    method: 'POST',
    body,
    headers: {
      'webhook-id': 'evt_order-1_1',
      'webhook-timestamp': String(Math.floor(at.getTime() / 1_000)),
      'webhook-signature': new Webhook(secret()!).sign('evt_order-1_1', at, body),
    },
  });
  expect(answer.status).toBe(502);
  expect(said.at(-1)).toMatch(/deposit\.placed +order-1  1  no answer \(/);
});

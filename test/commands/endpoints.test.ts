import { randomBytes } from 'node:crypto';
import { expect, test } from 'vitest';
import { type EndpointOptions, runEndpoints } from '../../commands/endpoints-terminal.ts';
import { createApiKey } from '../../database/queries/api-keys.ts';
import { publishEvents } from '../../database/queries/events.ts';
import { claimDeliveries, settleDeliveries } from '../../database/queries/notifications/deliveries.ts';
import { creditAll } from '../../ledger/credit.ts';
import { payments } from '../ledger/payments.ts';
import { startEngine } from '../support/engine.ts';

/** `npm run endpoints`, against a real API. */
const engine = await startEngine({
  worker: false,
  env: { ENDPOINT_SECRET_KEY: randomBytes(32).toString('base64url') },
});
const key = await createApiKey(engine.db.owner, { name: 'shop', scopes: ['endpoints:manage'] });
const [worker, notifier] = [engine.db.poolFor('app_worker'), engine.db.poolFor('app_notifier')];

async function says(words: string, options: EndpointOptions = {}) {
  const out: string[] = [];
  const error: string[] = [];
  const terminal = { out: (line: string) => out.push(line), error: (line: string) => error.push(line) };
  const code = await runEndpoints(words.split(' '), options, { API_URL: engine.api.apiUrl, API_KEY: key }, terminal);
  return { code, out: out.join('\n'), error: error.join('\n') };
}

test('an endpoint is made, changed, rotated and deleted; a secret stands alone on standard output', async () => {
  expect(await says('list')).toEqual({ code: 0, out: '0 endpoints', error: '' });
  const made = await says('create https://shop.example/hook', { types: 'deposit.credited, deposit.reversed' });
  expect(made).toMatchObject({ code: 0, out: expect.stringMatching(/^whsec_\S+$/) });
  expect(made.error).toContain('cannot be shown again');
  expect(made.error).not.toContain(made.out);
  const id = /^endpoint +(ep_\d+) \(on\)$/m.exec(made.error)![1]!;
  expect((await says('list')).out).toBe(
    `${id}  on  deposit.credited,deposit.reversed  https://shop.example/hook\n1 endpoint`,
  );
  expect((await says(`show ${id}`)).out).toMatch(/^wallets +every wallet$/m);
  const changed = await says(`change ${id}`, { types: 'all', url: 'https://shop.example/other' });
  expect(changed.out).toMatch(/^types +every type$/m);
  expect(changed.out).toMatch(/^url +https:\/\/shop\.example\/other$/m);
  expect((await says(`disable ${id}`)).out).toContain(`${id} (off)`);
  expect((await says(`enable ${id}`)).out).toContain(`${id} (on)`);
  const rotated = await says(`rotate ${id}`, { overlap: '1' });
  expect(rotated.out).toMatch(/^whsec_/);
  expect(rotated.out).not.toBe(made.out);
  expect(rotated.error).toMatch(/^old secret until +\S+Z$/m);
  expect(await says(`delete ${id}`)).toEqual({ code: 0, out: `${id} is deleted`, error: '' });
  expect(await says(`show ${id}`)).toMatchObject({ code: 1, error: `not_found: no endpoint ${id}` });
});

test('with signature v1a the public key is printed', async () => {
  const { out, error } = await says('create https://shop.example/hook', { signature: 'v1a' });
  expect(out).toMatch(/^whpk_/);
  await says(`delete ${/ep_\d+/.exec(error)![0]}`);
});

test('deliveries are listed, and sent once more', async () => {
  const { error } = await says('create https://shop.example/hook', { types: 'deposit.credited' });
  const id = /ep_\d+/.exec(error)![0];
  const [one] = await payments(engine.db.owner, 1);
  await creditAll(worker, [one!.item]);
  while ((await publishEvents(worker)) > 0);
  const waits = await says(`deliveries ${id}`, { missing: true });
  expect(waits.out).toMatch(/Z  evt_\S+  deposit\.credited  waits  not tried\n1 delivery$/);
  const [taken] = await claimDeliveries(notifier, 1);
  const result = { status: 204, fault: null, ms: 3, answer: '', waitMs: null };
  await settleDeliveries(notifier, [{ attempt: taken!.attempt, ...result }]);
  expect((await says(`deliveries ${id}`, { deposit: one!.item.deposit })).out).toMatch(/  delivered  204\n1 delivery$/);
  expect((await says(`deliveries ${id}`, { missing: true })).out).toBe('0 deliveries');
  const again = await says(`redeliver ${id}`, { event: taken!.name });
  expect(again).toMatchObject({ code: 0, out: expect.stringMatching(new RegExp(`^redelivery \\d+ of ${id}: `)) });
  expect((await says(`redeliver ${id}`, { since: '2026-01-01T00:00:00Z' })).code).toBe(0);
  const [second] = await claimDeliveries(notifier, 1);
  await settleDeliveries(notifier, [{ attempt: second!.attempt, ...result }]);
  expect((await says(`deliveries ${id}`)).out).toMatch(/  delivered  204, again 204\n1 delivery$/);
});

test('what the API refuses is told in its words, and what is not understood with the usage', async () => {
  expect(await says('create http://shop.example/')).toMatchObject({
    code: 1,
    error: 'invalid_request: url: expected https',
  });
  for (const [words, options, message] of [
    ['make', {}, 'there is no make'],
    ['list ep_1', {}, 'ep_1 is too much'],
    ['show', {}, 'ENDPOINT is missing'],
    ['change ep_1', {}, '--url or --types is missing'],
    ['rotate ep_1', { overlap: 'long' }, '--overlap: expected whole hours, such as 24'],
    ['rotate ep_1', { event: 'evt_a_1' }, '--event does not belong here'],
    ['redeliver ep_1', {}, 'expected one of --event and --since'],
  ] as const) {
    const said = await says(words, options);
    expect({ code: said.code, first: said.error.split('\n')[0] }).toEqual({ code: 2, first: message });
    expect(said.error).toContain('npm run endpoints -- list');
  }
});

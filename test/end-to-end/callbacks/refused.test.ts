import { randomBytes } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { Secret } from '../../../config/keys/secret.ts';
import { sign } from '../../../providers/mtpay/signature.ts';
import { expectRefusal, inbox, memoryLog, timesRaised } from '../../api/evidence.ts';
import { expectAck, lineTo, withApi } from '../../api/parts.ts';
import { order, paid } from '../../support/builders.ts';
import { callbackAddress, callbackBody, providerKey } from '../../support/messages/callbacks.ts';
import { until } from '../../support/until.ts';
import { startReceiving } from './receiving.ts';

const MINUTE = 60_000;
const { engine, api, placed, expectUntouched, lastAlarm } = await startReceiving();
const deposit = await placed();
const other = await placed();
const address = callbackAddress(engine, deposit.externalOrderNumber);
const genuine = (at?: number) => callbackBody(engine, paid(deposit), at);

describe('what proves nothing', () => {
  const key = providerKey(engine);
  const [kid, token] = address.split('/').slice(-2) as [string, string];
  const at = (path: string) => `${engine.api.callbackUrl}/v1/callbacks/mtpay/${path}`;
  const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
  /** The same 256 bits in another spelling: the last character of 43 carries two bits too many. */
  const respelled = token.slice(0, -1) + ALPHABET[ALPHABET.indexOf(token.at(-1)!) ^ 1];
  const resigned = (signature: string) => genuine().replace(/[0-9A-F]{64}/, signature);
  const strange = { accessKey: key.accessKey, secretKey: new Secret(randomBytes(32)) };

  const forgeries: [string, () => [url: string, body: string]][] = [
    ['T10: a token of nobody', () => [at(`${kid}/${randomBytes(32).toString('base64url')}`), genuine()]],
    ['T1: the token of another order', () => [callbackAddress(engine, other.externalOrderNumber), genuine()]],
    ['T1: the data of another order', () => [address, callbackBody(engine, paid(other))]],
    ['the token in another spelling', () => [at(`${kid}/${respelled}`), genuine()]],
    ['a token with padding', () => [at(`${kid}/${token}=`), genuine()]],
    ['a token that is cut', () => [at(`${kid}/${token.slice(0, -1)}`), genuine()]],
    ['a token that is long', () => [at(`${kid}/${'A'.repeat(5_000)}`), genuine()]],
    ['another key id', () => [at(`00000000/${token}`), genuine()]],
    ['a key id in upper case', () => [at(`${kid.toUpperCase()}x/${token}`), genuine()]],
    ['a signature of nobody', () => [address, resigned(randomBytes(32).toString('hex').toUpperCase())]],
    ['a signature by another key', () => [address, resigned(sign(strange, Date.now()))]],
    ['a signature of another moment', () => [address, resigned(sign(key, Date.now() - 5))]],
    ['T13: a signature in lower case', () => [address, genuine().replace(/[0-9A-F]{64}/, (hex) => hex.toLowerCase())]],
    ['T11: an empty signature', () => [address, resigned('')]],
    ['a signature with a space', () => [address, genuine().replace(/[0-9A-F]{64}/, '$& ')]],
    ['a signature that is cut', () => [address, genuine().replace(/[0-9A-F]{64}/, (hex) => hex.slice(1))]],
    ['a signature of 64 other characters', () => [address, resigned('Z'.repeat(64))]],
    ['sixteen minutes ahead', () => [address, genuine(Date.now() + 16 * MINUTE)]],
    ['a century ahead', () => [address, genuine(4_900_000_000_000)]],
    ['everything wrong', () => [at('x/y'), resigned('x')]],
    ['T10: an order nobody has, with the token of another', () => [address, callbackBody(engine, paid(order()))]],
  ];

  test.each(forgeries)('%s is refused, and nothing is stored', async (_, forge) => {
    const [url, body] = forge();
    const answer = await expectUntouched(() => engine.callback(url, body), 401, 'unauthorized');
    expect(answer.headers.get('www-authenticate')).toBe('Bearer');
  });

  test('T10, T12: all of it gets the same answer to the byte, headers included', async () => {
    const seen = new Set<string>();
    for (const [, forge] of forgeries) {
      const answer = await engine.callback(...forge());
      const headers = [...answer.headers].filter(([name]) => name !== 'date');
      seen.add(JSON.stringify([answer.status, headers, answer.text]));
    }
    expect([...seen]).toHaveLength(1);
  });

  test('a right address under a key that we do not know is the provider’s: an alarm of its own that names the deposit', async () => {
    const n = deposit.externalOrderNumber;
    const times = () => api.alarms(n).filter((alarm) => alarm === 'callback_right_address_unknown_key').length;
    const before = times();
    expectRefusal(await engine.callback(address, resigned(sign(strange, Date.now()))), 401, 'unauthorized');
    await until('the alarm', async () => times() > before);
    const all = () => timesRaised(api, 'callback_right_address_unknown_key');
    const others = all();
    await engine.callback(at(`${kid}/${respelled}`), resigned('0'.repeat(64)));
    await engine.callback(callbackAddress(engine, other.externalOrderNumber), resigned('0'.repeat(64)));
    expect(all()).toBe(others);
  });

  test('a stamp from too far ahead is refused and named, with how far', async () => {
    const n = deposit.externalOrderNumber;
    const times = () => api.alarms(n).filter((alarm) => alarm === 'callback_ahead').length;
    const before = times();
    expectRefusal(await engine.callback(address, genuine(Date.now() + 16 * MINUTE)), 401, 'unauthorized');
    await until('the alarm', async () => times() > before);
    expect(Math.abs(Number(lastAlarm('callback_ahead')!['aheadMs']) - 16 * MINUTE)).toBeLessThan(5_000);
  });

  test('a good signature at a wrong address raises an alarm of its own; a bad one raises none', async () => {
    const alarms = () => timesRaised(api, 'callback_good_signature_wrong_token');
    const before = alarms();
    await engine.callback(at(`${kid}/${respelled}`), resigned('0'.repeat(64)));
    expect(alarms()).toBe(before);
    await engine.callback(at(`${kid}/${respelled}`), genuine());
    expect(alarms()).toBe(before + 1);
    // Only claimed: the holder of a signature can write any number beside it.
    const alarm = lastAlarm('callback_good_signature_wrong_token')!;
    expect(alarm).toMatchObject({ claimed: deposit.externalOrderNumber });
    expect(alarm).not.toHaveProperty('deposit');
  });
});

describe('after all that', () => {
  test('the genuine callback, 16 kB long and odd in every way that is allowed, is credited', async () => {
    const data = paid(deposit);
    const odd = callbackBody(engine, { ...data, 日本: '\u{1f600}', constructor: 'x', toString: 'y' });
    const body = odd + ' '.repeat(16_384 - Buffer.byteLength(odd));
    expectAck(await engine.callback(address, body, { 'content-type': 'Application/JSON;charset="UTF-8"' }));
    expect(await engine.untilState(deposit.externalOrderNumber, 'CREDITED')).toMatchObject({ creditedAmount: '5000' });
    expect(await inbox(engine, deposit.externalOrderNumber)).toMatchObject([{ data, attempts: 1, receipt: 'first' }]);
  });

  test('the acknowledgement in its JSON form is these bytes as application/json', async () => {
    await withApi(engine, { env: { MTPAY_ACK: 'json:{"success":true}' } }, async () => {
      const url = callbackAddress(engine, other.externalOrderNumber);
      const body = callbackBody(engine, paid(other));
      expectAck(await engine.callback(url, body), '{"success":true}', 'application/json');
      expectAck(await engine.callback(url, body), '{"success":true}', 'application/json');
    });
    await engine.untilState(other.externalOrderNumber, 'CREDITED');
  });
});

describe('without the database', () => {
  test('an authentic callback is refused as unavailable with nothing lost or kept, a forged one as forged', async () => {
    const one = await placed();
    const url = new URL(engine.env['DATABASE_URL_API']!);
    const line = await lineTo({ host: url.hostname, port: Number(url.port) });
    url.port = String(line.port);
    const cutOff = memoryLog();
    await withApi(engine, { env: { DATABASE_URL_API: url.href }, log: cutOff.log }, async () => {
      const to = callbackAddress(engine, one.externalOrderNumber);
      const data = paid(one);
      await line.cut();
      const refused = await expectUntouched(() => engine.callback(to, callbackBody(engine, data)), 503, 'unavailable');
      expect(refused.headers.get('retry-after')).toMatch(/^[1-9]\d*$/);
      expect(cutOff.alarms(one.externalOrderNumber)).toEqual(['callback_not_stored']);
      const forged = callbackBody(engine, data).replace(/[0-9A-F]{64}/, '0'.repeat(64));
      await expectUntouched(() => engine.callback(to, forged), 401, 'unauthorized');
      await line.mend();
      expectAck(await engine.callback(to, callbackBody(engine, data)));
    });
    await line.cut();
    await engine.untilState(one.externalOrderNumber, 'CREDITED');
    expect(await inbox(engine, one.externalOrderNumber)).toMatchObject([{ receipt: 'first', attempts: 1 }]);
  });
});

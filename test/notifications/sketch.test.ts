import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { newSecret, signatureHeaders } from '../../notifications/signature.ts';

/** The verification that docs/reference/webhooks.md shows to receivers. */
const page = readFileSync(new URL('../../docs/reference/webhooks.md', import.meta.url), 'utf8');
const code = `${/^```js\n(.*?)^```$/ms.exec(page)![1]!}\nexport { verify };`;
const { verify } = (await import(`data:text/javascript;base64,${Buffer.from(code).toString('base64')}`)) as {
  verify(this: void, headers: object, body: Buffer, secret: string): boolean;
};

test('takes what the engine signs, with either secret of a rotation, and nothing else', () => {
  const [secret, old] = [newSecret(), newSecret()];
  const body = Buffer.from('{"amount": "5000", "name": "客户"}');
  const timestamp = Math.floor(Date.now() / 1_000);
  const headers = signatureHeaders({ id: 'evt_order-1_2', timestamp, body }, [secret, old]);
  expect(verify(headers, body, secret)).toBe(true);
  expect(verify(headers, body, old)).toBe(true);
  expect(verify(headers, body, newSecret())).toBe(false);
  expect(verify(headers, Buffer.concat([body, Buffer.from(' ')]), secret)).toBe(false);
  expect(verify({ ...headers, 'webhook-id': 'evt_order-1_3' }, body, secret)).toBe(false);
  expect(verify({ ...headers, 'webhook-signature': 'v1,' }, body, secret)).toBe(false);
  const past = signatureHeaders({ id: 'evt_order-1_2', timestamp: timestamp - 400, body }, [secret]);
  expect(verify(past, body, secret)).toBe(false);
});

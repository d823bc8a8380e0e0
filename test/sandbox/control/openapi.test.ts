import { Ajv2020 } from 'ajv/dist/2020.js';
import { describe, expect, test } from 'vitest';
import { control, newNumber, pay, placementBody, send, openSandbox } from '../support.ts';

const { sandbox, merchant } = await openSandbox();
// oxlint-disable-next-line typescript/no-explicit-any -- a document
const document: any = await (await fetch(`${sandbox.url}/openapi.json`)).json();
const ajv = new Ajv2020({ strict: false, formats: { uri: (text: string) => URL.canParse(text) } });
ajv.addSchema(document, 'openapi');
const validate = (schema: string, value: unknown): boolean =>
  ajv.validate({ $ref: `openapi#/components/schemas/${schema}` }, value);

test('the document names the version, the server and the one path', () => {
  expect(document).toMatchObject({ openapi: '3.1.0', servers: [{ url: sandbox.url }] });
  expect(Object.keys(document.paths)).toEqual(['/api/buy-coin/transaction']);
});

describe('the document and the sandbox agree that a placement', () => {
  test.each([
    {},
    { buyCoinMode: '"PaymentPrice"', mtcAmount: undefined, totalPrice: '32551.20' },
    { supportLanguage: '"zh_TW"', currencyCode: '"TWD"' },
    { note: '"unknown parameters are ignored"' },
  ])('with %o is in order', async (members) => {
    const body = placementBody(merchant, members);
    expect(validate('Placement', JSON.parse(body))).toBe(true);
    const placed = await send(sandbox, body);
    expect(placed.statusCode).toBe('SUCCESS');
    expect(validate('Envelope', JSON.parse(placed.text))).toBe(true);
  });

  test.each([
    { buyCoinMode: undefined },
    { buyCoinMode: '"Both"' },
    { mtcAmount: undefined },
    { mtcAmount: '0' },
    { mtcAmount: '-5' },
    { mtcAmount: '"5000"' },
    { mtcAmount: '1000000000000000' },
    { buyCoinMode: '"PaymentPrice"' },
    { externalOrderNumber: undefined },
    { externalOrderNumber: '" "' },
    { externalOrderNumber: `"${'n'.repeat(129)}"` },
    { externalOrderNumber: String.raw`"a\u0000"` },
    { callbackUrl: undefined },
    { callbackUrl: '"/callback"' },
    { supportLanguage: '"fr"' },
    { currencyCode: '"USD"' },
    { payerRealName: undefined },
    { payerRealName: '7' },
  ])('with %o is not', async (members) => {
    const body = placementBody(merchant, members);
    expect(validate('Placement', JSON.parse(body))).toBe(false);
    const refused = await send(sandbox, body);
    expect(refused.statusCode).toBe('PARAMETER_ERROR');
    expect(validate('Envelope', JSON.parse(refused.text))).toBe(true);
  });
});

test('every refusal is an envelope of the document', async () => {
  const number = newNumber();
  for (const statusCode of ['ACCOUNT_STATUS_ERROR', 'SYSTEM_ERROR', 'NO_ADVERTISEMENT', 'TIMESTAMP_ERROR']) {
    await control(sandbox, 'POST', '/faults', { scope: number, kind: 'status', params: { statusCode } });
    const refused = await send(sandbox, placementBody(merchant, { externalOrderNumber: `"${number}"` }));
    expect([refused.statusCode, validate('Envelope', JSON.parse(refused.text))]).toEqual([statusCode, true]);
  }
  expect(validate('Envelope', { data: null, statusCode: 'SUCCESS', message: '', success: true })).toBe(false);
});

test('a callback is one of the document', async () => {
  const number = newNumber();
  await send(sandbox, placementBody(merchant, { externalOrderNumber: `"${number}"` }));
  await pay(sandbox, number);
  const [callback] = await merchant.received(number);
  expect(validate('Callback', JSON.parse(callback!.body))).toBe(true);
});

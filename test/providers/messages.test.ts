import { describe, expect, it } from 'vitest';
import { createKeyring } from '../../config/keys/keyring.ts';
import { createCallbacks, readings } from '../../providers/mtpay/callback.ts';
import { keyId } from '../../providers/key-names.ts';
import { sign } from '../../providers/mtpay/signature.ts';
import { documentKey, randomSecret } from './keys.ts';

const AT = 1_625_546_438_154;
const other = { accessKey: randomSecret(), secretKey: randomSecret() };
const ring = createKeyring(() => ({ current: other, next: documentKey, previous: null }));
const port = createCallbacks(ring);
const data = (amount = '200.00') =>
  `{"externalOrderNumber":"o-1","transactionCode":"T-1","transactionAmount":${amount},"currencyCode":"CNY","paymentPrice":1000.00,"transactionCreateTime":"a","paymentFinishedTime":"b"}`;
const message = (signature = sign(documentKey, AT), amount?: string) =>
  Buffer.from(`{"signature":"${signature}","timestamp":${AT},"data":${data(amount)}}`);

describe('a message', () => {
  it('names its order, its time, the key that signed it, and its data', () => {
    const read = port.read(message());
    expect(read).toMatchObject({ externalOrderNumber: 'o-1', timestampMs: AT });
    expect(read.signedBy()).toBe(keyId(documentKey));
    expect(port.read(message(sign(other, AT))).signedBy()).toBe(keyId(other));
    expect(port.read(message(sign(documentKey, AT + 1))).signedBy()).toBeNull();
    expect(read.reading()).toMatchObject({ readable: true, data: { transactionAmount: '200' } });
  });

  it('is kept without its signature, however that is spelled and wherever it is repeated, and otherwise as it came', () => {
    const signature = sign(documentKey, AT);
    const spelled = `\\u00${signature.charCodeAt(0).toString(16)}${signature.slice(1)}`;
    const text = `{ "signature":"${signature}","timestamp":${AT},"data":${data()},"note":["x ${spelled} y","${signature.toLowerCase()}","a \\" b"] }`;
    expect(port.read(Buffer.from(text)).kept().toString()).toBe(
      `{ "signature":"[signature]","timestamp":${AT},"data":${data()},"note":["[signature]","[signature]","a \\" b"] }`,
    );
  });

  it('is read by the rules of today and by those of before exponents; what is no message by none', () => {
    const [today, before] = readings(message(undefined, '2E+2'));
    expect(today).toMatchObject({ readable: true, data: { transactionAmount: '200' } });
    expect(before).toMatchObject({ readable: false, fault: 'transactionAmount: not a decimal number' });
    expect(readings(Buffer.from('{}'))).toEqual([]);
  });
});

describe('the traces of a message in what is none', () => {
  const signature = sign(documentKey, AT);
  const traces = (text: string) => port.traces(text);

  it.each([
    ['JSON that was cut', `{"signature":"${signature}","timestamp":${AT},"data":{"externalOrderNumber":"o-1"`],
    ['a form', `signature=${signature}&timestamp=${AT}&externalOrderNumber=o-1`],
    ['small letters', `${signature.toLowerCase()} timestamp: ${AT}, externalOrderNumber: o-1`],
  ])('are an order and a signature of one of our keys: %s', (_, text) => {
    expect(traces(text)).toEqual({ orders: ['o-1'], isSigned: true });
  });

  it.each([
    ['nothing', ''],
    ['another time', `${signature} timestamp=${AT + 1}`],
    ['no time', signature],
    ['a time that is far from its name', `${signature} timestamp${' '.repeat(9)}${AT}`],
    ['a time right behind its name', `${signature} timestamp${AT}`],
    ['a short time', `${signature} timestamp=162554643`],
    ['a cut signature', `${signature.slice(1)} timestamp=${AT}`],
  ])('are no signature: %s', (_, text) => {
    expect(traces(text)).toEqual({ orders: [], isSigned: false });
  });

  it('are the first four of a kind: more would be work that a stranger asks for', () => {
    const names = (from: number, to: number) =>
      Array.from({ length: to - from + 1 }, (_, at) => `externalOrderNumber: ${'o'.repeat(from + at)}`).join(' ');
    expect(traces(names(1, 5)).orders).toEqual(['o', 'oo', 'ooo', 'oooo']);
    const stamps = (before: number) => `${'timestamp=1000000000 '.repeat(before)}timestamp=${AT} `;
    const signatures = (before: number) => `${`${'0'.repeat(64)} `.repeat(before)}${signature}`;
    expect([
      traces(stamps(3) + signatures(3)),
      traces(stamps(4) + signatures(0)),
      traces(stamps(0) + signatures(4)),
    ]).toEqual([true, false, false].map((isSigned) => ({ orders: [], isSigned })));
  });

  it('are an order of at most 64 characters near its name', () => {
    const long = 'a'.repeat(70);
    expect(traces(`externalOrderNumber"  :  "${long}`).orders).toEqual([long.slice(0, 64)]);
    expect(traces('externalOrderNumber":       "o-1').orders).toEqual([]);
  });
});

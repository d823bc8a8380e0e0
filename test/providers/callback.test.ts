import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { CallbackData } from '../../domain/order.ts';
import { contentHash } from '../../providers/content-hash.ts';
import { type Envelope, readData, readDataWithoutExponents, readEnvelope } from '../../providers/mtpay/callback.ts';
import { type CallbackReading, MalformedCallback } from '../../providers/port.ts';
import { isSignedBy, sign } from '../../providers/mtpay/signature.ts';
import { documentKey } from './keys.ts';

/** The example of the provider's document, figure by figure, with a signature and a time in place of its blanks. */
const EXAMPLE = `{
"signature": "SIGNATURE_HERE",
"timestamp": 1625546438154,
"data": {
"externalOrderNumber": "ORDER_CODE",
"transactionCode": "ATSA6E40D5FE7UZHE",
"transactionAmount": 200.00,
"currencyCode": "CNY",
"paymentPrice": 1000.00,
"transactionCreateTime": "2021-07-01T00:00:00",
"paymentFinishedTime": "2021-07-01T00:05:00"
}
}`;

const bytes = (text: string) => new TextEncoder().encode(text);
const envelope = (text: string) => readEnvelope(bytes(text));
const read = (text: string) => readData(envelope(text));
/** The example with one piece of its text replaced. */
function changed(piece: string, by: string): string {
  if (!EXAMPLE.includes(piece)) throw new Error(`no ${piece} in the example`);
  return EXAMPLE.replace(piece, by);
}
/** The example with a field's value replaced, or the field taken out. */
const withField = (field: string, value: string | null) =>
  EXAMPLE.replace(
    new RegExp(`"${field}": ("[^"]*"|[\\d.]+)(,?)`),
    value === null ? `"x": 1$2` : `"${field}": ${value}$2`,
  );

function readable(reading: CallbackReading): CallbackData {
  if (!reading.readable) throw new Error(reading.fault);
  return reading.data;
}
const fault = (reading: CallbackReading) => (reading.readable ? 'readable' : reading.fault);

describe("the document's example", () => {
  it('is read', () => {
    const message = envelope(EXAMPLE);
    expect(message).toMatchObject({
      signature: 'SIGNATURE_HERE',
      timestampMs: 1_625_546_438_154,
      externalOrderNumber: 'ORDER_CODE',
    });
    expect(readable(readData(message))).toEqual({
      externalOrderNumber: 'ORDER_CODE',
      transactionCode: 'ATSA6E40D5FE7UZHE',
      transactionAmount: '200',
      currencyCode: 'CNY',
      paymentPrice: '1000',
      transactionCreateTime: '2021-07-01T00:00:00',
      paymentFinishedTime: '2021-07-01T00:05:00',
    });
  });

  it('carries its signature and time in the body, and they verify', () => {
    const message = envelope(changed('SIGNATURE_HERE', sign(documentKey, 1_625_546_438_154)));
    expect(isSignedBy(documentKey, message.timestampMs, message.signature)).toBe(true);
  });

  it('is malformed as printed: its time 0 is a blank to fill in', () => {
    expect(() => envelope(changed('1625546438154', '0'))).toThrow(/^timestamp: /);
  });
});

describe('an envelope', () => {
  it.each([
    ['not JSON', 'no', /^the body is not strict JSON: not JSON$/],
    ['nothing', '', /^the body is not strict JSON: not JSON$/],
    ['cut', EXAMPLE.slice(0, -3), /^the body is not strict JSON: not JSON$/],
    ['two byte order marks', `\ufeff\ufeff${EXAMPLE}`, /^the body is not strict JSON: not JSON$/],
    ['a list', `[${EXAMPLE}]`, /^the body must be a JSON object$/],
    ['a text', '"callback"', /^the body must be a JSON object$/],
    ['null', 'null', /^the body must be a JSON object$/],
    ['a number', '1', /^the body must be a JSON object$/],
    [
      'a key twice',
      changed('"signature"', '"data": {},\n"signature"'),
      /^the body is not strict JSON: duplicate key at /,
    ],
    [
      'a key twice, once escaped',
      changed('"transactionCode"', '"\\u0063urrencyCode": "HKD",\n"transactionCode"'),
      /duplicate key/,
    ],
    ['a prototype', changed('"signature"', '"__proto__": {},\n"signature"'), /forbidden key/],
    ['half a character', changed('ATSA6E40D5FE7UZHE', 'A\\ud800'), /lone surrogate/],
    ['depth', changed('200.00', `${'['.repeat(17)}${']'.repeat(17)}`), /nested deeper/],
    ['no signature', withField('signature', null), /^signature: /],
    ['a signature that is null', withField('signature', 'null'), /^signature: /],
    ['a signature that is a list', withField('signature', '["A"]'), /^signature: /],
    ['a signature that is a number', withField('signature', '1'), /^signature: /],
    ['no timestamp', withField('timestamp', null), /^timestamp: /],
    ['no data', changed('"data"', '"date"'), /^data: /],
    ['data that is a list', '{"signature":"A","timestamp":1,"data":[]}', /^data: /],
    ['data that is a text', '{"signature":"A","timestamp":1,"data":"{}"}', /^data: /],
    ['data that is null', '{"signature":"A","timestamp":1,"data":null}', /^data: /],
    ['data that is a number', '{"signature":"A","timestamp":1,"data":1}', /^data: /],
    ['no order number', withField('externalOrderNumber', null), /^data\.externalOrderNumber: /],
  ])('with %s is malformed, and the error names the place', (_, text, message) => {
    expect(() => envelope(text)).toThrow(MalformedCallback);
    expect(() => envelope(text)).toThrow(message);
  });

  it.each([
    '1625546438154.0',
    '1.625546438154e12',
    '"1625546438154"',
    '01',
    '-1',
    '-0',
    '0',
    '1625546438154.5',
    'null',
    'true',
    '[1]',
    '1e400',
    '1000000000000000',
  ])('has one spelling of its time: %s is malformed', (spelling) => {
    const text = changed('1625546438154', spelling);
    expect(() => envelope(text)).toThrow(spelling === '01' ? /not JSON/ : /^timestamp: /);
  });

  it.each(['1', '1625546438154', '999999999999999'])('takes the time %s as it is', (spelling) => {
    expect(envelope(changed('1625546438154', spelling)).timestampMs).toBe(Number(spelling));
  });

  it.each([
    '""',
    '"a b"',
    '"a/b"',
    '"a.b"',
    '"a\\u0000"',
    '"a\\n"',
    '"é"',
    '"a|b"',
    '"../x"',
    `"${'a'.repeat(65)}"`,
    '1',
    'null',
    '["a"]',
    '{"a":1}',
  ])('with the order number %s is malformed', (number) => {
    expect(() => envelope(withField('externalOrderNumber', number))).toThrow(/^data\.externalOrderNumber: /);
  });

  it.each(['a', 'A-_9', 'a'.repeat(64)])('takes the order number %s as it is', (number) => {
    expect(envelope(withField('externalOrderNumber', `"${number}"`)).externalOrderNumber).toBe(number);
  });

  it.each([
    ['a stray byte', [0x22, 0xff, 0x22]],
    ['a cut character', [0x22, 0xe7, 0x8e, 0x22]],
    ['a longer spelling than needed', [0x22, 0xc0, 0xaf, 0x22]],
    ['half a surrogate pair', [0x22, 0xed, 0xa0, 0x80, 0x22]],
    ['UTF-16', [...Buffer.from('{}', 'utf16le')].concat(0xff)],
  ])('that is not UTF-8 is malformed and not repaired: %s', (_, raw) => {
    const inside = Buffer.concat([Buffer.from('{"signature":'), Buffer.from(raw), Buffer.from('}')]);
    expect(() => readEnvelope(inside)).toThrow(
      new MalformedCallback('the body is not UTF-8', { cause: expect.any(TypeError) }),
    );
  });

  it('may stand behind one byte order mark', () => {
    expect(envelope(`\ufeff${EXAMPLE}`)).toEqual(envelope(EXAMPLE));
  });

  it('keeps quiet about values', () => {
    for (const text of [
      withField('signature', '["hush"]'),
      withField('timestamp', '"hush"'),
      withField('externalOrderNumber', '"hush hush"'),
      changed('{', '{"hush":1,"hush":2,'),
      '"hush',
    ]) {
      try {
        envelope(text);
        expect.unreachable();
      } catch (error) {
        expect((error as Error).message).not.toContain('hush');
      }
    }
  });
});

describe('the data of an authentic callback', () => {
  const NOT_A_NUMBER = ['"200.00"', 'null', 'true', '[200]', '{"value":200}'];
  it.each([
    ...NOT_A_NUMBER.map((value) => ['transactionAmount', value, 'expected a JSON number']),
    ...NOT_A_NUMBER.map((value) => ['paymentPrice', value, 'expected a JSON number']),
    ['transactionAmount', '1e400', 'not a decimal number'],
    ['transactionAmount', '1e100', 'not a decimal number'],
    ['transactionAmount', '1e15', 'not a decimal number'],
    ['transactionAmount', '10000000000000000e-1', 'not a decimal number'],
    ['transactionAmount', '1e-9', 'too many decimals'],
    ['transactionAmount', '1e-99', 'too many decimals'],
    ['transactionAmount', '0.2000000001E1', 'too many decimals'],
    ['transactionAmount', '0e0', 'not positive'],
    ['transactionAmount', '0.0E+9', 'not positive'],
    ['transactionAmount', '-2E+2', 'not a decimal number'],
    ['transactionAmount', '-0e0', 'not a decimal number'],
    ['transactionAmount', '"2E+2"', 'expected a JSON number'],
    ['transactionAmount', '-1', 'not a decimal number'],
    ['transactionAmount', '-0', 'not a decimal number'],
    ['transactionAmount', '1234567890123456', 'not a decimal number'],
    ['transactionAmount', '0', 'not positive'],
    ['transactionAmount', '0.00', 'not positive'],
    ['transactionAmount', '200.000000001', 'too many decimals'],
    ['transactionAmount', '0.30000000000000004', 'too many decimals'],
    ['paymentPrice', '1000.005', 'too many decimals'],
    ['paymentPrice', '1e-3', 'too many decimals'],
    ['paymentPrice', '1e15', 'not a decimal number'],
    ['paymentPrice', '0', 'not positive'],
    ...['"USD"', '"cny"', '"CNY "', '""', 'null', '1', '["CNY"]', '"toString"'].map((value) => [
      'currencyCode',
      value,
      'expected one of CNY, HKD, TWD',
    ]),
    ...['""', '"a b"', '"a|b"', '"a\\u0000"', `"${'A'.repeat(65)}"`, '1', 'null', '["A"]'].map((value) => [
      'transactionCode',
      value,
      'expected 1 to 64 of A-Z a-z 0-9 _ -',
    ]),
    ...['transactionCreateTime', 'paymentFinishedTime'].flatMap((field) =>
      ['1625546438154', 'null', `"${'9'.repeat(65)}"`, '"2021\\u0000"', '"2021\\u001b[31m"', '["2021"]'].map(
        (value) => [field, value, 'expected a text of at most 64 characters'],
      ),
    ),
  ] as [string, string, string][])('with %s %s is kept as unreadable', (field, value, words) => {
    expect(fault(read(withField(field, value)))).toBe(`${field}: ${words}`);
  });

  it.each([
    'transactionCode',
    'transactionAmount',
    'currencyCode',
    'paymentPrice',
    'transactionCreateTime',
    'paymentFinishedTime',
  ])('without %s is kept as unreadable, and the field is named', (field) => {
    expect(fault(read(withField(field, null)))).toMatch(new RegExp(`^${field}: expected `));
  });

  it.each([
    '',
    '9'.repeat(64),
    'yesterday',
    '2021-02-30T25:61:61',
    '9999-12-31T23:59:59',
    '2021-07-01T00:00:00+08:00',
    '一',
  ])('decides nothing by its times: %j is kept as text', (time) => {
    const text = withField('transactionCreateTime', JSON.stringify(time));
    expect(readable(read(text)).transactionCreateTime).toBe(time);
  });

  it.each([
    ['200', '200'],
    ['200.0', '200'],
    ['0.1', '0.1'],
    ['0.00000001', '0.00000001'],
    ['999999999999999.99999999', '999999999999999.99999999'],
    ['9007199254740993', 'not a decimal number'],
    ['900719925474099.3', '900719925474099.3'],
    ['9.99999999999999E+14', '999999999999999'],
    ['1E-8', '0.00000001'],
    ['1.00000000000000000000e-8', '0.00000001'],
    ['123456789012345.67e0', '123456789012345.67'],
    ['0.30000000000000004e17', 'not a decimal number'],
    ['0.30000000000000004e10', '3000000000.0000004'],
  ])('reads the amount %s exactly', (written, expected) => {
    const reading = read(withField('transactionAmount', written));
    expect(reading.readable ? reading.data.transactionAmount : fault(reading)).toContain(expected);
  });

  it('is read or is unreadable, whatever stands in it: nothing is thrown', () => {
    const value = fc.oneof(
      fc.jsonValue({ maxDepth: 3 }).map((v) => JSON.stringify(v)),
      fc.constantFrom('200.00', '"CNY"', '"A"', '1e400', '2E+2', '-0'),
    );
    const fields = fc.record({
      transactionCode: value,
      transactionAmount: value,
      currencyCode: value,
      paymentPrice: value,
      transactionCreateTime: value,
      paymentFinishedTime: value,
    });
    fc.assert(
      fc.property(fields, (data) => {
        const members = Object.entries(data).map(([name, text]) => `"${name}":${text}`);
        const text = `{"signature":"A","timestamp":1,"data":{"externalOrderNumber":"o",${members.join(',')}}}`;
        let message: Envelope;
        try {
          message = envelope(text);
        } catch (error) {
          expect(error).toBeInstanceOf(MalformedCallback);
          return;
        }
        expect(readData(message).contentHash).toHaveLength(32);
      }),
    );
  });

  it('is unaffected by fields that nobody knows, wherever they are', () => {
    const extra = '"note": {"amount": 1, "currencyCode": "USD"},\n"__v": null,\n"constructor": 1,\n';
    const more = changed('"signature"', `${extra}"signature"`).replace(
      '"transactionCode"',
      `${extra}"transactionCode"`,
    );
    expect(read(more)).toEqual(read(EXAMPLE));
  });
});

describe('the content of a callback', () => {
  const hash = (text: string) => read(text).contentHash.toString('hex');
  const example = hash(EXAMPLE);

  it('is the same however it is signed, stamped, ordered and laid out', () => {
    expect(hash(changed('SIGNATURE_HERE', 'ANOTHER').replace('1625546438154', '1625546498154'))).toBe(example);
    const message = JSON.parse(EXAMPLE) as { data: object };
    const reversed = { ...message, data: Object.fromEntries(Object.entries(message.data).toReversed()) };
    expect(hash(JSON.stringify(reversed))).toBe(example);
    expect(hash(EXAMPLE.replaceAll('\n', '\r\n\t'))).toBe(example);
    expect(hash(changed('"ATSA6E40D5FE7UZHE"', '"\\u0041TSA6E40D5FE7UZHE"'))).toBe(example);
  });

  it.each(['200', '200.0', '200.00', '200.000000000000'])('is the same for the amount %s', (written) => {
    expect(hash(withField('transactionAmount', written))).toBe(example);
  });

  it.each([
    ['200', '1000', ['2E+2', '2e2', '2.0E2', '2000E-1', '0.2e3', '200.000e0', '200E-0', '2e02']],
    ['5000', '36000', ['5E+3', '5e3', '5.0E3', '50000E-1', '0.5e4', '5000.000e0']],
  ])('is the same for every spelling of the number %s, exponents too', (amount, price, spellings) => {
    const told = (written: string, paid: string) =>
      withField('transactionAmount', written).replace('"paymentPrice": 1000.00', `"paymentPrice": ${paid}`);
    const plain = read(told(amount, price));
    expect(readable(plain)).toMatchObject({ transactionAmount: amount, paymentPrice: price });
    for (const written of spellings) {
      expect(read(told(written, price)), written).toEqual(plain);
      expect(read(told(amount, `${Number(price) / 1_000}E+3`)), written).toEqual(plain);
    }
  });

  it('is that of its time for a row from before exponents were read: by those rules it was unreadable', () => {
    const written = envelope(withField('transactionAmount', '2E+2'));
    const then = readDataWithoutExponents(written);
    expect(fault(then)).toBe('transactionAmount: not a decimal number');
    expect(then.contentHash.equals(readData(written).contentHash)).toBe(false);
    expect(readDataWithoutExponents(envelope(EXAMPLE))).toEqual(read(EXAMPLE));
  });

  it('is another for every field that differs, and no two of them agree', () => {
    const others = [
      withField('externalOrderNumber', '"ORDER_CODF"'),
      withField('transactionCode', '"ATSA6E40D5FE7UZHF"'),
      withField('transactionAmount', '200.00000001'),
      withField('currencyCode', '"HKD"'),
      withField('paymentPrice', '1000.01'),
      withField('transactionCreateTime', '"2021-07-01T00:00:01"'),
      withField('paymentFinishedTime', '"2021-07-01T00:05:01"'),
      // Both times swapped: the place in the list counts.
      withField('transactionCreateTime', '"2021-07-01T00:05:00"').replace('T00:05:00"\n}', 'T00:00:00"\n}'),
    ].map(hash);
    expect(new Set([example, ...others]).size).toBe(others.length + 1);
  });

  it('has the same hash for ever: rows and seals hold it', () => {
    expect(example).toBe('f627c67052c7decb67b41a738b03941cbf6f22f2abdaafee7fb7db269fed2aab');
    expect(hash('{"signature":"A","timestamp":1,"data":{"externalOrderNumber":"o","currencyCode":"USD"}}')).toBe(
      '794c21af5bd5f4e0363a71a9a7e8afda7ed5b0862bbf7d7573b381dad4566ed5',
    );
  });

  it('is what the seven fields say and nothing else', () => {
    expect(contentHash(readable(read(EXAMPLE))).toString('hex')).toBe(example);
  });

  it('cannot be shifted from one field into the next', () => {
    const data = readable(read(EXAMPLE));
    fc.assert(
      fc.property(fc.string(), fc.string(), fc.string(), fc.string(), (a, b, c, d) => {
        const one = contentHash({ ...data, transactionCreateTime: a, paymentFinishedTime: b });
        const two = contentHash({ ...data, transactionCreateTime: c, paymentFinishedTime: d });
        expect(one.equals(two)).toBe(a === c && b === d);
      }),
    );
    const one = contentHash({ ...data, transactionCreateTime: 'a","b', paymentFinishedTime: 'c' });
    expect(one.equals(contentHash({ ...data, transactionCreateTime: 'a', paymentFinishedTime: 'b","c' }))).toBe(false);
  });

  it('that cannot be read is known again in another order and layout, but not with another value', () => {
    const unreadable =
      '{"signature":"A","timestamp":1,"data":{"externalOrderNumber":"o","currencyCode":"USD","more":[1,{"b":2,"a":null}]}}';
    const laidOut =
      '{"timestamp":2,"signature":"B","data":{"more":[1, {"a":null, "b":2}],"currencyCode":"\\u0055SD", "externalOrderNumber":"o"}}';
    expect(hash(laidOut)).toBe(hash(unreadable));
    for (const other of [
      '"USX"',
      '"o2"',
      '[1,{"b":3,"a":null}]',
      '[{"b":2,"a":null},1]',
      '[1.0,{"b":2,"a":null}]',
      '["1",{"b":2,"a":null}]',
    ]) {
      const place = other === '"USX"' ? '"USD"' : other === '"o2"' ? '"o"' : '[1,{"b":2,"a":null}]';
      expect(hash(unreadable.replace(place, other)), other).not.toBe(hash(unreadable));
    }
  });
});

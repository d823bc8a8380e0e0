import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type Json, JsonNumber, JsonSyntaxError, parseJson } from '../../../sandbox/wire/json.ts';

const plain = (value: Json): unknown => {
  if (value instanceof JsonNumber) return Number(value.text);
  if (value instanceof Map) return Object.fromEntries([...value].map(([key, member]) => [key, plain(member as Json)]));
  return Array.isArray(value) ? value.map(plain) : value;
};

test('a number keeps the digits it was written with', () => {
  const body = parseJson('{"a": 32551.20, "b": 0.1000000000000000055, "c": -0, "d": 1e400}') as ReadonlyMap<
    string,
    JsonNumber
  >;
  expect([...body.values()].map((value) => value.text)).toEqual(['32551.20', '0.1000000000000000055', '-0', '1e400']);
});

test('whatever JSON.stringify writes is read as the same value', () => {
  fc.assert(
    fc.property(fc.jsonValue({ maxDepth: 6 }), (value) => {
      const text = JSON.stringify(value);
      expect(JSON.stringify(plain(parseJson(text)))).toBe(JSON.stringify(JSON.parse(text)));
    }),
  );
});

test('whatever JSON.parse refuses is refused', () => {
  const characters = '{}[]",:.-+eE0123456789truefalsn\\u \n\u0001'.split('');
  const almostJson = fc.array(fc.constantFrom(...characters), { maxLength: 14 });
  fc.assert(
    fc.property(almostJson, (chosen) => {
      const text = chosen.join('');
      let reference = true;
      try {
        JSON.parse(text);
      } catch {
        reference = false;
      }
      fc.pre(!reference);
      expect(() => parseJson(text)).toThrow(JsonSyntaxError);
    }),
    { numRuns: 2_000 },
  );
});

test.each(['{"a":1,"a":2}', '{"a":1,"\\u0061":1}', '['.repeat(40) + ']'.repeat(40), '\ufeff{}', '{}{}', ''])(
  'the repeated, deep or foreign text %j is refused',
  (text) => {
    expect(() => parseJson(text)).toThrow(JsonSyntaxError);
  },
);

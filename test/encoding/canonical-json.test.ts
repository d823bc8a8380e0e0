import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { canonicalJson, canonicalText, compareText, fileJson } from '../../encoding/canonical-json.ts';

const known = fc.letrec((tie) => ({
  value: fc.oneof(
    { maxDepth: 4 },
    fc.constant(null),
    fc.boolean(),
    fc.maxSafeInteger().map((value) => value + 0),
    fc.string({ unit: 'binary' }),
    fc.array(tie('value')),
    fc.dictionary(fc.string({ unit: 'grapheme' }), tie('value')),
  ),
})).value;

/** The same value with the names of every object in reverse order. */
function turned(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(turned);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .toReversed()
      .map(([key, item]) => [key, turned(item)]),
  );
}

describe('canonical JSON', () => {
  test('is one text for one value, which it gives back', () => {
    fc.assert(
      fc.property(known, (value) => {
        const text = canonicalJson(value);
        expect(canonicalJson(turned(value))).toBe(text);
        expect(canonicalJson(JSON.parse(text))).toBe(text);
        expect(JSON.parse(text)).toEqual(value);
        expect(canonicalJson(JSON.parse(fileJson(value)))).toBe(text);
        expect(fileJson(turned(value))).toBe(fileJson(value));
      }),
    );
  });

  test('sorts names that look like numbers, too', () => {
    expect(canonicalJson({ b: 1, 10: { z: [], a: {} }, 9: 2 })).toBe('{"10":{"a":{},"z":[]},"9":2,"b":1}');
  });

  test.each([[0.5], [-0], [Number.NaN], [2 ** 53], [undefined], [1n], ['\uD800'], [{ a: undefined }]])(
    'has no text for %s, rather than one of several',
    (value) => {
      expect(() => canonicalJson(value)).toThrow(TypeError);
    },
  );
});

test('the same value as a file has a line for each member, and none for nothing', () => {
  const value = { list: [1, { b: true, a: null }], empty: [], none: {}, text: 'é\n' };
  expect(fileJson(value)).toBe(
    `${JSON.stringify({ empty: [], list: [1, { a: null, b: true }], none: {}, text: 'é\n' }, null, 2)}\n`,
  );
});

test('what came out of any JSON has a text, whatever numbers and halves of characters are in it', () => {
  expect(canonicalText({ b: [0.5, -0, '\uD800'], a: null })).toBe('{"a":null,"b":[0.5,0,"\\ud800"]}');
});

test('an error says of what kind a value is that has no text', () => {
  expect(() => canonicalJson(0.5)).toThrow(new TypeError('a report cannot hold this number'));
  expect(() => canonicalJson([undefined])).toThrow(new TypeError('a report cannot hold this undefined'));
});

test('names are in the order of their code units, whatever the language', () => {
  expect(['b', 'ä', 'a', 'B', '😀', '\uFFFD', 'a'].toSorted(compareText)).toEqual([
    'B',
    'a',
    'a',
    'b',
    'ä',
    '😀',
    '\uFFFD',
  ]);
  expect([compareText('a', 'b'), compareText('b', 'a'), compareText('a', 'a')]).toEqual([-1, 1, 0]);
});

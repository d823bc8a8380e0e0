import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isObject, JsonError, JsonNumber, type JsonValue, parseStrictJson } from '../../encoding/strict-json.ts';

/** The result of JSON.parse: numbers as floats, objects with a prototype. */
function plain(value: JsonValue): unknown {
  if (value instanceof JsonNumber) return Number(value.text);
  if (Array.isArray(value)) return value.map((item: JsonValue) => plain(item));
  if (isObject(value)) return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, plain(item)]));
  return value;
}

/** The numbers of a document in order, as they are written there. */
function numbers(value: JsonValue): string[] {
  if (value instanceof JsonNumber) return [value.text];
  if (Array.isArray(value)) return value.flatMap((item: JsonValue) => numbers(item));
  return isObject(value) ? Object.values(value).flatMap((item) => numbers(item)) : [];
}

const documents = fc
  .jsonValue({ maxDepth: 6, stringUnit: 'binary' })
  .filter((value) => JSON.stringify(value).isWellFormed() && !JSON.stringify(value).includes('__proto__'));
const spaces = fc.array(fc.stringMatching(/^[ \t\n\r]{0,3}$/), { minLength: 1, maxLength: 5 });

describe('what JSON.parse reads', () => {
  it('is read alike, in any layout', () => {
    fc.assert(
      fc.property(documents, fc.constantFrom(0, 1, '\t', ' \r\n'), spaces, (value, indent, around) => {
        const text = around[0] + JSON.stringify(value, null, indent) + around.at(-1)!;
        expect(plain(parseStrictJson(text))).toEqual(JSON.parse(text));
      }),
    );
  });

  it.each([
    '{}',
    '[]',
    '""',
    '"\\u0000"',
    'true',
    'false',
    'null',
    '0',
    ' [ ] ',
    '{ "a" : [ ] , "b" : { } }',
    '[1,[2,[3]]]',
  ])('is read alike: %s', (text) => {
    expect(plain(parseStrictJson(text))).toEqual(JSON.parse(text));
  });

  it('is refused alike, and with a JsonError, when it is broken anywhere', () => {
    const letters = '{}[]",:\\u0123eE+-. tfn\n\0\u00e9'.split('');
    const edits = fc.array(fc.tuple(fc.nat(200), fc.nat(2), fc.constantFrom('', ...letters)), { maxLength: 3 });
    fc.assert(
      fc.property(documents, edits, (value, changes) => {
        const text = changes.reduce(
          (before, [at, removed, inserted]) => before.slice(0, at) + inserted + before.slice(at + removed),
          JSON.stringify(value),
        );
        let expected: unknown;
        try {
          expected = JSON.parse(text);
        } catch {
          expect(() => parseStrictJson(text)).toThrow(JsonError);
          return;
        }
        try {
          expect(plain(parseStrictJson(text))).toEqual(expected);
        } catch (error) {
          // Valid JSON that is refused on purpose.
          if (!(error instanceof JsonError)) throw error;
          expect(error.message).toMatch(/^(duplicate key|forbidden key|lone surrogate|nested deeper)/);
        }
      }),
      { numRuns: 1_000 },
    );
  });

  it.each([
    '',
    ' ',
    '{',
    '}',
    '{]',
    '[1,]',
    '{"a":1,}',
    '{,"a":1}',
    '[1 2]',
    '{"a" 1}',
    '{a:1}',
    "{'a':1}",
    '"\n"',
    '"\\x41"',
    '01',
    '1.',
    '.5',
    '+1',
    '--1',
    '1e',
    'NaN',
    'Infinity',
    'undefined',
    'True',
    '// 1',
    '/**/1',
    '1;',
    '{}{}',
    '\ufeff{}',
    '\u00a0{}',
    '{}\0',
  ])('and what it refuses is refused: %j', (text) => {
    expect(() => parseStrictJson(text)).toThrow(new JsonError('not JSON'));
  });
});

describe('a number', () => {
  it.each(['200.00', '1e400', '-0', '0.1', '1E+2', '1e-7', '0.30000000000000004', '9007199254740993', '200.000000001'])(
    'keeps its text: %s',
    (text) => {
      expect(parseStrictJson(text)).toEqual(new JsonNumber(text));
      expect(numbers(parseStrictJson(`{"a":[${text}, ${text} ],"b":${text}}`))).toEqual([text, text, text]);
    },
  );

  it('is not mistaken for the same digits in a string', () => {
    expect(parseStrictJson('["200.00",200.00]')).toEqual(['200.00', new JsonNumber('200.00')]);
  });

  it('keeps its text among any neighbours', () => {
    const literal = fc.stringMatching(/^-?(0|[1-9][0-9]{0,20})(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,4})?$/);
    fc.assert(
      fc.property(fc.array(literal, { minLength: 1 }), (texts) => {
        expect(numbers(parseStrictJson(`[${texts.join(',')}]`))).toEqual(texts);
      }),
    );
  });
});

describe('a key', () => {
  it.each([
    ['twice', '{"a":1,"a":2}'],
    ['twice with the same value', '{"a":1,"a":1}'],
    ['twice, once escaped', '{"a":1,"\\u0061":2}'],
    ['twice, both escaped', '{"\\u0061":1,"\\u0061":2}'],
    ['twice in a nested object', '{"data":{"amount":1,"x":0,"amount":2}}'],
    ['twice in an object in a list', '[{"a":1},{"b":1,"b":1}]'],
    ['empty, twice', '{"":1,"":2}'],
    ['that every object has by inheritance, twice', '{"toString":1,"toString":2}'],
  ])('T14: %s is refused', (_, text) => {
    expect(() => parseStrictJson(text)).toThrow(/^duplicate key at \d+$/);
  });

  it('may stand once in each object', () => {
    expect(plain(parseStrictJson('{"a":{"a":1},"b":[{"a":2},{"a":3}]}'))).toEqual({
      a: { a: 1 },
      b: [{ a: 2 }, { a: 3 }],
    });
  });

  it.each(['{"__proto__":{"a":1}}', '{"\\u005f_proto__":1}', '{"data":{"__proto__":null}}'])(
    'T15: that names the prototype is refused: %s',
    (text) => {
      expect(() => parseStrictJson(text)).toThrow(/^forbidden key at \d+$/);
      expect(({} as Record<string, unknown>)['a']).toBeUndefined();
    },
  );

  it.each(['constructor', 'prototype', 'toString', 'hasOwnProperty', 'valueOf'])('%s is only a key', (name) => {
    const value = parseStrictJson(`{"${name}":"mine"}`);
    expect(isObject(value) && value[name]).toBe('mine');
    const without = parseStrictJson('{}');
    expect(isObject(without) && without[name]).toBeUndefined();
    expect(Object.getPrototypeOf(without)).toBeNull();
  });
});

describe('depth', () => {
  const nested = (levels: number) => '['.repeat(levels) + ']'.repeat(levels);
  const objects = (levels: number) => `${'{"a":'.repeat(levels)}1${'}'.repeat(levels)}`;

  it('is allowed up to sixteen levels below the first', () => {
    expect(plain(parseStrictJson(nested(17)))).toEqual(JSON.parse(nested(17)));
    expect(plain(parseStrictJson(objects(16)))).toEqual(JSON.parse(objects(16)));
  });

  it('is refused beyond, in lists and in objects', () => {
    expect(() => parseStrictJson(nested(18))).toThrow(new JsonError('nested deeper than 16'));
    expect(() => parseStrictJson(objects(17))).toThrow(new JsonError('nested deeper than 16'));
  });
});

describe('text', () => {
  it.each(['"\\ud800"', '"a\\udc00b"', '{"\\ud800":1}', '["\\udc00\\ud800"]'])(
    'with half a character is refused: %s',
    (text) => {
      expect(() => parseStrictJson(text)).toThrow(/^lone surrogate before \d+$/);
    },
  );

  it('with a whole character beyond the first plane is kept, escaped or not', () => {
    expect(parseStrictJson('"\\ud83d\\ude00"')).toBe('😀');
    expect(parseStrictJson('"😀"')).toBe('😀');
  });

  it('that looks like structure stays text', () => {
    expect(parseStrictJson('["{","\\"","]",",","\\\\"]')).toEqual(['{', '"', ']', ',', '\\']);
  });
});

describe('the worst that fits into 16 kB', () => {
  const SIZE = 16 * 1024;
  const fill = (head: string, body: string, tail: string) =>
    head + body.repeat(Math.floor((SIZE - head.length - tail.length) / body.length)) + tail;
  it.each([
    ['open lists', fill('', '[', ''), 'refused'],
    ['open objects', fill('', '{"a":', ''), 'refused'],
    ['closed lists', '['.repeat(SIZE / 2) + ']'.repeat(SIZE / 2), 'refused'],
    ['a string without end', fill('"', 'a', ''), 'refused'],
    ['an escape without end', fill('"', '\\', ''), 'refused'],
    ['minus signs', fill('', '-', ''), 'refused'],
    ['a long string', fill('"', 'a', '"'), 'read'],
    ['a long string of escapes', fill('"', '\\u0061', '"'), 'read'],
    ['a long string of backslashes', fill('"', '\\\\', '"'), 'read'],
    ['a long number', fill('', '1', ''), 'read'],
    ['a long fraction', fill('1.', '0', '1'), 'read'],
    ['a long list', fill('[', '1,', '1]'), 'read'],
    ['a list of empty lists', fill('[', '[],', '[]]'), 'read'],
    ['blanks', fill('', ' ', '1'), 'read'],
    ['many keys', `{${Array.from({ length: 1_500 }, (_, i) => `"k${i}":1`).join(',')}}`, 'read'],
  ])('is answered: %s', (_, text, expected) => {
    expect(text.length).toBeLessThanOrEqual(SIZE);
    if (expected === 'refused') expect(() => parseStrictJson(text)).toThrow(JsonError);
    else expect(plain(parseStrictJson(text))).toEqual(JSON.parse(text));
  });
});

it('an error says where, never what', () => {
  for (const text of ['{"secret-name":1,"secret-name":2}', '{"x":"secret-name" oops}', '["secret-name\\ud800"]']) {
    try {
      parseStrictJson(text);
      expect.unreachable();
    } catch (error) {
      expect((error as Error).message).not.toContain('secret');
    }
  }
});

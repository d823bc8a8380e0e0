import fc from 'fast-check';
import { describe, expect, it, test } from 'vitest';
import { findJsonFault, placeInText } from '../../encoding/json-fault.ts';

describe('the fault of a text that is no JSON', () => {
  it.each([
    ['{"a":1,\n "b":2,\n}', 'a comma must not come before }', 'line 2, column 7'],
    ['[1,]', 'a comma must not come before ]', 'line 1, column 3'],
    ['{"a":1 "b":2}', 'a comma or } was expected', 'line 1, column 8'],
    ["{'a':1}", 'a key in double quotes was expected', 'line 1, column 2'],
    ['{"a"=1}', 'a colon was expected after the key', 'line 1, column 5'],
    ['{"a":undefined}', 'a value was expected', 'line 1, column 6'],
    ['{"a":"x', 'a text in quotes does not end', 'line 1, column 6'],
    ['{"a":"x\ny"}', 'a control character within a text', 'line 1, column 8'],
    ['{"a":"\\x"}', 'an unknown escape', 'line 1, column 7'],
    ['{"a":[1,2', 'the text ends too early', 'line 1, column 10'],
    ['{} {}', 'there is more after the end', 'line 1, column 4'],
    ['\n ', 'the text is empty', 'line 1, column 1'],
  ])('%j: %s, at %s', (text, what, place) => {
    const found = findJsonFault(text)!;
    expect([found.what, placeInText(text, found.at)]).toEqual([what, place]);
  });

  it('is found exactly where JSON.parse refuses the text', () => {
    const letters = '{}[]",:\\u0123eE+-. tfn\n\0\u00e9'.split('');
    const edits = fc.array(fc.tuple(fc.nat(200), fc.nat(2), fc.constantFrom('', ...letters)), { maxLength: 3 });
    let refused = 0;
    fc.assert(
      fc.property(fc.json({ maxDepth: 3 }), edits, (json, changes) => {
        const text = changes.reduce(
          (before, [at, removed, inserted]) => before.slice(0, at) + inserted + before.slice(at + removed),
          json,
        );
        let isJson = true;
        try {
          JSON.parse(text);
        } catch {
          isJson = false;
          refused += 1;
        }
        expect(findJsonFault(text) === null).toBe(isJson);
      }),
      { numRuns: 5_000 },
    );
    expect(refused).toBeGreaterThan(500);
  });
});

/** As long as a body may be. Reading it anew from every letter, or going down at every bracket, would not end well. */
test.each([
  ['brackets', '['.repeat(16_000)],
  ['keys', '{"a":'.repeat(3_000)],
  ['a text without end', `["${'x'.repeat(16_000)}`],
  ['digits', `[${'1'.repeat(16_000)}x`],
  ['blanks', `${' '.repeat(16_000)}x`],
])('T16: a body of %s is looked through once', { timeout: 20_000 }, (_, text) => {
  for (let times = 0; times < 200; times += 1) expect(findJsonFault(text)).not.toBeNull();
});

import { describe, expect, test } from 'vitest';
import { allVisible, spelledOut, visible } from '../../encoding/visible.ts';

describe('what cannot be seen is spelled out', () => {
  test.each([
    ['a line end', 'a\nb', 'a⟨U+000A⟩b'],
    ['a control of two digits', '\u009B', '⟨U+009B⟩'],
    ['a mark of direction', '\u202Eabc', '⟨U+202E⟩abc'],
    ['no width', 'a\u200Bb\u200Bc', 'a⟨U+200B⟩b⟨U+200B⟩c'],
    ['half a character', 'x\uD83D', 'x⟨U+D83D⟩'],
    ['a separator of lines', '\u2028', '⟨U+2028⟩'],
    ['a separator of paragraphs', '\u2029', '⟨U+2029⟩'],
    ['a tag beyond the first plane', '\u{E0041}', '⟨U+E0041⟩'],
  ])('%s', (_, text, shown) => expect(spelledOut(text)).toBe(shown));

  test('and what can be seen stays: letters of any script, marks on them, blanks', () => {
    const text = 'Zoë 王小明 😀 a\u0301 "<&>"';
    expect(spelledOut(text)).toBe(text);
  });
});

test('a text of 2,000 characters is whole; a longer one is cut, and says how long it was', () => {
  const [whole, longer] = ['a'.repeat(2_000), 'a'.repeat(2_001)];
  expect(visible(whole)).toBe(whole);
  expect(visible(longer)).toBe(`${whole}… (cut, 2001 characters)`);
  expect(visible('a\0')).toBe('a⟨U+0000⟩');
  expect(spelledOut(longer)).toBe(longer);
});

test('every text in a plain value becomes visible, and names and everything else stay', () => {
  const long = 'b'.repeat(3_000);
  const value = { 'a\n': 'x\n', list: ['\t', 1, null, true, { deep: '\r' }], long, none: null, not: undefined };
  expect(allVisible(value)).toEqual({
    'a\n': 'x⟨U+000A⟩',
    list: ['⟨U+0009⟩', 1, null, true, { deep: '⟨U+000D⟩' }],
    long: visible(long),
    none: null,
    not: undefined,
  });
  expect([allVisible('\n'), allVisible(null), allVisible(7)]).toEqual(['⟨U+000A⟩', null, 7]);
});

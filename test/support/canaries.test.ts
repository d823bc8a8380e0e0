import { describe, expect, test } from 'vitest';
import { findCanaries } from './canaries.ts';

const SECRET = 'Zq7_-k9/+Wmv2Xr4';
const NAME = '欧阳 José Ñandú';
const canaries = { secret: SECRET, name: NAME };
const found = (text: string) => findCanaries(canaries, [{ name: 'a log', text }]);
const bytes = (value: string) => Buffer.from(value, 'utf8');

describe('the scanner finds a canary', () => {
  const WAYS: [string, (value: string) => string][] = [
    ['as it is', (value) => `x ${value} y`],
    ['in capitals', (value) => value.toUpperCase()],
    ['in small letters', (value) => value.toLowerCase()],
    ['in hexadecimal', (value) => bytes(value).toString('hex')],
    ['in upper hexadecimal', (value) => bytes(value).toString('hex').toUpperCase()],
    ['as a bytea of Postgres', (value) => `\\x${bytes(value).toString('hex')}`],
    ['in base64', (value) => bytes(value).toString('base64')],
    ['in base64url', (value) => bytes(value).toString('base64url')],
    ['in base64 with one byte before it', (value) => bytes(`a${value}bc`).toString('base64')],
    ['in base64 with two bytes before it', (value) => bytes(`ab${value}c`).toString('base64')],
    ['in base64url within a longer text', (value) => bytes(`{"a":"${value}"}`).toString('base64url')],
    ['in base64 of base64', (value) => bytes(bytes(`{"a":"${value}"}`).toString('base64')).toString('base64')],
    ['in hexadecimal of base64', (value) => bytes(bytes(value).toString('base64')).toString('hex')],
    ['URL-encoded', (value) => `?q=${encodeURIComponent(value)}&r=1`],
    ['URL-encoded to the last character', (value) => [...bytes(value)].map((b) => `%${b.toString(16)}`).join('')],
    ['as a field of a form', (value) => new URLSearchParams({ value }).toString()],
    ['in JSON', (value) => JSON.stringify({ value })],
    ['in JSON within JSON', (value) => JSON.stringify({ value: JSON.stringify({ value }) })],
    [
      'in escapes of JSON',
      (value) =>
        Array.from(value)
          .map((c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`)
          .join(''),
    ],
    ['with line ends in it', (value) => value.match(/.{1,4}/g)!.join('\n')],
    ['with spaces in it', (value) => Array.from(value).join(' ')],
    ['in UTF-16', (value) => Buffer.from(value, 'utf16le').toString('latin1')],
    ['as the bytes of a Buffer in JSON', (value) => JSON.stringify(bytes(value))],
    ['backwards', (value) => Array.from(value).toReversed().join('')],
  ];

  test.each(WAYS)('%s', (_, write) => {
    expect(found(`{"level":30,"msg":"${write(SECRET)}"}`).join()).toContain('secret as');
    expect(found(`{"level":30,"msg":"${write(NAME)}"}`).join()).toContain('name as');
  });
});

test('the scanner says which, how and where, and never the canary itself', () => {
  expect(found(SECRET)).toEqual(['secret as it is in a log']);
});

test('it finds nothing where there is nothing: in hashes, ids, half a secret, other names', () => {
  for (const text of [
    'f3'.repeat(200),
    Buffer.alloc(3_000, 'deposit').toString('base64'),
    SECRET.slice(0, 9),
    SECRET.slice(6),
    '{"deposit":"o-abcdef","error":"Error"}',
    '欧阳 José',
  ]) {
    expect(found(text), text.slice(0, 40)).toEqual([]);
  }
});

test('a canary that chance could write is refused', () => {
  expect(() => findCanaries({ short: 'abc' }, [])).toThrow('too short');
});

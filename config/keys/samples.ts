/** Published keys: they are in the provider's documents, and so in docs/reference/protocol.md. */
const PUBLISHED = [
  'B6QKwx0NnKaQ14zf24Ux5Oc9Gy1xlf2R',
  'WUYx7DTQZakugtP9gOAimYUphcnc3jWuPRi1UVnWmwXSnMnsCVBzz1ILdaxisvz9',
];
/**
 * Placeholders for keys. Each has at least six letters, or eight characters that hexadecimal text has too, so that
 * random text does not contain one by chance.
 */
const PLACEHOLDER =
  /change.?me|example|sample|secret|password|placeholder|replace|default|insert|dummy.?key|your.?key|test.?key|access.?key|abcdefgh|01234567|12345678|qwerty/i;
const MIN_DIFFERENT_CHARACTERS = 8;

/**
 * Whether a key is public or easy to guess: published, a placeholder, few different characters, or one piece repeated.
 * The base64url-decoded text is checked for placeholders too.
 */
export function isSample(text: string): boolean {
  const decoded = Buffer.from(text, 'base64url').toString('latin1');
  return PUBLISHED.some((known) => text.includes(known)) || isObvious(text) || PLACEHOLDER.test(decoded);
}

const isObvious = (text: string): boolean =>
  PLACEHOLDER.test(text) || new Set(text).size < MIN_DIFFERENT_CHARACTERS || /^(.{1,32}?)\1+$/.test(text);

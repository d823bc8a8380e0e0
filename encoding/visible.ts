/** Characters that are invisible or change the display: controls, direction marks, line separators, lone surrogates. */
const UNSEEN = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu;
const MAX_LENGTH = 2_000;

/**
 * Prepares a text for a report: spells out invisible characters and cuts it after 2,000 characters. So no text looks
 * like another, breaks a line of a terminal, or is written differently by two programs.
 */
export function visible(text: string): string {
  const shown = spelledOut(text.slice(0, MAX_LENGTH));
  return text.length <= MAX_LENGTH ? shown : `${shown}… (cut, ${text.length} characters)`;
}

/** Like {@link visible}, without the limit. */
export const spelledOut = (text: string): string =>
  text.replace(UNSEEN, (one) => `⟨U+${one.codePointAt(0)!.toString(16).toUpperCase().padStart(4, '0')}⟩`);

/** Makes every text in a plain value visible; names of fields are ours and stay unchanged. */
export function allVisible<T>(value: T): T {
  if (typeof value === 'string') return visible(value) as T;
  if (Array.isArray(value)) return value.map((item) => allVisible<unknown>(item)) as T;
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, allVisible<unknown>(item)])) as T;
}

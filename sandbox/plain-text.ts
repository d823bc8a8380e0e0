/** Characters as Unicode and PostgreSQL count them, not as UTF-16 does: a rare ideograph is one. */
export const charactersIn = (text: string): number => Array.from(text).length;

/** What PostgreSQL stores in no text: NUL, and half of a pair of UTF-16. */
const UNSTORABLE = /[\0\p{Cs}]/u;

/** Where a value from outside holds a text that cannot be stored, its keys included; null: nowhere. */
export function unstorableIn(value: unknown, path = ''): string | null {
  if (typeof value === 'string') return UNSTORABLE.test(value) ? path || 'the text' : null;
  if (typeof value !== 'object' || value === null) return null;
  for (const [name, member] of Object.entries(value)) {
    if (UNSTORABLE.test(name)) return path || 'a name';
    const found = unstorableIn(member, path === '' ? name : `${path}.${name}`);
    if (found !== null) return found;
  }
  return null;
}

/** Whether an address leads anywhere: one that holds such a text does not. */
export function isStorableAddress(path: string): boolean {
  try {
    return !UNSTORABLE.test(decodeURIComponent(path));
  } catch {
    // No UTF-8; whoever reads a part of it refuses it.
    return true;
  }
}

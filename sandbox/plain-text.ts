/** Counts characters as Unicode and PostgreSQL do, not UTF-16 units: a rare ideograph is one. */
export const charactersIn = (text: string): number => Array.from(text).length;

/** Characters that PostgreSQL cannot store: NUL, and lone surrogates. */
const UNSTORABLE = /[\0\p{Cs}]/u;

/** Returns the path of a text in a value from outside that cannot be stored, keys included; null if there is none. */
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

/** Whether a URL path, decoded, can be stored. */
export function isStorableAddress(path: string): boolean {
  try {
    return !UNSTORABLE.test(decodeURIComponent(path));
  } catch {
    // Not UTF-8; the handler that reads a part of it refuses it.
    return true;
  }
}

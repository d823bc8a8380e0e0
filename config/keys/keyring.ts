/**
 * The configured keys of one purpose. A rotation has two steps. First the next key is announced, so that every process
 * knows it before any of them signs with it. Then it signs, and the previous key still verifies.
 */
export interface KeySet<K> {
  readonly current: K;
  /** Verifies, and does not sign yet. */
  readonly next: K | null;
  /** Verifies until its end, UTC milliseconds, and does not sign any more. */
  readonly previous: { readonly key: K; readonly untilMs: number } | null;
}

/**
 * The keys of one purpose in use. Read them each time, because they change while the process runs. Work that names a
 * key and uses it reads the key once.
 */
export interface Keyring<K> {
  /** The one key that signs, encrypts and derives. */
  readonly current: K;
  /** Every key that verifies and decrypts at this moment, the current one first. */
  readonly verifying: readonly K[];
}

/** Makes a ring over the set that `read` currently returns. The end of the previous key needs no reload. */
export function createKeyring<K>(read: () => KeySet<K>, now: () => number = () => Date.now()): Keyring<K> {
  return {
    get current() {
      return read().current;
    },
    get verifying() {
      const { current, next, previous } = read();
      return [
        current,
        ...(next === null ? [] : [next]),
        ...(previous === null || previous.untilMs <= now() ? [] : [previous.key]),
      ];
    },
  };
}

/** A ring whose keys never change. */
export const fixedKeyring = <K>(current: K): Keyring<K> =>
  createKeyring(() => ({ current, next: null, previous: null }));

/** Returns the ring with each key in another form, such as with its name; `form` runs once for each key. */
export function mapKeyring<K extends object, L>(ring: Keyring<K>, form: (key: K) => L): Keyring<L> {
  const made = new WeakMap<K, { readonly form: L }>();
  const formed = (key: K): L => {
    const known = made.get(key) ?? { form: form(key) };
    made.set(key, known);
    return known.form;
  };
  return {
    get current() {
      return formed(ring.current);
    },
    get verifying() {
      return ring.verifying.map(formed);
    },
  };
}

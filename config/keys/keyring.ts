/**
 * The keys of one purpose as they are configured. During a rotation there are two: first the next one is announced, so
 * that every process knows it before any of them signs with it; then it signs, and the one before still verifies.
 */
export interface KeySet<K> {
  readonly current: K;
  /** Verifies, and does not sign yet. */
  readonly next: K | null;
  /** Verifies until its end, UTC milliseconds, and does not sign any more. */
  readonly previous: { readonly key: K; readonly untilMs: number } | null;
}

/**
 * The keys of one purpose as they are used. Ask it each time and keep nothing: its keys change while the process runs.
 * A piece of work that names a key and uses it takes it out once.
 */
export interface Keyring<K> {
  /** The one key that signs, encrypts and derives. */
  readonly current: K;
  /** Every key that verifies and decrypts at this moment, the current one first. */
  readonly verifying: readonly K[];
}

/** A ring over whatever set `read` gives at the moment. The end of the previous key needs no reload. */
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

/** The same ring in another form, such as keys with their names. */
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

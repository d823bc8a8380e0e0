/** Wrong passwords an address may send within the window. */
const TRIES = 5;
const WINDOW_MS = 15 * 60_000;
/** Addresses remembered at most; the one that tried first is forgotten first. */
const ADDRESSES = 10_000;

/** Counts tries at the password. Kept in memory: a restart forgives, and whoever can restart needs no password. */
export interface LoginLimit {
  /** Counts a try before the password is looked at, so that tries at once are counted too. False: refuse it unseen. */
  admit(address: string): boolean;
  /** The password was right: the address begins anew. */
  forgive(address: string): void;
}

export function loginLimit(now: () => number = Date.now): LoginLimit {
  const tries = new Map<string, { count: number; until: number }>();
  return {
    admit: (address) => {
      const known = tries.get(address);
      const entry = known !== undefined && known.until > now() ? known : { count: 0, until: now() + WINDOW_MS };
      if (entry.count >= TRIES) return false;
      entry.count += 1;
      tries.set(address, entry);
      if (tries.size > ADDRESSES) tries.delete(tries.keys().next().value!);
      return true;
    },
    forgive: (address) => void tries.delete(address),
  };
}

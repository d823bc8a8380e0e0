/** Wrong passwords per address within the window. */
const TRIES = 5;
const WINDOW_MS = 15 * 60_000;
/** The maximum number of remembered addresses; the oldest is forgotten first. */
const ADDRESSES = 10_000;

/** Counts password attempts. In memory: a restart clears it, and a user who can restart needs no password. */
export interface LoginLimit {
  /** Counts an attempt before the password check, so that concurrent attempts count too. False: refuse it unchecked. */
  admit(address: string): boolean;
  /** Clears the count of an address after a correct password. */
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

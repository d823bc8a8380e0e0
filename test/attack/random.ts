/** A seeded source of chance: the same seed makes the same attacks. Not for keys. */
export interface Random {
  /** 0 or more, below `below`. */
  int(below: number): number;
  pick<T>(among: readonly T[]): T;
  /** Upper-case hex digits. */
  hex(digits: number): string;
  base64url(length: number): string;
}

const BASE64URL = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';

/** Mulberry32: 32 bits of state are enough to choose among attacks. */
export function createRandom(seed: number): Random {
  let state = seed >>> 0;
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 0x1_0000_0000;
  };
  const int = (below: number) => Math.floor(next() * below);
  const text = (alphabet: string, length: number) =>
    Array.from({ length }, () => alphabet[int(alphabet.length)]!).join('');
  return {
    int,
    pick: (among) => among[int(among.length)]!,
    hex: (digits) => text('0123456789ABCDEF', digits),
    base64url: (length) => text(BASE64URL, length),
  };
}

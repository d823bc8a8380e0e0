import { compareText } from '../../encoding/canonical-json.ts';

/**
 * Keeps the smallest of any number of items, and their total number, in constant memory. The order of the items does
 * not matter, so an audit by several processes, or an interrupted one, gives the same report.
 */
export class CappedList<T> {
  readonly #cap: number;
  readonly #key: (item: T) => string;
  #kept: { readonly key: string; readonly item: T }[] = [];
  #limit: string | null = null;
  #found = 0;

  /** `key` orders the items; items with equal keys have to be equal. */
  constructor(cap: number, key: (item: T) => string) {
    this.#cap = cap;
    this.#key = key;
  }

  add(item: T): void {
    this.#found += 1;
    this.#keep(item);
  }

  /** Merges the state of another list. */
  absorb({ found, listed }: CappedState<T>): void {
    this.#found += found;
    for (const item of listed) this.#keep(item);
  }

  state(): CappedState<T> {
    this.#cut();
    return { found: this.#found, listed: this.#kept.map(({ item }) => item) };
  }

  #keep(item: T): void {
    const key = this.#key(item);
    if (this.#limit !== null && key >= this.#limit) return;
    this.#kept.push({ key, item });
    if (this.#kept.length >= 2 * this.#cap) this.#cut();
  }

  #cut(): void {
    this.#kept.sort((one, other) => compareText(one.key, other.key));
    if (this.#kept.length < this.#cap) return;
    this.#kept.length = this.#cap;
    this.#limit = this.#kept.at(-1)?.key ?? null;
  }
}

export interface CappedState<T> {
  readonly found: number;
  readonly listed: readonly T[];
}

/** Orders `posting 7` before `posting 12`. */
export const natural = (text: string): string => text.replace(/\d+/g, (digits) => digits.padStart(20, '0'));

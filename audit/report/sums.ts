import { compareText } from '../../encoding/canonical-json.ts';

export type SumsState = readonly (readonly [group: string, name: string, field: string, sum: string])[];

/** Exact sums by group, name and field. Memory grows with the number of names, not of additions. */
export class Sums {
  readonly #groups = new Map<string, Map<string, Map<string, bigint>>>();

  add(group: string, name: string, field: string, by = 1n): void {
    const names = this.#groups.get(group) ?? new Map<string, Map<string, bigint>>();
    const fields = names.get(name) ?? new Map<string, bigint>();
    fields.set(field, (fields.get(field) ?? 0n) + by);
    names.set(name, fields);
    this.#groups.set(group, names);
  }

  /** Adds a decimal, in units of 1e-8. */
  addDecimal(group: string, name: string, field: string, decimal: string): void {
    this.add(group, name, field, unitsOf(decimal));
  }

  value(group: string, name: string, field: string): bigint {
    return this.#groups.get(group)?.get(name)?.get(field) ?? 0n;
  }

  number(group: string, name: string, field: string): number {
    return Number(this.value(group, name, field));
  }

  /** The names of a group, sorted. */
  names(group: string): string[] {
    return [...(this.#groups.get(group)?.keys() ?? [])].toSorted(compareText);
  }

  state(): SumsState {
    return [...this.#groups].flatMap(([group, names]) =>
      [...names].flatMap(([name, fields]) =>
        [...fields].map(([field, sum]) => [group, name, field, String(sum)] as const),
      ),
    );
  }

  absorb(state: SumsState): void {
    for (const [group, name, field, sum] of state) this.add(group, name, field, BigInt(sum));
  }
}

/**
 * A decimal in units of 1e-8, signed. A text that is no decimal counts as 0: somebody with all rights wrote it, and the
 * report shows it unchanged.
 */
export function unitsOf(decimal: string): bigint {
  const [, sign, whole, fraction = ''] = /^(-?)(\d+)(?:\.(\d+))?$/.exec(decimal) ?? [];
  if (whole === undefined) return 0n;
  const units = BigInt(`${whole}${fraction.slice(0, 8).padEnd(8, '0')}`);
  return sign === '-' ? -units : units;
}

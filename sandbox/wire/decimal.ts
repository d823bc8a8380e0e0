/**
 * An exact decimal number: `digits / 10^scale`. It keeps its number of decimals, so that `200.00` is sent as `200.00`.
 * No amount passes through a float.
 */
export interface Decimal {
  readonly digits: bigint;
  readonly scale: number;
}

const PLAIN = /^(0|[1-9]\d{0,14})(?:\.(\d{1,18}))?$/;
/** The format of products and sums of such numbers. */
const COMPUTED = /^(0|[1-9]\d{0,39})(?:\.(\d{1,40}))?$/;

/** Parses `5000`, `32551.20`: at most 15 digits before the point and 18 after, no sign, no exponent; else null. */
export function parseDecimal(text: string): Decimal | null {
  return read(text, PLAIN);
}

function read(text: string, form: RegExp): Decimal | null {
  const match = form.exec(text);
  if (match === null) return null;
  const fraction = match[2] ?? '';
  return { digits: BigInt(match[1]! + fraction), scale: fraction.length };
}

/** Parses a text that our own code has checked or computed; throws a RangeError for any other. */
export function decimal(text: string): Decimal {
  const parsed = read(text, COMPUTED);
  if (parsed === null) throw new RangeError(`not a plain decimal: ${text}`);
  return parsed;
}

const power = (exponent: number): bigint => 10n ** BigInt(exponent);

/** Exact product; the scales add up. */
export const times = (a: Decimal, b: Decimal): Decimal => ({ digits: a.digits * b.digits, scale: a.scale + b.scale });

/** Exact sum. */
export function plus(a: Decimal, b: Decimal): Decimal {
  const scale = Math.max(a.scale, b.scale);
  return { digits: a.digits * power(scale - a.scale) + b.digits * power(scale - b.scale), scale };
}

/** Exact difference; below zero if `b` is the greater. */
export const minus = (a: Decimal, b: Decimal): Decimal => plus(a, { ...b, digits: -b.digits });

/** Negative, zero or positive, as `a` is less than, equal to or greater than `b`. */
export function compare(a: Decimal, b: Decimal): number {
  const { digits } = minus(a, b);
  return digits < 0n ? -1 : Number(digits > 0n);
}

/** `a / b` with `scale` decimals; further decimals are cut off. */
export function overRoundedDown(a: Decimal, b: Decimal, scale: number): Decimal {
  return { digits: (a.digits * power(b.scale + scale)) / (b.digits * power(a.scale)), scale };
}

/** `a` with exactly `scale` decimals, half a unit rounds up. */
export function roundedHalfUp(a: Decimal, scale: number): Decimal {
  if (a.scale <= scale) return { digits: a.digits * power(scale - a.scale), scale };
  const unit = power(a.scale - scale);
  return { digits: (2n * a.digits + unit) / (2n * unit), scale };
}

/** The number of decimals without trailing zeros: 2 for `0.250`. */
export function significantDecimals(a: Decimal): number {
  let { digits, scale } = a;
  while (scale > 0 && digits % 10n === 0n) {
    digits /= 10n;
    scale -= 1;
  }
  return scale;
}

/** Text with at least `decimals` decimals, and more only if they are not trailing zeros: `200.00`, `13.888888`. */
export function toText(a: Decimal, decimals: number): string {
  const scale = Math.max(decimals, significantDecimals(a));
  const digits = a.scale <= scale ? a.digits * power(scale - a.scale) : a.digits / power(a.scale - scale);
  const text = digits.toString().padStart(scale + 1, '0');
  return scale === 0 ? text : `${text.slice(0, -scale)}.${text.slice(-scale)}`;
}

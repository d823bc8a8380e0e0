/**
 * Decimal-exact money. On the wire, in Temporal payloads and in SQL an amount is a decimal string. In the code it is a
 * branded bigint in units of 1e-8, so no amount ever passes through a float.
 */

/** An amount of MTC in units of 1e-8. */
export type Mtc = bigint & { readonly asset: 'MTC' };
/** An amount of legal currency in units of 1e-8; parsed with at most 2 decimals. */
export type Fiat = bigint & { readonly asset: 'fiat' };
/** Fiat per MTC in units of 1e-8. */
export type UnitPrice = bigint & { readonly asset: 'fiat per MTC' };

/** Units in one: amounts carry at most 8 decimals (docs/reference/protocol.md#questions-to-mtpay). */
export const UNITS_PER_ONE = 100_000_000n;
const MTC_DECIMALS = 8;
const FIAT_DECIMALS = 2;

const DECIMAL = /^(0|[1-9]\d{0,14})(?:\.(\d+))?$/;

/** Why a text is not an amount. Callers see these words. */
export type AmountFault = 'not a decimal number' | 'too many decimals' | 'not positive';

export type ParseResult<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly fault: AmountFault };

/**
 * Reads `"32551.20"`, at most 15 digits before the point. Further decimals are refused, never rounded, unless they
 * are zeros: `200.000000000` is exactly 200.
 */
function parseUnits(text: string, decimals: number): ParseResult<bigint> {
  const match = DECIMAL.exec(text);
  if (match === null) return { ok: false, fault: 'not a decimal number' };
  const fraction = match[2] ?? '';
  if (/[1-9]/.test(fraction.slice(decimals))) return { ok: false, fault: 'too many decimals' };
  const kept = fraction.slice(0, decimals).padEnd(MTC_DECIMALS, '0');
  return { ok: true, value: BigInt(match[1]!) * UNITS_PER_ONE + BigInt(kept) };
}

function positive<T extends bigint>(parsed: ParseResult<bigint>): ParseResult<T> {
  if (!parsed.ok) return parsed;
  return parsed.value > 0n ? { ok: true, value: parsed.value as T } : { ok: false, fault: 'not positive' };
}

/** A positive amount of MTC with at most 8 decimals. */
export const parseMtc = (text: string): ParseResult<Mtc> => positive<Mtc>(parseUnits(text, MTC_DECIMALS));
/** A positive amount of fiat with at most 2 decimals. */
export const parseFiat = (text: string): ParseResult<Fiat> => positive<Fiat>(parseUnits(text, FIAT_DECIMALS));
/** A positive price, fiat per MTC, with at most 8 decimals. */
export const parseUnitPrice = (text: string): ParseResult<UnitPrice> =>
  positive<UnitPrice>(parseUnits(text, MTC_DECIMALS));
/** A fraction such as a fee rate, 0 or more, with at most 8 decimals; in units of 1e-8. */
export const parseFraction = (text: string): ParseResult<bigint> => parseUnits(text, MTC_DECIMALS);

/** Returns the value; throws a `RangeError` that names `what`. For texts that our own code has already checked. */
export function known<T>(parsed: ParseResult<T>, what: string): T {
  if (!parsed.ok) throw new RangeError(`${what}: ${parsed.fault}`);
  return parsed.value;
}

/** Canonical text: no trailing zeros, no point without decimals: `"4521"`, `"0.5"`. */
export function formatUnits(units: bigint): string {
  const sign = units < 0n ? '-' : '';
  const digits = (units < 0n ? -units : units).toString().padStart(MTC_DECIMALS + 1, '0');
  const fraction = digits.slice(-MTC_DECIMALS).replace(/0+$/, '');
  return `${sign}${digits.slice(0, -MTC_DECIMALS)}${fraction === '' ? '' : `.${fraction}`}`;
}

/** `a * b / c` rounded down. The only place where money is divided. */
export const mulDivFloor = (a: bigint, b: bigint, c: bigint): bigint => (a * b) / c;

/**
 * paymentPrice / transactionAmount, rounded down at 8 decimals. Every unit price is computed here, because unit prices
 * are compared.
 */
export const unitPrice = (paid: Fiat, received: Mtc): UnitPrice =>
  mulDivFloor(paid, UNITS_PER_ONE, received) as UnitPrice;

/** Formats `36000` for readers: `36,000`. */
export function grouped(decimal: string): string {
  const [whole, fraction] = decimal.split('.');
  const spaced = whole!.replace(/\B(?=(\d{3})+$)/g, ',');
  return fraction === undefined ? spaced : `${spaced}.${fraction}`;
}

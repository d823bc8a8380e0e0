/** Bounds the input before it is converted: at most 45 digits, moved by at most 99 places. */
const WITH_EXPONENT = /^(-?)(\d{1,15})(?:\.(\d{1,30}))?[eE]([+-]?\d{1,2})$/;

/**
 * Writes a JSON number without its exponent: the sender's library may write 5000 as `5E+3`, `50000E-1` or `0.5e4`.
 * - Exact, because digits are moved and nothing is computed.
 * - A number without an exponent, or beyond the bounds, stays unchanged: the reader of amounts refuses the exponent.
 * - For the provider's JSON numbers only. A merchant's amount is a string, and there `5e3` is more likely a mistake:
 *   `parseMtc` and `parseFiat` refuse it.
 */
export function plainDecimal(text: string): string {
  const match = WITH_EXPONENT.exec(text);
  if (match === null) return text;
  const [, sign, whole, fraction = '', exponent] = match;
  const point = whole!.length + Number(exponent);
  const digits = `${'0'.repeat(Math.max(1 - point, 0))}${whole}${fraction}`.padEnd(point, '0');
  const at = Math.max(point, 1);
  const decimals = digits.slice(at);
  return `${sign}${digits.slice(0, at).replace(/^0+(?=\d)/, '')}${decimals === '' ? '' : `.${decimals}`}`;
}

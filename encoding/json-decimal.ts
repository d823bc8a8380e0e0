/** Bounded before anything is made of it: at most 45 digits, moved by at most 99 places. */
const WITH_EXPONENT = /^(-?)(\d{1,15})(?:\.(\d{1,30}))?[eE]([+-]?\d{1,2})$/;

/**
 * A JSON number without its exponent: `5E+3`, `50000E-1` and `0.5e4` are the number 5000, and JSON leaves the spelling to
 * the sender's library. Exact, because digits are moved and nothing is computed. What has no exponent, or lies beyond the
 * bounds, stays as it is: the reader of amounts then refuses the exponent.
 *
 * For JSON numbers of the provider only. A merchant's amount is a decimal string that a person or a program wrote for us,
 * and in a string `5e3` is more likely a mistake than five thousand: `parseMtc` and `parseFiat` go on refusing it.
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

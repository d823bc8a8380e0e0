import { BUY_COIN_MODES, type BuyCoinMode, CURRENCIES, type Currency } from './advertisements.ts';
import { callbackUrlProblem } from '../wire/callback-hosts.ts';
import { type Decimal, parseDecimal, significantDecimals } from '../wire/decimal.ts';
import { type Json, JsonNumber } from '../wire/json.ts';
import { charactersIn } from '../plain-text.ts';

export const LANGUAGES = ['en', 'zh_CN', 'zh_TW'] as const;
export type Language = (typeof LANGUAGES)[number];

/** The parameters of one placement, checked. */
export interface Placement {
  readonly buyCoinMode: BuyCoinMode;
  /** In MTC or fiat, depending on the mode. */
  readonly asked: Decimal;
  readonly externalOrderNumber: string;
  readonly callbackUrl: string;
  readonly supportLanguage: Language;
  readonly currencyCode: Currency;
  readonly payerRealName: string;
}

/** The first invalid parameter; the message is shown to the merchant and begins with the parameter's name. */
export class ParameterProblem extends Error {}

export interface ParameterLimits {
  readonly callbackHosts: readonly string[];
  readonly mtcDecimals: number;
}

type Members = ReadonlyMap<string, Json>;

/** Undocumented by MTPay; longer texts are refused. */
const MAX_TEXT_LENGTH = 128;

function text(members: Members, name: string, maxLength = MAX_TEXT_LENGTH): string {
  const value = members.get(name);
  if (value === undefined || value === null) throw new ParameterProblem(`${name} is required`);
  if (typeof value !== 'string') throw new ParameterProblem(`${name} must be a String`);
  if (value.trim() === '') throw new ParameterProblem(`${name} must not be empty`);
  if (charactersIn(value) > maxLength) throw new ParameterProblem(`${name} must have at most ${maxLength} characters`);
  if (/[\p{Cc}\p{Cs}]/u.test(value)) throw new ParameterProblem(`${name} must not contain control characters`);
  return value;
}

function oneOf<T extends string>(members: Members, name: string, allowed: readonly T[]): T {
  const value = text(members, name);
  const found = allowed.find((item) => item === value);
  if (found === undefined) throw new ParameterProblem(`${name} must be one of ${allowed.join(', ')}`);
  return found;
}

function amount(members: Members, name: string, decimals: number): Decimal {
  const value = members.get(name);
  if (value === undefined || value === null) throw new ParameterProblem(`${name} is required in this buyCoinMode`);
  if (!(value instanceof JsonNumber)) throw new ParameterProblem(`${name} must be a Number`);
  const parsed = parseDecimal(value.text);
  if (parsed === null) {
    throw new ParameterProblem(`${name} must be a plain positive Number with at most 15 digits before the point`);
  }
  if (parsed.digits === 0n) throw new ParameterProblem(`${name} must be greater than 0`);
  if (significantDecimals(parsed) > decimals) {
    throw new ParameterProblem(`${name} must have at most ${decimals} decimals`);
  }
  return parsed;
}

/**
 * Reads the parameters in the order of the documents' table. Throws {@link ParameterProblem} for the first invalid one.
 * Ignores parameters that are not in the documents, and the amount of the other mode.
 */
export function readPlacement(body: Json, limits: ParameterLimits): Placement {
  if (!(body instanceof Map)) throw new ParameterProblem('the body must be a JSON object');
  const members = body as Members;
  const buyCoinMode = oneOf(members, 'buyCoinMode', BUY_COIN_MODES);
  const asked =
    buyCoinMode === 'MtcAmount' ? amount(members, 'mtcAmount', limits.mtcDecimals) : amount(members, 'totalPrice', 2);
  const externalOrderNumber = text(members, 'externalOrderNumber');
  const callbackUrl = text(members, 'callbackUrl', Number.POSITIVE_INFINITY);
  const problem = callbackUrlProblem(callbackUrl, limits.callbackHosts);
  if (problem !== null) throw new ParameterProblem(`callbackUrl ${problem}`);
  const supportLanguage = oneOf(members, 'supportLanguage', LANGUAGES);
  const currencyCode = oneOf(members, 'currencyCode', CURRENCIES);
  const payerRealName = text(members, 'payerRealName');
  return { buyCoinMode, asked, externalOrderNumber, callbackUrl, supportLanguage, currencyCode, payerRealName };
}

/** Returns the order number in a body, for the log and for faults of one order; null if there is none. */
export function orderNumberOf(body: Json): string | null {
  const value = body instanceof Map ? (body as Members).get('externalOrderNumber') : undefined;
  return typeof value === 'string' &&
    value !== '' &&
    charactersIn(value) <= MAX_TEXT_LENGTH &&
    !/[\p{Cc}\p{Cs}]/u.test(value)
    ? value
    : null;
}

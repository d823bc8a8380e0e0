import { createHash } from 'node:crypto';
import { formatUnits, type Parsed, parseFiat, parseMtc } from '../../domain/money.ts';
import { type CallbackData, CURRENCIES, type Currency, IDENTIFIER } from '../../domain/order.ts';
import { plainDecimal } from '../../encoding/json-decimal.ts';
import {
  isObject,
  JsonError,
  JsonNumber,
  type JsonObject,
  type JsonValue,
  parseStrictJson,
} from '../../encoding/strict-json.ts';

/** What has to be readable before authenticity can be checked: everything else in `data` is read after that. */
export interface Envelope {
  readonly signature: string;
  /** UTC milliseconds as the provider stamped them. */
  readonly timestampMs: number;
  readonly externalOrderNumber: string;
  readonly data: JsonObject;
}

/** The message is not one; retrying the same bytes does not help. `message` names the field, never its value. */
export class MalformedCallback extends Error {}

/**
 * An integer literal and nothing else: no quotes, no exponent, no `.0` (docs/threat-model.md, T13). Unlike an amount it is part of
 * what was signed, and there it has one spelling.
 */
const TIMESTAMP = /^[1-9]\d{0,14}$/;

/** Steps 2 and 3 of the endpoint's checks. Throws {@link MalformedCallback}. Unknown fields are tolerated, never used. */
export function readEnvelope(raw: Uint8Array): Envelope {
  const message = parse(raw);
  if (!isObject(message)) throw new MalformedCallback('the body must be a JSON object');
  const { signature, timestamp, data } = message;
  if (typeof signature !== 'string') throw new MalformedCallback('signature: expected a string');
  if (!(timestamp instanceof JsonNumber) || !TIMESTAMP.test(timestamp.text)) {
    throw new MalformedCallback('timestamp: expected an integer of UTC milliseconds');
  }
  if (!isObject(data)) throw new MalformedCallback('data: expected an object');
  const { externalOrderNumber } = data;
  if (typeof externalOrderNumber !== 'string' || !IDENTIFIER.test(externalOrderNumber)) {
    throw new MalformedCallback('data.externalOrderNumber: expected 1 to 64 of A-Z a-z 0-9 _ -');
  }
  return { signature, timestampMs: Number(timestamp.text), externalOrderNumber, data };
}

/** A byte order mark before it says nothing about UTF-8 and is left out. */
function parse(raw: Uint8Array): JsonValue {
  try {
    return parseStrictJson(new TextDecoder('utf-8', { fatal: true, ignoreBOM: false }).decode(raw));
  } catch (error) {
    if (error instanceof JsonError) throw new MalformedCallback(`the body is not strict JSON: ${error.message}`);
    throw new MalformedCallback('the body is not UTF-8', { cause: error });
  }
}

/** The seven data fields, or the first that does not fit. Only for authentic messages: an unreadable one is kept for people. */
export type Reading =
  | { readonly readable: true; readonly data: CallbackData; readonly contentHash: Buffer }
  | { readonly readable: false; readonly fault: string; readonly contentHash: Buffer };

const CODE = /^[A-Za-z0-9_-]{1,64}$/;

/** Reads the data once; the result, its hash and nothing else is judged and booked. */
export const readData = (envelope: Envelope): Reading => readDataWith(envelope, plainDecimal);

/**
 * As it was read before exponents were: a number with one was unreadable. For rows of that time, whose bytes have to give
 * the hash they were stored with; nothing that arrives is read so.
 */
export const readDataWithoutExponents = (envelope: Envelope): Reading => readDataWith(envelope, (text) => text);

function readDataWith(envelope: Envelope, plain: (text: string) => string): Reading {
  const { data } = envelope;
  const amount = (field: AmountField, parse: (text: string) => Parsed<bigint>) =>
    readAmount(field, data[field], (text) => parse(plain(text)));
  try {
    const read: CallbackData = {
      externalOrderNumber: envelope.externalOrderNumber,
      transactionCode: code(data['transactionCode']),
      transactionAmount: amount('transactionAmount', parseMtc),
      currencyCode: currency(data['currencyCode']),
      paymentPrice: amount('paymentPrice', parseFiat),
      transactionCreateTime: time('transactionCreateTime', data['transactionCreateTime']),
      paymentFinishedTime: time('paymentFinishedTime', data['paymentFinishedTime']),
    };
    return { readable: true, data: read, contentHash: contentHash(read) };
  } catch (error) {
    if (!(error instanceof Unreadable)) throw error;
    return { readable: false, fault: error.message, contentHash: unreadableHash(data) };
  }
}

/**
 * sha256 over the seven fields in fixed order with canonical decimals: a retry that is signed afresh, or spells 200 as
 * 200.00 or 2E+2, is the same content.
 */
export const contentHash = (data: CallbackData): Buffer =>
  sha256(
    JSON.stringify([
      data.externalOrderNumber,
      data.transactionCode,
      data.transactionAmount,
      data.currencyCode,
      data.paymentPrice,
      data.transactionCreateTime,
      data.paymentFinishedTime,
    ]),
  );

const unreadableHash = (data: JsonObject): Buffer => sha256(`unreadable|${canonical(data)}`);

const sha256 = (text: string): Buffer => createHash('sha256').update(text, 'utf8').digest();

/** One text for every spelling of the same JSON value: sorted keys, no white space, numbers as written. */
function canonical(value: JsonValue): string {
  if (value instanceof JsonNumber) return value.text;
  if (Array.isArray(value)) return `[${value.map((item: JsonValue) => canonical(item)).join(',')}]`;
  if (isObject(value)) {
    const members = Object.keys(value)
      .toSorted()
      .map((key) => `${JSON.stringify(key)}:${canonical(value[key]!)}`);
    return `{${members.join(',')}}`;
  }
  return JSON.stringify(value);
}

class Unreadable extends Error {}

function code(value: JsonValue | undefined): string {
  if (typeof value === 'string' && CODE.test(value)) return value;
  throw new Unreadable('transactionCode: expected 1 to 64 of A-Z a-z 0-9 _ -');
}

function currency(value: JsonValue | undefined): Currency {
  if (typeof value === 'string' && (CURRENCIES as readonly string[]).includes(value)) return value as Currency;
  throw new Unreadable(`currencyCode: expected one of ${CURRENCIES.join(', ')}`);
}

type AmountField = 'transactionAmount' | 'paymentPrice';

function readAmount(field: AmountField, value: JsonValue | undefined, read: (text: string) => Parsed<bigint>): string {
  if (!(value instanceof JsonNumber)) throw new Unreadable(`${field}: expected a JSON number`);
  const parsed = read(value.text);
  if (!parsed.ok) throw new Unreadable(`${field}: ${parsed.fault}`);
  return formatUnits(parsed.value);
}

/** Times carry no zone: kept as text, decide nothing (docs/protocol.md#traps-and-so-rules). */
function time(field: string, value: JsonValue | undefined): string {
  if (typeof value === 'string' && value.length <= 64 && !/\p{Cc}/u.test(value)) return value;
  throw new Unreadable(`${field}: expected a text of at most 64 characters`);
}

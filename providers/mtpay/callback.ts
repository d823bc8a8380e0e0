import { type Keyring, mapKeyring } from '../../config/keys/keyring.ts';
import { formatUnits, type ParseResult, parseFiat, parseMtc } from '../../domain/money.ts';
import { type CallbackData, CURRENCIES, type Currency, IDENTIFIER } from '../../domain/order.ts';
import { canonicalText, plainText } from '../../encoding/canonical-json.ts';
import { plainDecimal } from '../../encoding/json-decimal.ts';
import {
  isObject,
  JsonError,
  JsonNumber,
  type JsonObject,
  type JsonValue,
  parseStrictJson,
} from '../../encoding/strict-json.ts';
import { contentHash, unreadableHash } from '../content-hash.ts';
import { type CallbackPort, type CallbackReading, MalformedCallback } from '../port.ts';
import { type MtpayKey, named, signerOf } from './signature.ts';

export function createCallbacks(keys: Keyring<MtpayKey>): CallbackPort {
  const ring = mapKeyring(keys, named);
  const signer = (timestampMs: number, signature: string) => signerOf(ring.verifying, timestampMs, signature);
  return {
    read(raw) {
      const envelope = readEnvelope(raw);
      const { externalOrderNumber, timestampMs, signature } = envelope;
      return {
        externalOrderNumber,
        timestampMs,
        signedBy: () => signer(timestampMs, signature)?.id ?? null,
        reading: () => readData(envelope),
        kept: () => withoutSignature(raw, signature),
      };
    },
    traces(text) {
      const stamps = tried(text, /timestamp[^0-9]{1,8}(\d{10,15})/g).map(Number);
      return {
        orders: tried(text, /externalOrderNumber[^A-Za-z0-9_-]{1,8}([A-Za-z0-9_-]{1,64})/g),
        isSigned: tried(text, /([0-9A-F]{64})/gi).some((signature) =>
          stamps.some((stamp) => signer(stamp, signature.toUpperCase()) !== null),
        ),
      };
    },
  };
}

/** Maximum number of matches tried for each pattern, so that the work is bounded. */
const MAX_TRIED = 4;

const tried = (text: string, pattern: RegExp): string[] =>
  [...text.matchAll(pattern)].slice(0, MAX_TRIED).map((found) => found[1]!);

/**
 * Returns the received message without the signature: a stored one would be a ticket for that millisecond
 * (docs/internals/threat-model.md, T3).
 */
function withoutSignature(raw: Uint8Array, signature: string): Buffer {
  const text = Buffer.from(raw).toString('utf8');
  // Replaces whole strings: an escape (\u0041 for A) may spell the signature, and a longer string may contain it.
  const kept = text.replace(/"(?:[^"\\]|\\.)*"/g, (found) =>
    (JSON.parse(found) as string).toUpperCase().includes(signature) ? '"[signature]"' : found,
  );
  return Buffer.from(kept, 'utf8');
}

/** The fields needed to check authenticity. Everything else in `data` is read after that. */
export interface Envelope {
  readonly signature: string;
  /** UTC milliseconds as the provider stamped them. */
  readonly timestampMs: number;
  readonly externalOrderNumber: string;
  readonly data: JsonObject;
}

/**
 * An integer literal only: no quotes, no exponent, no `.0` (docs/internals/threat-model.md, T13). Unlike an amount, a
 * timestamp is part of the signed text, and there it has one spelling.
 */
const TIMESTAMP = /^[1-9]\d{0,14}$/;

/** Does steps 2 and 3 of the endpoint's checks. Throws {@link MalformedCallback}. Unknown fields are ignored. */
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

/** Decodes UTF-8, without a byte order mark, and parses strict JSON. Throws {@link MalformedCallback}. */
function parse(raw: Uint8Array): JsonValue {
  try {
    return parseStrictJson(new TextDecoder('utf-8', { fatal: true, ignoreBOM: false }).decode(raw));
  } catch (error) {
    if (error instanceof JsonError) throw new MalformedCallback(`the body is not strict JSON: ${error.message}`);
    throw new MalformedCallback('the body is not UTF-8', { cause: error });
  }
}

const CODE = /^[A-Za-z0-9_-]{1,64}$/;

/** Reads the data, once. Only the result and its hash are judged and booked. */
export const readData = (envelope: Envelope): CallbackReading => readDataWith(envelope, plainDecimal);

/**
 * Reads the data by the earlier rule: a number with an exponent is unreadable. The bytes of rows from that time must
 * give the hash they were stored with. No new message is read this way.
 */
export const readDataWithoutExponents = (envelope: Envelope): CallbackReading => readDataWith(envelope, (text) => text);

/** Reads by today's rule, and by the earlier one without exponents. Returns none if the bytes are no message. */
export function readings(raw: Uint8Array): readonly CallbackReading[] {
  try {
    const envelope = readEnvelope(raw);
    return [readData(envelope), readDataWithoutExponents(envelope)];
  } catch (error) {
    if (error instanceof MalformedCallback) return [];
    throw error;
  }
}

function readDataWith(envelope: Envelope, plain: (text: string) => string): CallbackReading {
  const { data } = envelope;
  const amount = (field: AmountField, parse: (text: string) => ParseResult<bigint>) =>
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
    return { readable: false, fault: error.message, contentHash: unreadableHash(canonical(data)) };
  }
}

/** Returns one text for every spelling of the same JSON value; numbers stay as written. */
const canonical = (data: JsonObject): string =>
  canonicalText(data, (value) => (value instanceof JsonNumber ? value.text : plainText(value)));

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

function readAmount(
  field: AmountField,
  value: JsonValue | undefined,
  read: (text: string) => ParseResult<bigint>,
): string {
  if (!(value instanceof JsonNumber)) throw new Unreadable(`${field}: expected a JSON number`);
  const parsed = read(value.text);
  if (!parsed.ok) throw new Unreadable(`${field}: ${parsed.fault}`);
  return formatUnits(parsed.value);
}

/** Times have no zone: they are kept as text and decide nothing (docs/reference/protocol.md#traps-and-so-rules). */
function time(field: string, value: JsonValue | undefined): string {
  if (typeof value === 'string' && value.length <= 64 && !/\p{Cc}/u.test(value)) return value;
  throw new Unreadable(`${field}: expected a text of at most 64 characters`);
}

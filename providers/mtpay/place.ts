import { type Keyring, mapKeyring } from '../../config/keys/keyring.ts';
import { checkoutLink, type LinkRules } from '../checkout-link.ts';
import { type Exchange, exchange } from '../exchange.ts';
import type { PlacementOutcome, PlacementPort, PlacementRequest } from '../port.ts';
import { plainDecimal } from '../../encoding/json-decimal.ts';
import { causeOf, isRefusal, STAMP_ERROR } from './codes.ts';
import { type MtpayKey, named, sign } from './signature.ts';
import { isObject, JsonError, JsonNumber, type JsonObject, parseStrictJson } from '../../encoding/strict-json.ts';

export interface MtpayOptions extends LinkRules {
  readonly keys: Keyring<MtpayKey>;
  readonly placeUrl: string;
  readonly ca?: string;
  /** The address of the proxy for placements. */
  readonly proxy?: string;
}

const CONNECT_TIMEOUT_MS = 5_000;
const MAX_RESPONSE_BYTES = 64 * 1024;
const MAX_MESSAGE_LENGTH = 300;

export function createPlacement(options: MtpayOptions): PlacementPort {
  const ring = mapKeyring(options.keys, named);
  return {
    causeOf,
    prepare(request, timestampMs) {
      const key = ring.current;
      const accessKey = key.accessKey.reveal().toString('utf8');
      const signature = sign(key, timestampMs);
      const token = request.callbackUrl.split('/').at(-1)!;
      const headers = {
        'content-type': 'application/json',
        accept: 'application/json',
        access_key: accessKey,
        timestamp: String(timestampMs),
        signature,
      };
      return {
        keyId: key.id,
        async send(call) {
          const answer = await exchange({
            url: options.placeUrl,
            headers,
            body: body(request),
            connectTimeoutMs: CONNECT_TIMEOUT_MS,
            maxResponseBytes: MAX_RESPONSE_BYTES,
            ...(options.ca === undefined ? {} : { ca: options.ca }),
            ...(options.proxy === undefined ? {} : { proxy: options.proxy }),
            ...call,
          });
          return classify(answer, options, { payer: request.payerRealName, secrets: [token, accessKey, signature] });
        },
      };
    },
  };
}

/** Writes the amount into the JSON as a number, digit by digit, so that it never passes through a float. */
function body(request: PlacementRequest): string {
  const field = request.buyCoinMode === 'MtcAmount' ? 'mtcAmount' : 'totalPrice';
  const { amount, ...rest } = request;
  return `${JSON.stringify(rest).slice(0, -1)},"${field}":${amount}}`;
}

function classify(answer: Exchange, links: LinkRules, sent: Confidential): PlacementOutcome {
  if (answer.kind === 'not_sent') return { kind: 'not_sent', cause: answer.cause };
  if (answer.kind === 'lost') return { kind: 'unknown', cause: answer.cause };
  const envelope = readEnvelope(answer.body);
  // A gateway's 502 may have any body, and the order may exist behind it.
  if (envelope === null || answer.status >= 500) return { kind: 'unknown', cause: `HTTP ${answer.status}` };
  const { statusCode, success } = envelope;
  if (statusCode === 'SUCCESS' && success === true && answer.status < 300) return placed(envelope['data'], links, sent);
  // Only an explicit refusal is one: a retry after a misread response would place a second order.
  if (success !== false) return { kind: 'unknown', cause: 'contradictory answer' };
  if (statusCode === STAMP_ERROR) {
    return { kind: 'not_sent', cause: STAMP_ERROR, clock: { providerTimeMs: answer.dateMs } };
  }
  if (!isRefusal(statusCode))
    return { kind: 'unknown', cause: statusCode === 'SYSTEM_ERROR' ? statusCode : 'unknown statusCode' };
  return { kind: 'refused', code: statusCode, message: harmless(envelope['message'], sent) };
}

function readEnvelope(text: string): JsonObject | null {
  try {
    // A byte order mark is no part of the JSON, and the response after it may report an order.
    const value = parseStrictJson(text.replace(/^\uFEFF/, ''));
    return isObject(value) ? value : null;
  } catch (error) {
    if (error instanceof JsonError) return null;
    throw error;
  }
}

function placed(data: JsonObject[string] | undefined, links: LinkRules, sent: Confidential): PlacementOutcome {
  if (!isObject(data)) return { kind: 'unknown', cause: 'answer without data' };
  const { redirectUrl, advertisementCode, currentTimestamp } = data;
  if (typeof redirectUrl !== 'string' || typeof advertisementCode !== 'string' || advertisementCode.length > 200) {
    return { kind: 'unknown', cause: 'answer without checkout link' };
  }
  const url = checkoutLink(redirectUrl, links);
  if (url === null) return { kind: 'unknown', cause: 'FOREIGN_REDIRECT' };
  const time = currentTimestamp instanceof JsonNumber ? plainDecimal(currentTimestamp.text) : '';
  return {
    kind: 'placed',
    redirectUrl: url,
    // The Web UI shows it, so it must not contain our secrets or the payer's name.
    advertisementCode: harmless(advertisementCode, sent),
    providerTimeMs: /^[1-9]\d{0,14}$/.test(time) ? Number(time) : null,
  };
}

/** Data that we send and that must not come back into our tables, responses and logs. */
interface Confidential {
  readonly payer: string;
  readonly secrets: readonly string[];
}

/** Returns the provider's text without control characters and without our confidential data. */
function harmless(message: unknown, { payer, secrets }: Confidential): string {
  if (typeof message !== 'string') return '';
  // Ignores case: a signature in lower case is as good as ours in upper case.
  // Secrets first: a name cut out of a secret would leave the rest of the secret.
  const hide = (text: string) =>
    secrets
      .reduce((left, secret) => left.replaceAll(spellingsOf(secret), '[hidden]'), text)
      .replaceAll(nameOf(payer), '[payer]');
  // Twice, because a control character can be part of a name, and can replace a space in it.
  const kept = hide(hide(message).replaceAll(/[\p{Cc}\p{Cf}]/gu, ' ')).slice(0, MAX_MESSAGE_LENGTH);
  // PostgreSQL refuses half a surrogate pair at the cut, and the response would be lost.
  return kept.replace(/\p{Cs}$/u, '');
}

/** Returns the source of a pattern for a text with any white space between its words. */
const spelled = (name: string): string =>
  name
    .split(/\s+/u)
    .map((word) => word.replaceAll(/[\\^$.*+?()[\]{}|]/g, '\\$&'))
    .join('\\s+');

const spellingsOf = (secret: string): RegExp => new RegExp(spelled(secret), 'giu');

/** Letters of scripts that separate words. In others a name may be inside a text, or have a particle attached. */
const GLUED = '[\\p{sc=Latn}\\p{sc=Grek}\\p{sc=Cyrl}]';
/** A name of this many letters is not inside another word by chance. */
const LONG_NAME = 5;

/**
 * Returns the pattern of the payer's name. A short name matches only as a separate word, because `Li` is in many words.
 * A longer name matches anywhere: hiding too much is better than showing a name.
 */
function nameOf(payer: string): RegExp {
  const name = spelled(payer);
  const letters = Array.from(payer.replaceAll(/\s/gu, ''));
  if (letters.length >= LONG_NAME) return new RegExp(name, 'giu');
  const isGlued = (letter: string | undefined) => new RegExp(GLUED, 'u').test(letter ?? '');
  const before = isGlued(letters[0]) ? `(?<!${GLUED})` : '';
  const after = isGlued(letters.at(-1)) ? `(?!${GLUED})` : '';
  return new RegExp(`${before}${name}${after}`, 'giu');
}

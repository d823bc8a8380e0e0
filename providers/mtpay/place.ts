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
  /** The proxy that placements go through. */
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

/** The amount is written into the JSON as the number it is, digit by digit: a float never sees it. */
function body(request: PlacementRequest): string {
  const field = request.buyCoinMode === 'MtcAmount' ? 'mtcAmount' : 'totalPrice';
  const { amount, ...rest } = request;
  return `${JSON.stringify(rest).slice(0, -1)},"${field}":${amount}}`;
}

function classify(answer: Exchange, links: LinkRules, sent: Confidential): PlacementOutcome {
  if (answer.kind === 'not_sent') return { kind: 'not_sent', cause: answer.cause };
  if (answer.kind === 'lost') return { kind: 'unknown', cause: answer.cause };
  const envelope = readEnvelope(answer.body);
  // A gateway's 502 may carry anything; behind it the order may well have been made.
  if (envelope === null || answer.status >= 500) return { kind: 'unknown', cause: `HTTP ${answer.status}` };
  const { statusCode, success } = envelope;
  if (statusCode === 'SUCCESS' && success === true && answer.status < 300) return placed(envelope['data'], links, sent);
  // Only an answer that says so itself is a refusal: an order placed again on a misreading would be a second order.
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
    // A byte order mark is no part of the JSON; the order behind it is one.
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
    // Shown in the Web UI, so it may repeat nothing of what was sent.
    advertisementCode: harmless(advertisementCode, sent),
    providerTimeMs: /^[1-9]\d{0,14}$/.test(time) ? Number(time) : null,
  };
}

/** What we send and must not read back into our tables, answers and logs. */
interface Confidential {
  readonly payer: string;
  readonly secrets: readonly string[];
}

/** The provider's own words, without control characters and without what is confidential of ours if it repeats it. */
function harmless(message: unknown, { payer, secrets }: Confidential): string {
  if (typeof message !== 'string') return '';
  // In any case: a signature in small letters is as good as ours in capitals.
  // The secrets first: a name that is cut out of one would leave the rest of it.
  const hide = (text: string) =>
    secrets
      .reduce((left, secret) => left.replaceAll(spellingsOf(secret), '[hidden]'), text)
      .replaceAll(nameOf(payer), '[payer]');
  // Twice, because a control character can be part of a name, and can stand in the place of a space of it.
  const kept = hide(hide(message).replaceAll(/[\p{Cc}\p{Cf}]/gu, ' ')).slice(0, MAX_MESSAGE_LENGTH);
  // Half a character at the cut is text that PostgreSQL refuses, and the answer would be lost.
  return kept.replace(/\p{Cs}$/u, '');
}

/** A text in any case and with any white space, as the source of a pattern. */
const spelled = (name: string): string =>
  name
    .split(/\s+/u)
    .map((word) => word.replaceAll(/[\\^$.*+?()[\]{}|]/g, '\\$&'))
    .join('\\s+');

const spellingsOf = (secret: string): RegExp => new RegExp(spelled(secret), 'giu');

/** Letters of scripts that write words apart. Elsewhere a name stands in the middle of a text, or has a particle on it. */
const GLUED = '[\\p{sc=Latn}\\p{sc=Grek}\\p{sc=Cyrl}]';
/** So many letters are not in another word by chance. */
const LONG_NAME = 5;

/**
 * The payer's name: a short one as a word of its own only, because `Li` is in many words; anything longer wherever it
 * stands, because a name that is hidden once too often is better than one that is shown.
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

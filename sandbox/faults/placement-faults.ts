import { z } from 'zod';
import { type Answer, envelopeAnswer } from '../wire/answer.ts';
import { envelope, STATUS_CODES } from '../wire/envelope.ts';
import { kind } from './fault-kind.ts';

/** The effect of a fault on one placement; {@link combinePlacement} combines faults that act together. */
export interface PlacementEffect {
  /** False: the request gets a response without being read, so no order is made. */
  readonly made?: boolean;
  /** Added to the sandbox's clock for this placement: window check, Date header, currentTimestamp. */
  readonly skewMs?: number;
  readonly frozen?: boolean;
  /** The payer pays, the seller releases and the callback is delivered before the response to the placement. */
  readonly early?: boolean;
  readonly alter?: (answer: Answer) => Answer;
}

type Data = Record<string, unknown>;

/** Rewrites `data` of a successful envelope; returns other responses unchanged. */
function alterData(answer: Answer, change: (data: Data) => Data): Answer {
  const content = JSON.parse(answer.body) as { data: Data | null; statusCode: string };
  if (content.data === null) return answer;
  return { ...answer, body: JSON.stringify({ ...content, data: change(content.data) }) };
}

const made = (byDefault: boolean) => z.boolean().default(byDefault);
const ms = z.int().min(0).max(600_000);

const HTML = '<!doctype html><html><head><title>502 Bad Gateway</title></head><body><h1>Bad Gateway</h1></body></html>';

/**
 * Faults of the placement. `made` says whether the order exists afterwards. A merchant cannot distinguish the two
 * cases, so every default is the worse one.
 */
export const PLACEMENT_FAULTS = {
  status: kind(
    'The placement is answered with any status code of the documents, as if it had been refused with it.',
    {
      statusCode: z.enum(STATUS_CODES),
      message: z.string().max(200).default('injected by a fault'),
      made: made(false),
    },
    (params): PlacementEffect => ({
      made: params.made,
      alter: () => envelopeAnswer(envelope(params.statusCode, params.message)),
    }),
  ),
  http500: kind(
    'The answer is an HTTP error without an envelope.',
    { httpStatus: z.int().min(400).max(599).default(500), made: made(false) },
    (params): PlacementEffect => ({
      made: params.made,
      alter: (answer) => ({ ...answer, httpStatus: params.httpStatus, contentType: 'text/plain', body: 'error' }),
    }),
  ),
  html: kind(
    'The answer is a proxy’s HTML page.',
    { made: made(false) },
    (params): PlacementEffect => ({
      made: params.made,
      alter: (answer) => ({ ...answer, contentType: 'text/html; charset=utf-8', body: HTML }),
    }),
  ),
  empty: kind(
    'The answer has an empty body.',
    { made: made(false) },
    (params): PlacementEffect => ({ made: params.made, alter: (answer) => ({ ...answer, body: '' }) }),
  ),
  truncated: kind(
    'The answer’s JSON ends half way; abrupt, the connection breaks there as well.',
    { abrupt: z.boolean().default(false), made: made(true) },
    (params): PlacementEffect => {
      const half = (answer: Answer): number => Math.floor(answer.body.length / 2);
      return {
        made: params.made,
        alter: (answer) =>
          params.abrupt
            ? { ...answer, ending: 'cut', sentBytes: half(answer) }
            : { ...answer, body: answer.body.slice(0, half(answer)) },
      };
    },
  ),
  slow: kind(
    'The answer is regular and comes late.',
    { ms: ms.default(5_000), made: made(true) },
    (params): PlacementEffect => ({
      made: params.made,
      alter: (answer) => ({ ...answer, delayMs: answer.delayMs + params.ms }),
    }),
  ),
  cut: kind(
    'The order is made and the answer is lost.',
    {},
    (): PlacementEffect => ({ alter: (answer) => ({ ...answer, ending: 'cut', sentBytes: 0 }) }),
  ),
  cutBefore: kind(
    'The connection breaks before anything happened.',
    {},
    (): PlacementEffect => ({ made: false, alter: (answer) => ({ ...answer, ending: 'cut', sentBytes: 0 }) }),
  ),
  hang: kind(
    'The answer never comes.',
    { made: made(true) },
    (params): PlacementEffect => ({ made: params.made, alter: (answer) => ({ ...answer, ending: 'never' }) }),
  ),
  wrongTypes: kind(
    'A successful answer’s members have other types than documented.',
    {},
    (): PlacementEffect => ({
      alter: (answer) =>
        alterData(answer, (data) => ({
          redirectUrl: [data['redirectUrl']],
          advertisementCode: 1,
          currentTimestamp: String(data['currentTimestamp']),
        })),
    }),
  ),
  foreignRedirect: kind(
    'The checkout link leads to a host that is not the provider’s.',
    { url: z.url().default('https://checkout.example.net/pay') },
    (params): PlacementEffect => ({
      alter: (answer) => alterData(answer, (data) => ({ ...data, redirectUrl: params.url })),
    }),
  ),
  hugeBody: kind(
    'The answer is well-formed and far too long.',
    { bytes: z.int().min(1).max(64_000_000).default(5_000_000) },
    (params): PlacementEffect => ({
      alter: (answer) => ({ ...answer, body: `${answer.body.slice(0, -1)},"padding":"${'x'.repeat(params.bytes)}"}` }),
    }),
  ),
  frozen: kind('The merchant’s account is frozen.', {}, (): PlacementEffect => ({ frozen: true })),
  early: kind(
    'The payer has paid and the callback is delivered before the placement is answered.',
    {},
    (): PlacementEffect => ({ early: true }),
  ),
  http429: kind(
    'The answer is HTTP 429 with a Retry-After header.',
    { retryAfterSeconds: z.int().min(0).max(3_600).default(1), made: made(false) },
    (params): PlacementEffect => ({
      made: params.made,
      alter: (answer) => ({
        ...answer,
        httpStatus: 429,
        contentType: 'text/plain',
        headers: { 'retry-after': String(params.retryAfterSeconds) },
        body: 'too many requests',
      }),
    }),
  ),
  trickle: kind(
    'The answer is regular and comes in small pieces with a pause after each.',
    { pieces: z.int().min(2).max(1_000).default(50), everyMs: ms.default(500), made: made(true) },
    (params): PlacementEffect => ({
      made: params.made,
      alter: (answer) => ({ ...answer, trickle: { pieces: params.pieces, everyMs: params.everyMs } }),
    }),
  ),
  /** Also acts on callbacks: see faults.ts. */
  clockSkew: kind(
    'The provider’s clock is off: in the window check, the Date header, currentTimestamp and callbacks.',
    { ms: z.int().min(-10_000_000_000).max(10_000_000_000).default(3_600_000) },
    (params): PlacementEffect => ({ skewMs: params.ms }),
  ),
};

/** Combines effects: one without an order wins, skews add up, responses are rewritten in the order of the faults. */
export function combinePlacement(effects: readonly PlacementEffect[]): Required<PlacementEffect> {
  return {
    made: effects.every((effect) => effect.made !== false),
    skewMs: effects.reduce((sum, effect) => sum + (effect.skewMs ?? 0), 0),
    frozen: effects.some((effect) => effect.frozen === true),
    early: effects.some((effect) => effect.early === true),
    alter: (answer) => effects.reduce((altered, effect) => effect.alter?.(altered) ?? altered, answer),
  };
}

import { z } from 'zod';
import { type Answer, envelopeAnswer } from './answer.ts';
import { envelope, STATUS_CODES } from './envelope.ts';
import { kind } from './fault-kind.ts';

/** What a fault does to one placement; faults that act together are combined by {@link combinePlacement}. */
export interface PlacementEffect {
  /** False: the request is answered without looking at it, so no order is made. */
  readonly made?: boolean;
  /** Added to the sandbox's clock for this placement: window check, Date header, currentTimestamp. */
  readonly skewMs?: number;
  readonly frozen?: boolean;
  /** The payer pays, the seller releases and the callback is delivered before the placement is answered. */
  readonly early?: boolean;
  readonly alter?: (answer: Answer) => Answer;
}

type Data = Record<string, unknown>;

/** Rewrites `data` of a successful envelope; other answers pass unchanged. */
function alterData(answer: Answer, change: (data: Data) => Data): Answer {
  const content = JSON.parse(answer.body) as { data: Data | null; statusCode: string };
  if (content.data === null) return answer;
  return { ...answer, body: JSON.stringify({ ...content, data: change(content.data) }) };
}

const made = (byDefault: boolean) => z.boolean().default(byDefault);
const ms = z.int().min(0).max(600_000);

const HTML = '<!doctype html><html><head><title>502 Bad Gateway</title></head><body><h1>Bad Gateway</h1></body></html>';

/**
 * Faults of the placement. `made` says whether the order exists afterwards all the same; every default is the nastier
 * of the two readings a merchant cannot tell apart.
 */
export const PLACEMENT_FAULTS = {
  /** Any status code of the documents, as if the request had been refused with it. */
  status: kind(
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
    { httpStatus: z.int().min(400).max(599).default(500), made: made(false) },
    (params): PlacementEffect => ({
      made: params.made,
      alter: (answer) => ({ ...answer, httpStatus: params.httpStatus, contentType: 'text/plain', body: 'error' }),
    }),
  ),
  html: kind(
    { made: made(false) },
    (params): PlacementEffect => ({
      made: params.made,
      alter: (answer) => ({ ...answer, contentType: 'text/html; charset=utf-8', body: HTML }),
    }),
  ),
  empty: kind(
    { made: made(false) },
    (params): PlacementEffect => ({ made: params.made, alter: (answer) => ({ ...answer, body: '' }) }),
  ),
  /** Half of the JSON text, as a whole HTTP answer; `abrupt` announces all of it and cuts the connection instead. */
  truncated: kind({ abrupt: z.boolean().default(false), made: made(true) }, (params): PlacementEffect => {
    const half = (answer: Answer): number => Math.floor(answer.body.length / 2);
    return {
      made: params.made,
      alter: (answer) =>
        params.abrupt
          ? { ...answer, ending: 'cut', sentBytes: half(answer) }
          : { ...answer, body: answer.body.slice(0, half(answer)) },
    };
  }),
  slow: kind(
    { ms, made: made(true) },
    (params): PlacementEffect => ({
      made: params.made,
      alter: (answer) => ({ ...answer, delayMs: answer.delayMs + params.ms }),
    }),
  ),
  /** The order is made, the answer is lost. */
  cut: kind({}, (): PlacementEffect => ({ alter: (answer) => ({ ...answer, ending: 'cut', sentBytes: 0 }) })),
  /** The connection breaks before anything happened. */
  cutBefore: kind(
    {},
    (): PlacementEffect => ({ made: false, alter: (answer) => ({ ...answer, ending: 'cut', sentBytes: 0 }) }),
  ),
  hang: kind(
    { made: made(true) },
    (params): PlacementEffect => ({ made: params.made, alter: (answer) => ({ ...answer, ending: 'never' }) }),
  ),
  /** A successful envelope whose members have other types than documented. */
  wrongTypes: kind(
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
    { url: z.url().default('https://checkout.example.net/pay') },
    (params): PlacementEffect => ({
      alter: (answer) => alterData(answer, (data) => ({ ...data, redirectUrl: params.url })),
    }),
  ),
  /** A well-formed answer of any size. */
  hugeBody: kind(
    { bytes: z.int().min(1).max(64_000_000).default(5_000_000) },
    (params): PlacementEffect => ({
      alter: (answer) => ({ ...answer, body: `${answer.body.slice(0, -1)},"padding":"${'x'.repeat(params.bytes)}"}` }),
    }),
  ),
  frozen: kind({}, (): PlacementEffect => ({ frozen: true })),
  early: kind({}, (): PlacementEffect => ({ early: true })),
  /** The sandbox's clock is off by `ms`; acts on callbacks too: see attempt-faults.ts. */
  clockSkew: kind(
    { ms: z.int().min(-10_000_000_000).max(10_000_000_000) },
    (params): PlacementEffect => ({ skewMs: params.ms }),
  ),
};

/** All effects at once: one without an order wins, skews add up, answers are rewritten in the order of the faults. */
export function combinePlacement(effects: readonly PlacementEffect[]): Required<PlacementEffect> {
  return {
    made: effects.every((effect) => effect.made !== false),
    skewMs: effects.reduce((sum, effect) => sum + (effect.skewMs ?? 0), 0),
    frozen: effects.some((effect) => effect.frozen === true),
    early: effects.some((effect) => effect.early === true),
    alter: (answer) => effects.reduce((altered, effect) => effect.alter?.(altered) ?? altered, answer),
  };
}

import { setTimeout as sleep } from 'node:timers/promises';
import type { Response } from 'express';
import { type Envelope, ENVELOPE_HTTP_STATUS } from './envelope.ts';

/** The response to a placement as it will be sent; faults rewrite it before. */
export interface Answer {
  readonly httpStatus: number;
  readonly contentType: string;
  /** Further headers. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  /** The wait before the first byte; not divided by the speed. */
  readonly delayMs: number;
  /** `cut`: the connection is destroyed after `sentBytes` of the body. `never`: it stays open without a response. */
  readonly ending: 'whole' | 'cut' | 'never';
  /** The bytes of the body sent before a cut; 0: not even the headers are sent. */
  readonly sentBytes: number;
  /** Sends the body in this many pieces, with a pause after each; null: at once. */
  readonly trickle: { readonly pieces: number; readonly everyMs: number } | null;
}

/** Returns the regular response: an envelope as JSON. */
export function envelopeAnswer(content: Envelope): Answer {
  return {
    httpStatus: ENVELOPE_HTTP_STATUS,
    contentType: 'application/json',
    headers: {},
    body: JSON.stringify(content),
    delayMs: 0,
    ending: 'whole',
    sentBytes: 0,
    trickle: null,
  };
}

/** `sent`: the whole response left this process. `lost`: it was cut or withheld, or the merchant had disconnected. */
export type Sending = 'sent' | 'lost';

/** Resolves when the response is sent or the connection is gone; never rejects. */
export async function send(response: Response, answer: Answer, date: Date): Promise<Sending> {
  const outcome = new Promise<Sending>((resolve) => {
    response.once('finish', () => resolve('sent'));
    response.once('close', () => resolve('lost'));
    if (response.closed) resolve('lost');
  });
  const pause = new AbortController();
  const gone = outcome.then(() => pause.abort());
  if (answer.delayMs > 0) await sleep(answer.delayMs, undefined, { signal: pause.signal }).catch(() => undefined);
  if (!response.closed && !response.destroyed) await write(response, answer, date, pause.signal);
  await gone;
  return outcome;
}

async function write(response: Response, answer: Answer, date: Date, gone: AbortSignal): Promise<void> {
  if (answer.ending === 'never') return;
  if (answer.ending === 'cut' && answer.sentBytes === 0) {
    response.destroy();
    return;
  }
  const body = Buffer.from(answer.body, 'utf8');
  response.sendDate = false;
  response.writeHead(answer.httpStatus, {
    date: date.toUTCString(),
    'content-type': answer.contentType,
    'content-length': body.length,
    'cache-control': 'no-store',
    ...answer.headers,
  });
  if (answer.ending === 'whole') {
    if (answer.trickle !== null) await trickle(response, body, answer.trickle, gone);
    response.end(body.subarray(answer.trickle === null ? 0 : body.length));
  } else response.write(body.subarray(0, answer.sentBytes), () => response.destroy());
}

async function trickle(
  response: Response,
  body: Buffer,
  { pieces, everyMs }: NonNullable<Answer['trickle']>,
  gone: AbortSignal,
): Promise<void> {
  const size = Math.max(1, Math.ceil(body.length / pieces));
  for (let at = 0; at < body.length && !gone.aborted; at += size) {
    response.write(body.subarray(at, at + size));
    await sleep(everyMs, undefined, { signal: gone }).catch(() => undefined);
  }
}

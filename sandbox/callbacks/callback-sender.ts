import { request as requestHttp, type IncomingMessage } from 'node:http';
import { request as requestHttps } from 'node:https';
import { type AckForm, refusalOf } from '../wire/acknowledgement.ts';
import type { AttemptResult } from './deliveries.ts';

/** Larger than any success body. A longer response is a failure, and its rest is not read. */
const MAX_ANSWER_BYTES = 65_536;
/** The length of the response that the attempt's record keeps. */
const KEPT_CHARACTERS = 200;

type Answered =
  | { readonly ok: true; readonly response: IncomingMessage; readonly body: string }
  | { readonly ok: false; readonly problem: string };

/**
 * Sends one callback and checks the response; never rejects. It uses `node:http` and not fetch, because:
 * - it follows no redirect and decodes nothing, so the response is compared byte by byte;
 * - every attempt has a connection of its own. A merchant may close a kept-alive one at the wrong moment, which would
 *   cost a minute until the next retry.
 */
export async function sendCallback(
  url: string,
  body: string,
  accepted: readonly AckForm[],
  timeoutMs: number,
): Promise<AttemptResult> {
  const startedAt = performance.now();
  const answered = await post(url, body, timeoutMs);
  const tookMs = Math.round(performance.now() - startedAt);
  if (!answered.ok) {
    const nothing = { httpStatus: null, contentType: null, answerPrefix: null };
    return { outcome: 'NO_ANSWER', ...nothing, problem: answered.problem, tookMs };
  }
  const { response, body: answerBody } = answered;
  const answer = {
    httpStatus: response.statusCode ?? 0,
    contentType: response.headers['content-type'] ?? '',
    contentEncoding: response.headers['content-encoding'] ?? null,
    body: answerBody,
  };
  const problem = refusalOf(answer, accepted);
  return {
    outcome: problem === null ? 'ACKNOWLEDGED' : 'REFUSED',
    httpStatus: answer.httpStatus,
    contentType: answer.contentType,
    answerPrefix: printable(answerBody),
    problem,
    tookMs,
  };
}

/** Replaces control characters: PostgreSQL stores no NUL, and the others make the record hard to read. */
const printable = (text: string): string => text.slice(0, KEPT_CHARACTERS).replace(/\p{Cc}/gu, '\u00b7');

function post(url: string, body: string, timeoutMs: number): Promise<Answered> {
  return new Promise((resolve) => {
    const deadline = AbortSignal.timeout(timeoutMs);
    const request = (url.startsWith('https:') ? requestHttps : requestHttp)(url, {
      method: 'POST',
      agent: false,
      signal: deadline,
      headers: {
        'content-type': 'application/json',
        'content-length': Buffer.byteLength(body),
        'accept-encoding': 'identity',
        'user-agent': 'MTPay-Sandbox',
      },
    });
    const fail = (error: Error): void => {
      resolve({ ok: false, problem: deadline.aborted ? `no whole answer within ${timeoutMs} ms` : nameOf(error) });
    };
    request.on('error', fail);
    request.on('response', (response) => {
      const chunks: Buffer[] = [];
      let bytes = 0;
      response.on('data', (chunk: Buffer) => {
        bytes += chunk.length;
        chunks.push(chunk);
        if (bytes <= MAX_ANSWER_BYTES) return;
        resolve({ ok: false, problem: `the answer is longer than ${MAX_ANSWER_BYTES} bytes` });
        request.destroy();
      });
      response.on('error', fail);
      response.on('end', () => resolve({ ok: true, response, body: Buffer.concat(chunks).toString('latin1') }));
    });
    request.end(body);
  });
}

/** Returns the error's code if there is one: Node's messages repeat addresses, which the log does not need. */
function nameOf(error: Error): string {
  const { code } = error as NodeJS.ErrnoException;
  return code ?? error.message;
}

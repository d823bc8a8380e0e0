import { setTimeout as sleep } from 'node:timers/promises';
import { DepositEngineError, type FieldError } from './errors.ts';
import type { ProblemCode } from './types.ts';

/** One call over HTTP: its deadline, its repeats, its errors. */

export interface RequestOptions {
  /** Aborts the call, which then throws the reason of the signal. */
  readonly signal?: AbortSignal | undefined;
  /** The deadline of the call with all its repeats. */
  readonly timeoutMs?: number | undefined;
  /** How often a call that may be repeated is repeated at most. */
  readonly retries?: number | undefined;
}

export interface ClientOptions extends Omit<RequestOptions, 'signal'> {
  /** Where the private API is, such as `https://deposits.internal:8080`. */
  readonly baseUrl: string;
  readonly apiKey: string;
  /** The deadline of one attempt. */
  readonly attemptTimeoutMs?: number | undefined;
  /** Another `fetch`, for example with a proxy or certificates of its own. */
  readonly fetch?: typeof fetch | undefined;
}

export interface HttpCall {
  readonly method: 'GET' | 'POST' | 'PATCH' | 'DELETE';
  readonly path: string;
  readonly query?: object;
  readonly body?: unknown;
  /** Whether a second request has no second effect. */
  readonly isRepeatable: boolean;
}
export type Send = <T>(call: HttpCall, options?: RequestOptions) => Promise<T>;

const TIMEOUT_MS = 60_000;
const ATTEMPT_TIMEOUT_MS = 20_000;
const RETRIES = 4;
const FIRST_PAUSE_MS = 250;
const LONGEST_PAUSE_MS = 10_000;

/**
 * The pause before a repeat, counted from 0. As long as the answer said, and up to an eighth more by chance; otherwise
 * doubled each time, and between a half and the whole of that by chance.
 */
export function pauseBeforeMs(repeat: number, retryAfterSeconds: number | null, chance: number): number {
  const doubled = (times: number) => Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** times) * (0.5 + chance / 2);
  if (retryAfterSeconds === null) return doubled(repeat);
  return Math.max(doubled(0), retryAfterSeconds * 1_000 * (1 + chance / 8));
}

/** Resolves after a pause; throws the reason of the signal as soon as that is aborted. */
export async function pause(ms: number, signal: AbortSignal | undefined): Promise<void> {
  await sleep(ms, undefined, signal === undefined ? {} : { signal }).catch(() => undefined);
  signal?.throwIfAborted();
}

/** @throws TypeError if the address or the key cannot be used; it shows neither. */
export function createTransport(options: ClientOptions): Send {
  const { apiKey, fetch: send = fetch, attemptTimeoutMs = ATTEMPT_TIMEOUT_MS } = options;
  if (!URL.canParse(options.baseUrl)) throw new TypeError('baseUrl is no address such as http://127.0.0.1:8080');
  const base = options.baseUrl.replace(/\/+$/, '');
  // The error of `fetch` about an invalid header would show the key.
  if (!/^[\x21-\x7e]+$/.test(apiKey)) throw new TypeError('apiKey has a blank or another character that no key has');

  async function attempt<T>({ method, path, query = {}, body }: HttpCall, withinMs: number, signal?: AbortSignal) {
    const url = new URL(`${base}${path}`);
    for (const [name, value] of Object.entries(query)) if (value !== undefined) url.searchParams.set(name, `${value}`);
    const inTime = AbortSignal.timeout(Math.min(attemptTimeoutMs, Math.ceil(withinMs)));
    try {
      const answer = await send(url, {
        method,
        // The key goes to no other host.
        redirect: 'manual',
        signal: signal === undefined ? inTime : AbortSignal.any([signal, inTime]),
        headers: {
          authorization: `Bearer ${apiKey}`,
          accept: 'application/json',
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
      return read(answer, await answer.text()) as T;
    } catch (cause) {
      signal?.throwIfAborted();
      if (cause instanceof DepositEngineError) throw cause;
      if (inTime.aborted)
        throw new DepositEngineError({ code: 'timeout', detail: `no answer of ${url.host} in time`, cause });
      throw new DepositEngineError({ code: 'no_answer', detail: `no answer of ${url.host}: ${why(cause)}`, cause });
    }
  }

  return async <T>(call: HttpCall, given: RequestOptions = {}): Promise<T> => {
    const retries = call.isRepeatable ? (given.retries ?? options.retries ?? RETRIES) : 0;
    const endsAt = performance.now() + (given.timeoutMs ?? options.timeoutMs ?? TIMEOUT_MS);
    given.signal?.throwIfAborted();
    for (let repeat = 0; ; repeat += 1) {
      try {
        return await attempt<T>(call, Math.max(0, endsAt - performance.now()), given.signal);
      } catch (error) {
        if (!(error instanceof DepositEngineError) || repeat >= retries || !mayPass(error)) throw error;
        const ms = pauseBeforeMs(repeat, error.retryAfterSeconds, Math.random());
        if (performance.now() + ms >= endsAt) throw error;
        await pause(ms, given.signal);
      }
    }
  };
}

/** Whether the same request may succeed later. */
const mayPass = ({ code, status }: DepositEngineError): boolean =>
  code === 'timeout' || code === 'no_answer' || status === 408 || status === 429 || (status ?? 0) >= 500;

function read(answer: Response, text: string): unknown {
  const { status, headers } = answer;
  const body = status === 204 ? null : parsed(text);
  if (answer.ok && body !== undefined) return body;
  const about = {
    status,
    retryAfterSeconds: secondsOf(headers.get('retry-after')),
    requestId: headers.get('request-id'),
  };
  const { code, detail, errors } = (body ?? {}) as { code?: unknown; detail?: unknown; errors?: unknown };
  if (answer.ok || typeof code !== 'string' || typeof detail !== 'string')
    throw new DepositEngineError({ ...about, code: 'unexpected_answer', detail: `${status} without words of ours` });
  const fields = Array.isArray(errors) ? { errors: errors as FieldError[] } : {};
  throw new DepositEngineError({ ...about, ...fields, code: code as ProblemCode, detail });
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** A number of seconds, or a time. */
function secondsOf(header: string | null): number | null {
  if (header === null) return null;
  const seconds = /^\d{1,9}$/.test(header) ? Number(header) : (Date.parse(header) - Date.now()) / 1_000;
  return Number.isNaN(seconds) ? null : Math.max(0, Math.ceil(seconds));
}

function why(error: unknown): string {
  const { cause, message } = error as { cause?: { code?: string; message?: string }; message?: string };
  return cause?.code ?? cause?.message ?? message ?? 'failed';
}

import type { ProblemCode } from './types.ts';

/**
 * The code of a failed call. Those of the engine are explained in its `/docs`; three are the client's own:
 * `timeout`: no answer, or no final state, in time; `no_answer`: no connection, or a connection that was cut;
 * `unexpected_answer`: an answer that is not the engine's, such as a proxy's page. An engine that is newer than this
 * client may return a code that is not listed.
 */
export type DepositErrorCode = ProblemCode | 'timeout' | 'no_answer' | 'unexpected_answer';

/** One field at fault, without its value. */
export interface FieldError {
  readonly field: string;
  readonly message: string;
}

interface Failure {
  readonly code: DepositErrorCode;
  readonly detail: string;
  readonly status?: number;
  readonly errors?: readonly FieldError[];
  readonly retryAfterSeconds?: number | null;
  readonly requestId?: string | null;
  readonly cause?: unknown;
}

/** A call that failed. A call that its caller aborts throws the reason of the signal instead. */
export class DepositEngineError extends Error {
  override readonly name = 'DepositEngineError';
  readonly code: DepositErrorCode;
  /** For readers; may change. */
  readonly detail: string;
  /** Null: there was no answer. */
  readonly status: number | null;
  /** The fields at fault, for `invalid_request`. */
  readonly errors: readonly FieldError[];
  /** Null: the answer did not say. */
  readonly retryAfterSeconds: number | null;
  /** The header `Request-Id` of the answer; null: it had none. */
  readonly requestId: string | null;

  constructor({ code, detail, status, errors, retryAfterSeconds, requestId, cause }: Failure) {
    super(`${code}: ${detail}`, cause === undefined ? {} : { cause });
    this.code = code;
    this.detail = detail;
    this.status = status ?? null;
    this.errors = errors ?? [];
    this.retryAfterSeconds = retryAfterSeconds ?? null;
    this.requestId = requestId ?? null;
  }
}

import type { RequestHandler, Response } from 'express';
import type pg from 'pg';
import { NO_LIVING_KEY } from '../../contract/errors.ts';
import { findCaller, proofOf, type ProvenCaller, type Scope } from '../../database/queries/api-keys.ts';
import { RequestRefused } from '../../intake/refusal.ts';
import { type Allowance, type Buckets, createBuckets, type Rate, remoteName } from './rate-limit.ts';

export interface AccessLimits {
  /** Requests of one key. */
  readonly key: Rate;
  /** Failed authentications from one remote address. */
  readonly failure: Rate;
}

/** The limits' state, in this process: bounded, and empty after a restart. */
export interface Access {
  /** By the proof of keys that were valid at their last lookup. */
  readonly keys: Buckets;
  readonly failures: Buckets;
}

const CAPACITY = 10_000;

export const createAccess = (limits: AccessLimits, now?: () => number): Access => ({
  keys: createBuckets(limits.key, CAPACITY, now),
  failures: createBuckets(limits.failure, CAPACITY, now),
});

export interface AccessDependencies {
  readonly pool: pg.Pool;
  readonly access: Access;
}

/** The scheme in any case, with any number of blanks, by RFC 9110. */
const BEARER = /^Bearer +([A-Za-z0-9_-]{20,200})$/i;

/**
 * Admits callers with a valid key of any of these scopes; the caller is then in `response.locals.caller`. The key is
 * looked up at every request, so that a revoked one is refused at the next.
 */
export const requireScope =
  ({ pool, access }: AccessDependencies, ...anyOf: readonly Scope[]): RequestHandler =>
  async (request, response, next) => {
    const remote = remoteName(request.socket.remoteAddress);
    const key = BEARER.exec(request.headers.authorization ?? '')?.[1];
    const caller = await authenticate({ pool, access }, remote, key, ({ limit, remaining, resetSeconds }) =>
      response.set({
        'ratelimit-limit': String(limit),
        'ratelimit-remaining': String(remaining),
        'ratelimit-reset': String(resetSeconds),
      }),
    );
    if (!anyOf.some((scope) => caller.scopes.includes(scope))) {
      throw new RequestRefused('forbidden', `this needs the scope ${anyOf.join(' or ')}`);
    }
    response.locals['caller'] = caller;
    next();
  };

/** The caller that {@link requireScope} admitted. */
export const callerOf = (response: Response): ProvenCaller => response.locals['caller'] as ProvenCaller;

/**
 * Throws {@link RequestRefused} `unauthorized` or `rate_limited`; it does not disclose why a key is invalid. `tell` gets
 * the allowance of a key that is valid, or was so at its last lookup.
 */
export async function authenticate(
  { pool, access }: AccessDependencies,
  remote: string,
  key: string | undefined,
  tell: (allowance: Allowance) => unknown = () => undefined,
): Promise<ProvenCaller> {
  const hash = key === undefined ? undefined : proofOf(key).reveal().toString('base64');
  const isKnown = hash !== undefined && access.keys.has(hash);
  // A flood of bad keys from an address that others share, such as a proxy's, does not shut out keys that are known.
  if (isKnown) {
    const waitSeconds = access.keys.take(hash);
    if (waitSeconds > 0) tell(access.keys.allowance(hash));
    refuseWhileEmpty(waitSeconds);
  } else refuseWhileEmpty(access.failures.wait(remote));
  const caller = key === undefined ? null : await findCaller(pool, key);
  if (caller === null) {
    if (hash !== undefined) access.keys.forget(hash);
    access.failures.take(remote);
    // Missing, malformed, unknown, expired and revoked keys look the same from outside.
    throw new RequestRefused('unauthorized', NO_LIVING_KEY);
  }
  if (!isKnown) access.keys.take(hash!);
  tell(access.keys.allowance(hash!));
  return caller;
}

function refuseWhileEmpty(waitSeconds: number): void {
  if (waitSeconds === 0) return;
  throw new RequestRefused('rate_limited', 'too many requests; the header Retry-After says when to go on', {
    retryAfterSeconds: Math.ceil(waitSeconds),
  });
}

import type { RequestHandler } from 'express';
import type pg from 'pg';
import { type ApiCaller, findCaller, type Scope } from '../database/api-keys.ts';
import { ApiError } from './errors.ts';

const BEARER = /^Bearer ([A-Za-z0-9_-]{20,200})$/;

/** Lets through whoever holds a living key with this scope; the caller is then in `response.locals.caller`. */
export const requireScope =
  (pool: pg.Pool, scope: Scope): RequestHandler =>
  async (request, response, next) => {
    const key = BEARER.exec(request.headers.authorization ?? '')?.[1];
    const caller: ApiCaller | null = key === undefined ? null : await findCaller(pool, key);
    // Missing, malformed, unknown, expired and revoked keys look the same from outside.
    if (caller === null) throw new ApiError('unauthorized', 'send Authorization: Bearer <api key>');
    if (!caller.scopes.includes(scope)) throw new ApiError('forbidden', `this needs the scope ${scope}`);
    response.locals['caller'] = caller;
    next();
  };

import type { RequestHandler } from 'express';
import { sameText } from '../wire/signature.ts';

/** Lets requests pass whose `Authorization: Bearer` is the token. */
export function requireBearer(token: string): RequestHandler {
  return (request, response, next) => {
    const given = /^Bearer (.+)$/.exec(request.header('authorization') ?? '')?.[1];
    if (given !== undefined && sameText(given, token)) next();
    else
      response.status(401).set('www-authenticate', 'Bearer').json({ error: 'the control token is missing or wrong' });
  };
}

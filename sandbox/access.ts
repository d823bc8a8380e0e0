import type { RequestHandler } from 'express';
import { sameText } from './signature.ts';

/** Lets requests pass whose `Authorization: Bearer` is the token. */
export function requireBearer(token: string): RequestHandler {
  return (request, response, next) => {
    const given = /^Bearer (.+)$/.exec(request.header('authorization') ?? '')?.[1];
    if (given !== undefined && sameText(given, token)) next();
    else
      response.status(401).set('www-authenticate', 'Bearer').json({ error: 'the control token is missing or wrong' });
  };
}

/** Lets requests pass whose HTTP Basic password is the token, whatever the user name. */
export function requireBasic(token: string): RequestHandler {
  return (request, response, next) => {
    const encoded = /^Basic (.+)$/.exec(request.header('authorization') ?? '')?.[1] ?? '';
    const decoded = Buffer.from(encoded, 'base64').toString('utf8');
    const password = decoded.slice(decoded.indexOf(':') + 1);
    if (decoded.includes(':') && sameText(password, token)) next();
    else response.status(401).set('www-authenticate', 'Basic realm="sandbox console"').type('text').send('log in');
  };
}

import type { Payload, PayloadCodec } from '@temporalio/common';
import express, { type Express, type RequestHandler } from 'express';
import { z } from 'zod';
import type { Log } from '../../telemetry/log.ts';
import { type AccessDependencies, authenticate, requireScope } from '../http/authenticate.ts';
import { createSessions, LOGIN_PAGE, sessionCookie, welcomePage } from './codec-login.ts';
import { answerErrors } from '../http/errors.ts';
import { RequestRefused } from '../../intake/refusal.ts';
import { bytesOf, createApp, noSuchPath, onlyMethods, requireJson } from '../http/http.ts';
import { remoteName } from '../http/rate-limit.ts';
import { readBody } from '../http/body.ts';

export interface CodecServerDependencies extends AccessDependencies {
  readonly codec: PayloadCodec;
  /** The origin of the Web UI, the only one from which a browser may call. */
  readonly origin: string;
  readonly log: Log;
}

/** For the one page with a form, which may be sent to this server only. */
const LOGIN_POLICY = "default-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";
/** Bytes: enough for several pages of a history. One payload of ours is below 2 kB. */
const MAX_BYTES = 1024 * 1024;
const base64 = z.string().regex(/^[A-Za-z0-9+/]*={0,2}$/, 'expected base64');
const body = z.object({
  payloads: z
    .array(z.object({ metadata: z.record(z.string().max(200), base64).optional(), data: base64.optional() }))
    .max(2_000),
});
type WirePayload = z.output<typeof body>['payloads'][number];

/**
 * Encodes and decodes payloads for the Temporal Web UI and its command line. Callers need an API key of scope
 * `audit:read`: as `Authorization: Bearer`, or entered once at `/` and then remembered by a cookie. A Web UI without
 * logins of its own can send cookies only.
 */
export function createCodecServer(deps: CodecServerDependencies): Express {
  const app = createApp();
  const sessions = createSessions();
  const mayRead = [sessions.restore, requireScope(deps, 'audit:read')];
  const readBytes = express.raw({ type: () => true, limit: MAX_BYTES, inflate: false });

  app.use(allowOrigin(deps.origin));
  const route = (path: string, work: (payloads: Payload[]) => Promise<Payload[]>) =>
    app
      .route(path)
      .post(...mayRead, requireJson, readBytes, async (request, response) => {
        const { payloads } = readBody(body, bytesOf(request));
        const answers = await work(payloads.map(fromWire));
        response.json({ payloads: answers.map(toWire) });
      })
      .all(onlyMethods('POST'));
  route('/encode', (payloads) => deps.codec.encode(payloads));
  route('/decode', (payloads) => Promise.all(payloads.map((payload) => decodeOrLeave(deps, payload))));

  app.get('/', (_request, response) => {
    response.set('content-security-policy', LOGIN_POLICY).type('html').send(LOGIN_PAGE);
  });
  app.post('/session', express.urlencoded({ extended: false, limit: 1_000 }), async (request, response) => {
    const key = (request.body as { key?: unknown } | undefined)?.key;
    const given = typeof key === 'string' ? key : '';
    const caller = await authenticate(deps, remoteName(request.socket.remoteAddress), given);
    if (!caller.scopes.includes('audit:read')) {
      throw new RequestRefused('unauthorized', 'this needs an API key with the scope audit:read');
    }
    response.set('set-cookie', sessionCookie(sessions.open(given), deps.origin.startsWith('https:')));
    // No redirect: the page's policy lets a form lead nowhere else.
    response.type('html').send(welcomePage(deps.origin));
  });
  app.get('/healthz', (_request, response) => {
    response.json({ status: 'alive' });
  });
  app.use(noSuchPath);
  app.use(answerErrors(deps.log));
  return app;
}

/**
 * Responds to a browser's preflight request of `origin`. A request of another origin is refused, except at `/session`,
 * to which our own form is sent.
 */
const allowOrigin =
  (origin: string): RequestHandler =>
  (request, response, next) => {
    const asked = request.headers.origin;
    response.set('vary', 'origin');
    if (asked !== undefined && asked !== origin && request.path !== '/session') {
      throw new RequestRefused('forbidden', 'this origin may not ask');
    }
    if (asked === origin) {
      response.set({
        'access-control-allow-origin': origin,
        'access-control-allow-credentials': 'true',
        'access-control-allow-methods': 'POST',
        'access-control-allow-headers': 'content-type, authorization, x-namespace',
        'access-control-max-age': '600',
      });
    }
    if (request.method !== 'OPTIONS') return next();
    response.status(204).end();
  };

/** A payload whose key is gone stays encrypted. It must not hide the readable ones. */
async function decodeOrLeave({ codec, log }: CodecServerDependencies, payload: Payload): Promise<Payload> {
  try {
    return (await codec.decode([payload]))[0]!;
  } catch (error) {
    log.warn({ error: (error as Error).message }, 'a payload stays closed');
    return payload;
  }
}

const fromWire = ({ metadata = {}, data = '' }: WirePayload): Payload => ({
  metadata: Object.fromEntries(Object.entries(metadata).map(([name, value]) => [name, Buffer.from(value, 'base64')])),
  data: Buffer.from(data, 'base64'),
});

const toWire = ({ metadata, data }: Payload): WirePayload => ({
  metadata: Object.fromEntries(
    Object.entries(metadata ?? {}).map(([name, value]) => [name, Buffer.from(value).toString('base64')]),
  ),
  data: Buffer.from(data ?? []).toString('base64'),
});

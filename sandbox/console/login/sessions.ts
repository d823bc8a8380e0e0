import { randomBytes } from 'node:crypto';
import type { Request, Response } from 'express';
import type pg from 'pg';
import { sameText, sha256 } from '../../wire/signature.ts';

/** Contains the port that the browser uses: cookies ignore ports, so two consoles would log each other out. */
function cookieName(request: Request): string {
  const port = /:(\d{1,5})$/.exec(request.header('host') ?? '')?.[1];
  return port === undefined ? 'sandbox_console' : `sandbox_console_${port}`;
}

const LIFETIME_MS = 12 * 3_600_000;

/** A logged-in session. The form token is derived from the secret cookie, so another site cannot know it. */
export interface Session {
  readonly token: string;
  readonly formToken: string;
}

const sessionOf = (token: string): Session => ({ token, formToken: sha256(`form ${token}`) });

function cookieOf(request: Request): string | null {
  const name = cookieName(request);
  const pairs = (request.header('cookie') ?? '').split(';').map((pair) => pair.trim());
  const own = pairs.find((pair) => pair.startsWith(`${name}=`))?.slice(name.length + 1);
  return own !== undefined && /^[\w-]{43}$/.test(own) ? own : null;
}

/** A proxy that terminates TLS sets the header; a client that forges it only breaks its own cookie. */
const isHttps = (request: Request): boolean => request.secure || request.header('x-forwarded-proto') === 'https';

const cookieOptions = (request: Request) =>
  ({ path: '/console', httpOnly: true, sameSite: 'strict', secure: isHttps(request) }) as const;

/** Returns the session of the request's cookie; null if there is none or it has expired. */
export async function findSession(pool: pg.Pool, request: Request): Promise<Session | null> {
  const token = cookieOf(request);
  if (token === null) return null;
  const { rowCount } = await pool.query(
    'SELECT FROM sandbox.console_session WHERE token_sha256 = $1 AND ends_at > now()',
    [sha256(token)],
  );
  return rowCount === 1 ? sessionOf(token) : null;
}

/** Logs in with a new cookie every time, against session fixation. */
export async function beginSession(pool: pg.Pool, request: Request, response: Response): Promise<void> {
  const token = randomBytes(32).toString('base64url');
  await pool.query('DELETE FROM sandbox.console_session WHERE ends_at <= now()');
  await pool.query(
    `INSERT INTO sandbox.console_session (token_sha256, ends_at) VALUES ($1, now() + $2 * interval '1 ms')`,
    [sha256(token), LIFETIME_MS],
  );
  response.cookie(cookieName(request), token, { ...cookieOptions(request), maxAge: LIFETIME_MS });
}

export async function endSession(pool: pg.Pool, session: Session, request: Request, response: Response): Promise<void> {
  await pool.query('DELETE FROM sandbox.console_session WHERE token_sha256 = $1', [sha256(session.token)]);
  response.clearCookie(cookieName(request), cookieOptions(request));
}

/** Whether the form has our token and, if the browser states its origin, comes from one of our pages. */
export function isOwnForm(request: Request, session: Session): boolean {
  const given = (request.body as Record<string, unknown> | undefined)?.['formToken'];
  return !isForeign(request) && typeof given === 'string' && sameText(given, session.formToken);
}

/** Whether the browser reports that another site made this request. */
export function isForeign(request: Request): boolean {
  const from = request.header('sec-fetch-site');
  return from !== undefined && from !== 'same-origin' && from !== 'none';
}

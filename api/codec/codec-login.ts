import { randomBytes } from 'node:crypto';
import type { RequestHandler } from 'express';

/** A working day; after it the operator enters the key again. */
const SESSION_MS = 8 * 3_600_000;
/** Few operators read histories. Above this number the oldest session is dropped. */
const MAX_SESSIONS = 100;
const COOKIE = 'deposit_codec';

export interface Sessions {
  /** Stores the key, in this process only, and returns the id of its session. */
  open(key: string): string;
  /**
   * Treats a request with a session cookie as one with the key itself. The key is verified at every request, so it may
   * be revoked.
   */
  readonly restore: RequestHandler;
}

export function createSessions(now: () => number = () => Date.now()): Sessions {
  const sessions = new Map<string, { readonly key: string; readonly until: number }>();
  return {
    open(key) {
      const id = randomBytes(32).toString('base64url');
      if (sessions.size >= MAX_SESSIONS) sessions.delete([...sessions.keys()][0]!);
      sessions.set(id, { key, until: now() + SESSION_MS });
      return id;
    },
    restore: (request, _response, next) => {
      const id = new RegExp(`(?:^|;\\s*)${COOKIE}=([A-Za-z0-9_-]{43})(?:;|$)`).exec(request.headers.cookie ?? '')?.[1];
      const session = id === undefined ? undefined : sessions.get(id);
      if (session !== undefined && session.until > now() && request.headers.authorization === undefined) {
        request.headers.authorization = `Bearer ${session.key}`;
      }
      next();
    },
  };
}

/** Strict, so only pages of the same site send it; no script can read it. */
export const sessionCookie = (id: string, secure: boolean): string =>
  `${COOKIE}=${id}; Path=/; HttpOnly; SameSite=Strict; Max-Age=${SESSION_MS / 1_000}${secure ? '; Secure' : ''}`;

export const LOGIN_PAGE = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>Codec server</title>
<h1>Codec server</h1>
<p>Give an API key with the scope <code>audit:read</code>. The Temporal Web UI in this browser can then show payloads,
for eight hours.</p>
<form method="post" action="/session">
<label>API key <input name="key" type="password" autocomplete="off" required></label>
<button>Continue</button>
</form>
</html>
`;

/** `origin` is an origin by its form, so nothing in it needs escaping. */
export const welcomePage = (origin: string): string => `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>Codec server</title>
<h1>Ready</h1>
<p>Go on to <a href="${origin}">the Temporal Web UI</a>.</p>
</html>
`;

import {
  type ErrorRequestHandler,
  type Request,
  type RequestHandler,
  type Response,
  Router,
  urlencoded,
} from 'express';
import type pg from 'pg';
import { advertisementPages } from './pages/advertisements.ts';
import { deliveryPages } from './pages/deliveries.ts';
import { eventPages } from './pages/events.ts';
import { faultPages } from './pages/faults.ts';
import { loginLimit } from './login/login-limit.ts';
import { orderPages } from './pages/orders.ts';
import { overview } from './pages/overview.ts';
import { show, showLogin } from './page.ts';
import { asked, ConsoleProblem, type ConsoleParts, posted } from './requests.ts';
import { isPassword } from './login/password.ts';
import { beginSession, endSession, findSession, isForeign, isOwnForm, type Session } from './login/sessions.ts';
import { accountPages, feePages, settingPages } from './pages/settings.ts';
import { statementPages } from './pages/statements.ts';
import { tokenPages } from './pages/tokens.ts';
import type { DeliveryLoop } from '../callbacks/delivery-loop.ts';
import { html } from '../html.ts';
import { unstorableIn } from '../plain-text.ts';
import type { SettingsBook } from '../settings.ts';

/** Returns the console path to open after the login; for anything else, the first page. */
const aheadOf = (text: string): string => (/^\/console(?:[/?][\w/.?=&%+-]*)?$/.test(text) ? text : '/console');

/** The password page and its form; all other pages need the session that it creates. */
function loginRoutes({ pool, limit }: ConsoleParts): Router {
  const router = Router();
  router.get('/login', (request, response) => showLogin(response, aheadOf(asked(request, 'ahead')), null, 200));
  router.post('/login', async (request, response) => {
    const ahead = aheadOf(posted(request, 'ahead'));
    const address = request.ip ?? '';
    if (isForeign(request)) showLogin(response, ahead, 'Please log in here.', 403);
    else if (!limit.admit(address)) {
      showLogin(response, ahead, 'Too many wrong passwords. Try again in a quarter of an hour.', 429);
    } else if (await isPassword(pool, posted(request, 'password'))) {
      limit.forgive(address);
      await beginSession(pool, request, response);
      response.redirect(303, ahead);
    } else showLogin(response, ahead, 'The password is wrong.', 403);
  });
  return router;
}

/** Passes only requests with a session; passes a form only if it is our own. */
function guard({ pool }: ConsoleParts): RequestHandler {
  return async (request, response, next) => {
    const session = await findSession(pool, request);
    if (session === null) {
      const ahead = request.method === 'GET' ? request.originalUrl : '/console';
      response.redirect(303, `/console/login?ahead=${encodeURIComponent(aheadOf(ahead))}`);
      return;
    }
    response.locals['session'] = session;
    if (request.method !== 'GET' && request.method !== 'HEAD' && !isOwnForm(request, session)) {
      throw new ConsoleProblem(403, 'This form did not come from this console. Open the page again and repeat it.');
    }
    next();
  };
}

/** Shows a request that cannot be done on a page; the browser's back button leads back. */
const problems: ErrorRequestHandler = (error: Error, request: Request, response: Response, next): void => {
  if (!(error instanceof ConsoleProblem) || response.headersSent || response.locals['session'] === undefined) {
    next(error);
    return;
  }
  const path = request.originalUrl.split(/[/?]/).slice(0, 3).join('/');
  show(request, response, {
    title: 'Not done',
    problem: error.message,
    status: error.httpStatus,
    body: html`<p><a href="${path}">Back</a></p>`,
  });
};

/**
 * `/console`: the merchant's console. Pages without scripts, behind one password. No other site can make the browser
 * send the session cookie, and every form has a token as well.
 */
export function consoleRoutes(pool: pg.Pool, book: SettingsBook, loop: DeliveryLoop): Router {
  const parts: ConsoleParts = { pool, book, loop, limit: loginLimit() };
  const router = Router();
  router.get('/', (_request, response) => response.redirect(303, '/console'));

  const pages = Router();
  pages.use((_request, response, next) => {
    response.set('cache-control', 'no-store');
    next();
  });
  pages.use(urlencoded({ extended: false, limit: '256kb', parameterLimit: 100 }));
  pages.use(loginRoutes(parts), guard(parts), (request, _response, next) => {
    if (unstorableIn(request.body) !== null)
      throw new ConsoleProblem(400, 'A text must not hold NUL or half a character.');
    next();
  });
  pages.post('/logout', async (request, response) => {
    await endSession(pool, response.locals['session'] as Session, request, response);
    response.redirect(303, '/console/login');
  });
  pages.get('/', (request, response) => overview(parts, request, response));
  pages.use('/orders', orderPages(parts));
  pages.use('/deliveries', deliveryPages(parts));
  pages.use('/advertisements', advertisementPages(parts));
  pages.use('/fees', feePages(parts));
  pages.use('/tokens', tokenPages(parts));
  pages.use('/account', accountPages(parts));
  pages.use('/faults', faultPages(parts));
  pages.use('/settings', settingPages(parts));
  pages.use('/statement', statementPages(parts));
  pages.use('/events', eventPages(parts));
  pages.use(() => {
    throw new ConsoleProblem(404, 'There is no such page.');
  });
  pages.use(problems);
  router.use('/console', pages);
  return router;
}

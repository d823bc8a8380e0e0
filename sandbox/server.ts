import express, { type Express, type Request, type Response } from 'express';
import helmet from 'helmet';
import type pg from 'pg';
import { type Logger, pino } from 'pino';
import { serverCertificate } from './certificate.ts';
import { checkoutRoutes } from './checkout/checkout.ts';
import { CHECKOUT_SCRIPT } from './checkout/script.ts';
import type { SandboxConfig } from './config.ts';
import { consoleRoutes } from './console/console.ts';
import { settlePassword } from './console/login/password.ts';
import { controlRoutes } from './control/control.ts';
import { openPool } from './database.ts';
import { type DeliveryLoop, startDeliveryLoop } from './callbacks/delivery-loop.ts';
import { record } from './event-log.ts';
import { otherErrors, placementErrors } from './http-errors.ts';
import { firstKeyPair } from './keys.ts';
import { openListener } from './listener.ts';
import { migrate } from './migrate.ts';
import { openApiDocument } from './control/openapi.ts';
import { placementBody, placementHandler } from './placement/placement.ts';
import { isStorableAddress } from './plain-text.ts';
import { openSettings, type SettingsBook } from './settings.ts';
import { STYLE_SHEET } from './style.ts';

/** The path of placements. The documents name none; this one is ours. */
export const PLACEMENT_PATH = '/api/buy-coin/transaction';

/** A running sandbox. */
export interface Sandbox {
  /** The origin, without a trailing slash. */
  readonly url: string;
  /** The file of the authority that clients trust; null: no TLS. */
  readonly caFile: string | null;
  readonly accessKey: string;
  readonly secretKey: string;
  /** The key pair was generated at this start and is not shown yet. */
  readonly keyPairIsGenerated: boolean;
  readonly controlToken: string;
  /** The console's password, generated at this start and not shown yet; null if there was one before. */
  readonly newConsolePassword: string | null;
  /** Takes no more requests, finishes the running callbacks, closes the database pool. */
  close(): Promise<void>;
}

const POLICY = {
  'default-src': ["'none'"],
  'style-src': ["'self'"],
  'form-action': ["'self'"],
  'base-uri': ["'none'"],
  'frame-ancestors': ["'none'"],
};

const strictHeaders = helmet({
  contentSecurityPolicy: { useDefaults: false, directives: POLICY },
  frameguard: { action: 'deny' },
  // With HSTS, a browser would use HTTPS for everything else on this host name, which is often localhost.
  strictTransportSecurity: false,
});

/** Of the pages with a script, which is a file and asks this server only. */
const scriptedPolicy = helmet.contentSecurityPolicy({
  useDefaults: false,
  directives: { ...POLICY, 'script-src': ["'self'"], 'connect-src': ["'self'"] },
});

interface Parts {
  readonly config: SandboxConfig;
  readonly pool: pg.Pool;
  readonly logger: Logger;
  readonly book: SettingsBook;
  readonly loop: DeliveryLoop;
  readonly publicUrl: () => string;
  /** Requests whose work still runs, even if their connection is gone. */
  readonly underWay: Set<Promise<void>>;
}

function application(parts: Parts): Express {
  const { config, pool, logger, book, loop, publicUrl, underWay } = parts;
  const settings = (): ReturnType<SettingsBook['current']> => book.current();
  const place = placementHandler({ pool, logger, settings, loop, mtcDecimals: config.mtcDecimals, publicUrl });
  const app = express();
  app.disable('x-powered-by').disable('etag').set('query parser', 'simple');
  app.post(
    PLACEMENT_PATH,
    placementBody,
    async (request: Request, response: Response) => {
      const placing = place(request, response).finally(() => underWay.delete(placing));
      underWay.add(placing);
      await placing;
    },
    placementErrors(logger),
  );
  app.use(strictHeaders);
  app.use((request, response, next) => {
    if (isStorableAddress(request.path)) next();
    else response.status(404).json({ error: 'no such path' });
  });
  app.get('/healthz', async (_request, response) => {
    await pool.query('SELECT 1');
    response.json({ status: 'ok' });
  });
  app.get('/openapi.json', (_request, response) => {
    const facts = { url: publicUrl(), placementPath: PLACEMENT_PATH, mtcDecimals: config.mtcDecimals };
    response.json(openApiDocument(facts));
  });
  app.get('/style.css', (_request, response) => {
    response.type('css').send(STYLE_SHEET);
  });
  app.get('/checkout.js', (_request, response) => {
    response.type('js').send(CHECKOUT_SCRIPT);
  });
  app.use('/pay', scriptedPolicy, checkoutRoutes({ pool, settings, loop, shopUrl: config.shopUrl }));
  app.use('/control', controlRoutes({ pool, book, loop, token: config.controlToken }));
  app.use(consoleRoutes(pool, book, loop));
  app.use((_request, response) => {
    response.status(404).json({ error: 'no such path' });
  });
  app.use(otherErrors(logger));
  return app;
}

/** The host names by which a client may call this sandbox. */
function hostsOf({ listen, publicUrl }: SandboxConfig): string[] {
  const named = publicUrl === null ? [] : [new URL(publicUrl).hostname.replace(/^\[|\]$/g, '')];
  const bound = ['0.0.0.0', '::'].includes(listen.host) ? [] : [listen.host];
  return [...new Set(['localhost', '127.0.0.1', '::1', ...bound, ...named])];
}

/**
 * Starts a sandbox in this process: migrates, ensures a key pair, listens, and resumes work that is due. Rejects if the
 * database cannot be reached, the address is taken, or the configured keys contradict the stored ones.
 */
export async function startSandbox(
  config: SandboxConfig,
  logger: Logger = pino({ name: 'sandbox', level: config.logLevel }),
): Promise<Sandbox> {
  const pool = openPool(config.databaseUrl, config.connections, logger);
  try {
    await migrate(pool);
    const keys = await firstKeyPair(pool, config.keyPair);
    const book = await openSettings(pool, config.settings);
    const newConsolePassword = await settlePassword(pool, config.consolePassword);
    return { ...(await run(config, logger, pool, book, keys)), newConsolePassword };
  } catch (error) {
    await pool.end();
    throw error;
  }
}

async function run(
  config: SandboxConfig,
  logger: Logger,
  pool: pg.Pool,
  book: SettingsBook,
  keys: Awaited<ReturnType<typeof firstKeyPair>>,
): Promise<Omit<Sandbox, 'newConsolePassword'>> {
  const certificate =
    config.tlsDirectory === null ? null : await serverCertificate(config.tlsDirectory, hostsOf(config));
  const underWay = new Set<Promise<void>>();
  const loop = startDeliveryLoop({
    pool,
    logger,
    settings: () => book.current(),
    concurrency: config.callbackConcurrency,
    timeZone: config.timeZone,
  });
  let url = '';
  const publicUrl = (): string => config.publicUrl ?? url;
  const app = application({ config, pool, logger, book, loop, publicUrl, underWay });
  let listener;
  try {
    listener = await openListener({
      listen: config.listen,
      certificate,
      plainHttp: config.plainHttp,
      handle: app,
    });
    url = listener.url;
    await record(pool, 'sandbox.started', null);
  } catch (error) {
    await loop.stop();
    throw error;
  }
  const close = async (): Promise<void> => {
    await listener.close(CLOSING_MS);
    await Promise.allSettled(underWay);
    await loop.stop();
    await record(pool, 'sandbox.stopped', null);
    await pool.end();
    logger.info('sandbox stopped');
  };
  let closing: Promise<void> | undefined;
  return {
    url,
    caFile: certificate?.caFile ?? null,
    accessKey: keys.accessKey,
    secretKey: keys.secretKey,
    keyPairIsGenerated: keys.isGenerated,
    controlToken: config.controlToken,
    close: () => (closing ??= close()),
  };
}

/** How long running requests may take to end when the sandbox stops. */
const CLOSING_MS = 1_000;

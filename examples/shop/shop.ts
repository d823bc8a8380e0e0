import { randomBytes } from 'node:crypto';
import { EventEmitter, once } from 'node:events';
import express, { type NextFunction, type Request, type Response } from 'express';
// In a project of your own: from 'deposit-engine-client'.
import { createDepositClient, DepositEngineError, type EngineEvent, webhooks } from '../../client/src/client.ts';
import { messagePage, orderPage, SHOP_SCRIPT, SHOP_STYLE, shopPage } from './pages.ts';

/**
 * A shop that sells MTC. It orders at the deposit engine, shows the checkout, and is told by signed notifications what
 * became of the order (docs/start/integrate.md).
 */

const { API_URL = '', API_KEY = '', SHOP_URL = 'http://127.0.0.1:3000' } = process.env;
const { host, hostname, origin, port } = new URL(SHOP_URL);
const engine = createDepositClient({ baseUrl: API_URL, apiKey: API_KEY });

/** The newest event of each order. A real shop keeps it in its database, in one transaction with the effect of the event. */
const newest = new Map<string, EngineEvent>();
const ticks = new EventEmitter().setMaxListeners(0);

/** Notifications come at least once, and an older one may come after a newer one: `sequence` decides. */
function keep(event: EngineEvent): void {
  const order = 'externalOrderNumber' in event.data ? event.data.externalOrderNumber : null;
  if (order === null) return;
  const held = newest.get(order);
  const rank = held === undefined ? 1 : event.epoch - held.epoch || event.data.sequence - held.data.sequence;
  if (rank <= 0) return;
  newest.set(order, event);
  ticks.emit(`order ${order}`);
}

/** The secret is shown once, so the endpoint of an earlier start is replaced. */
async function makeEndpoint(): Promise<string> {
  const url = `${origin}/notifications`;
  for (const known of await engine.endpoints.list()) if (known.url === url) await engine.endpoints.delete(known.id);
  return (await engine.endpoints.create({ url })).secret ?? '';
}
const secret = makeEndpoint();

const shop = express().disable('x-powered-by');
shop.use((request, response, next) => {
  response.set({
    'content-security-policy':
      "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; form-action 'self'; " +
      "base-uri 'none'; frame-ancestors 'none'",
    'x-content-type-options': 'nosniff',
    'referrer-policy': 'same-origin',
    'cache-control': 'no-store',
  });
  // A page of another site orders nothing here, under whatever name it reaches this machine.
  if (request.headers.host === host && (request.headers.origin ?? origin) === origin) return next();
  response.status(403).send(messagePage('This request came from another site.'));
});

/** `verify` needs the bytes as they came, so no JSON reader comes before it. */
shop.post('/notifications', express.raw({ type: () => true, limit: '64kb' }), async (request, response) => {
  try {
    keep(webhooks.verify((request.body as Buffer | undefined) ?? '', request.headers, await secret));
    response.sendStatus(204);
  } catch (error) {
    if (!(error instanceof webhooks.WebhookError)) throw error;
    response.status(400).json({ fault: error.fault });
  }
});

shop.get('/', (_request, response) => {
  response.send(shopPage(`shop-${randomBytes(6).toString('hex')}`));
});

/** The number was made with the form: a form that is sent twice is one order. */
shop.post('/orders', express.urlencoded({ extended: false }), async (request, response) => {
  const { order } = (request.body ?? {}) as { readonly order?: unknown };
  if (typeof order !== 'string' || !/^shop-[0-9a-f]{12}$/.test(order))
    return void response.status(400).send(messagePage('This is no order of ours.'));
  await engine.deposits.create({
    externalOrderNumber: order,
    wallet: 'wallet-shop',
    buyCoinMode: 'MtcAmount',
    mtcAmount: '250',
    currencyCode: 'CNY',
    supportLanguage: 'en',
    payerRealName: 'Sample Payer',
  });
  response.redirect(303, `/orders/${order}`);
});

shop.get('/orders/:order', async ({ params: { order } }, response) => {
  const deposit = await engine.deposits.read(order);
  // A shop that lost what it was told catches up.
  if (!newest.has(order)) for await (const event of engine.events.list({ deposit: order })) keep(event);
  response.send(orderPage(deposit, newest.get(order) ?? null));
});

shop.get('/orders/:order/ticks', ({ params: { order } }, response) => {
  const tell = () => response.write(`data: ${newest.get(order)?.data.sequence ?? 0}\n\n`);
  response.type('text/event-stream').on('close', () => ticks.off(`order ${order}`, tell));
  ticks.on(`order ${order}`, tell);
  tell();
});

shop.get('/shop.css', (_request, response) => response.type('css').send(SHOP_STYLE));
shop.get('/shop.js', (_request, response) => response.type('js').send(SHOP_SCRIPT));
shop.use((_request, response) => response.status(404).send(messagePage('There is no such page.')));

shop.use((error: { status?: number }, _request: Request, response: Response, _next: NextFunction) => {
  const code = error instanceof DepositEngineError ? error.code : null;
  const isMissing = code === 'not_found' || code === 'invalid_request';
  const status = isMissing ? 404 : code === null ? (error.status ?? 500) : 502;
  if (status >= 500) console.error(error);
  const said = isMissing ? 'There is no such order.' : `This did not work${code === null ? '' : `: ${code}`}.`;
  response.status(status).send(messagePage(said));
});

const server = shop.listen(Number(port), hostname);
await once(server, 'listening');
await secret;
console.log(`The shop is open: ${origin}`);

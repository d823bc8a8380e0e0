import { json, type Request, type Response, Router } from 'express';
import type pg from 'pg';
import { z } from 'zod';
import { requireBearer } from './access.ts';
import { advertisementRoutes } from './control-advertisements.ts';
import { ControlError } from './control-error.ts';
import { keyRoutes } from './control-keys.ts';
import { retryNow } from '../callbacks/deliveries.ts';
import type { DeliveryLoop } from '../callbacks/delivery-loop.ts';
import { readEvents } from '../event-log.ts';
import { addFault, FAULT_CATALOGUE, FAULT_KINDS, faultKind, listFaults, removeFaults } from '../faults/faults.ts';
import { cancelOrder, markPaid, type Order, ordersByNumber } from '../orders/orders.ts';
import { viewOrders } from '../orders/order-view.ts';
import { charactersIn, unstorableIn } from '../plain-text.ts';
import { releaseOrder } from '../callbacks/release.ts';
import { armScenario, scenarioNamed, SCENARIOS } from '../faults/scenarios.ts';
import { type SettingsBook, settingsPatchSchema } from '../settings.ts';
import { statementCsv, statementDay, statementOf } from '../orders/statement.ts';

export interface ControlParts {
  readonly pool: pg.Pool;
  readonly book: SettingsBook;
  readonly loop: DeliveryLoop;
  readonly token: string;
}

const orderNumber = z
  .string()
  .min(1)
  .refine((text) => charactersIn(text) <= 128, 'must have at most 128 characters');
const faultBody = z.strictObject({
  scope: orderNumber.default('global'),
  kind: z.string(),
  params: z.record(z.string(), z.unknown()).default({}),
  remaining: z.int().min(1).nullable().default(1),
});
const scenarioBody = z.strictObject({ name: z.string(), scope: orderNumber.default('global') });
const payBody = z.strictObject({
  immediately: z.boolean().default(false),
  again: z.boolean().default(false),
  nth: z.int().min(1).optional(),
});
const logQuery = z.object({
  after: z.coerce.number().int().min(0).default(0),
  limit: z.coerce.number().int().min(1).max(10_000).default(1_000),
});
const identifier = z.coerce.number().int().min(1).max(2_147_483_647);
const statementQuery = z.object({ day: statementDay, format: z.enum(['json', 'csv']).default('json') });

const numberOf = (request: Request): string => String(request.params['externalOrderNumber']);

/** `/control`: actions for tests and scripts that no merchant has. All is JSON and needs the control token. */
export function controlRoutes(parts: ControlParts): Router {
  const { pool, book, loop, token } = parts;
  const router = Router();
  router.use(requireBearer(token), json({ limit: '1mb' }), (request, _response, next) => {
    const where = unstorableIn(request.body);
    if (where !== null) throw new ControlError(400, `${where} must not hold NUL or half a character`);
    next();
  });
  router.use(faultRoutes(pool));
  router.use(orderRoutes(parts));
  router.use(bookRoutes(parts));
  router.use('/keys', keyRoutes(pool));
  router.use(
    '/advertisements',
    advertisementRoutes(pool, () => book.current()),
  );
  router.post('/deliveries/:id/retry', async (request, response) => {
    const id = identifier.parse(request.params['id']);
    if (!(await retryNow(pool, id))) throw new ControlError(409, `delivery ${id} does not exist or is being sent`);
    loop.wake();
    response.status(202).json({ id });
  });
  return router;
}

/** Faults, and the scenarios that arm several of them. */
function faultRoutes(pool: pg.Pool): Router {
  const router = Router();
  router.get('/faults', async (_request, response) => {
    response.json({ faults: await listFaults(pool), kinds: FAULT_KINDS, catalogue: FAULT_CATALOGUE });
  });
  router.post('/faults', async (request, response) => {
    const asked = faultBody.parse(request.body);
    const kind = faultKind(asked.kind);
    if (kind === undefined) throw new ControlError(400, `kind must be one of ${FAULT_KINDS.join(', ')}`);
    response.status(201).json(await addFault(pool, { ...asked, params: kind.parse(asked.params) }));
  });
  router.delete('/faults', async (_request, response) => {
    response.json({ removed: await removeFaults(pool, null) });
  });
  router.delete('/faults/:id', async (request, response) => {
    response.json({ removed: await removeFaults(pool, identifier.parse(request.params['id'])) });
  });
  router.get('/scenarios', (_request, response) => {
    response.json({ scenarios: SCENARIOS });
  });
  router.post('/scenarios', async (request, response) => {
    const { name, scope } = scenarioBody.parse(request.body);
    const scenario = scenarioNamed(name);
    if (scenario === undefined) {
      throw new ControlError(400, `name must be one of ${SCENARIOS.map((each) => each.name).join(', ')}`);
    }
    response.status(201).json({ ...scenario, armed: await armScenario(pool, scenario, scope) });
  });
  return router;
}

/** The orders of a number, and the actions of payer and merchant on them. */
function orderRoutes(parts: ControlParts): Router {
  const { pool, loop } = parts;
  const router = Router();
  const found = async (request: Request): Promise<readonly Order[]> => {
    const orders = await ordersByNumber(pool, numberOf(request));
    if (orders.length === 0) throw new ControlError(404, `no order was made for ${numberOf(request)}`);
    return orders;
  };
  const showOrders = async (request: Request, response: Response): Promise<void> => {
    const externalOrderNumber = numberOf(request);
    response.json({
      externalOrderNumber,
      orders: await viewOrders(pool, await ordersByNumber(pool, externalOrderNumber)),
    });
  };

  router.get('/orders/:externalOrderNumber', async (request, response) => {
    await found(request);
    await showOrders(request, response);
  });
  router.post('/orders/:externalOrderNumber/pay', async (request, response) => {
    const asked = payBody.parse(request.body ?? {});
    const candidates = (await found(request)).filter((order) => asked.nth === undefined || order.nth === asked.nth);
    const paid = asked.again ? await payAgain(pool, candidates) : await payFirst(parts, candidates, asked.immediately);
    if (!paid) throw new ControlError(409, 'no order of this number can be paid any more');
    loop.wake();
    await showOrders(request, response);
  });
  router.post('/orders/:externalOrderNumber/cancel', async (request, response) => {
    for (const order of await found(request)) {
      if (!(await cancelOrder(pool, order.id))) continue;
      await showOrders(request, response);
      return;
    }
    throw new ControlError(409, 'no order of this number can be cancelled any more');
  });
  return router;
}

/** Settings, the log of events, and the statement of a day. */
function bookRoutes({ pool, book, loop }: ControlParts): Router {
  const router = Router();
  router.get('/settings', (_request, response) => {
    response.json(book.current());
  });
  router.put('/settings', async (request, response) => {
    const changed = await book.change(settingsPatchSchema.parse(request.body));
    loop.wake();
    response.json(changed);
  });
  router.get('/log', async (request, response) => {
    const { after, limit } = logQuery.parse(request.query);
    const events = await readEvents(pool, after, limit);
    response.json({ events, last: events.at(-1)?.id ?? after });
  });
  router.get('/statement', async (request, response) => {
    const { day, format } = statementQuery.parse(request.query);
    const lines = await statementOf(pool, day);
    if (format === 'json') response.json({ day, lines });
    else response.attachment(`statement-${day}.csv`).type('text/csv').send(statementCsv(lines));
  });
  return router;
}

/** Pays the first of these orders that can be paid, even an expired one: late payments happen. */
async function payFirst({ pool, book }: ControlParts, orders: readonly Order[], release: boolean): Promise<boolean> {
  for (const order of orders) {
    if (!(await markPaid(pool, order.id, book.current()))) continue;
    if (release) await releaseOrder(pool, order.id);
    return true;
  }
  return false;
}

/** Pays a released order a second time: one order, two transactions. */
async function payAgain(pool: pg.Pool, orders: readonly Order[]): Promise<boolean> {
  for (const order of orders) {
    if ((await releaseOrder(pool, order.id, { again: true })) !== null) return true;
  }
  return false;
}

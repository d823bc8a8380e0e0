import type { Express } from 'express';
import { z } from 'zod';
import { listDeposits, viewDeposit } from '../database/deposits.ts';
import { IDENTIFIER } from '../domain/order.ts';
import { readWallet } from '../ledger/read.ts';
import { requireScope } from './authenticate.ts';
import { createDeposit, type CreateDependencies } from './create-deposit.ts';
import { showDeposit, type WebUi } from './deposit-view.ts';
import { answerErrors, ApiError } from './errors.ts';
import { bytesOf, createApp, onlyMethods, readBytes, requireJson } from './http.ts';
import { addReviews } from './reviews.ts';
import { check, createBody, encodeCursor, listQuery, readBody } from './schemas.ts';

export interface InternalDependencies extends CreateDependencies {
  readonly webUi: WebUi;
  /** False once the process is stopping: the load balancer then sends no more. */
  readonly isAccepting: () => boolean;
  readonly isTemporalUp: () => Promise<boolean>;
}

const order = z.object({ externalOrderNumber: z.string().regex(IDENTIFIER, 'expected 1 to 64 of A-Z a-z 0-9 _ -') });
const wallet = z.object({ wallet: z.string().regex(IDENTIFIER, 'expected 1 to 64 of A-Z a-z 0-9 _ -') });

/** The private listener: what merchants' backends call, and health (lifecycle.md, Internal API). */
export function createInternalApp(deps: InternalDependencies): Express {
  const app = createApp();
  const mayCreate = requireScope(deps.pool, 'deposits:create');
  const mayRead = requireScope(deps.pool, 'deposits:read');

  app
    .route('/v1/deposits')
    .post(mayCreate, requireJson, readBytes, async (request, response) => {
      const created = await createDeposit(deps, readBody(createBody, bytesOf(request)));
      response.status(created.status).location(`/v1/deposits/${created.deposit.externalOrderNumber}`);
      response.json(showDeposit(created.deposit, deps.webUi));
    })
    .get(mayRead, async (request, response) => {
      const { cursor, ...filter } = check(listQuery, request.query);
      const { items, end } = await listDeposits(deps.pool, { ...filter, after: cursor });
      response.json({
        items: items.map((deposit) => showDeposit(deposit, deps.webUi)),
        nextCursor: end === null ? null : encodeCursor(end),
      });
    })
    .all(onlyMethods('GET', 'POST'));

  app
    .route('/v1/deposits/:externalOrderNumber')
    .get(mayRead, async (request, response) => {
      const { externalOrderNumber } = check(order, request.params);
      const deposit = await viewDeposit(deps.pool, externalOrderNumber);
      if (deposit === null) throw new ApiError('not_found', `no deposit ${externalOrderNumber}`);
      response.json(showDeposit(deposit, deps.webUi));
    })
    .all(onlyMethods('GET'));

  app
    .route('/v1/wallets/:wallet')
    .get(mayRead, async (request, response) => {
      response.json(await readWallet(deps.pool, check(wallet, request.params).wallet));
    })
    .all(onlyMethods('GET'));

  addReviews(app, deps);

  app.get('/healthz', (_request, response) => {
    response.json({ status: 'alive' });
  });
  app.get('/readyz', async (_request, response) => {
    const [database, temporal] = await Promise.all([isUp(() => deps.pool.query('select 1')), deps.isTemporalUp()]);
    // Temporal is reported and not required: callbacks are accepted, and creates answered 503, without it.
    const ready = deps.isAccepting() && database;
    response.status(ready ? 200 : 503).json({ ready, database: upOrDown(database), temporal: upOrDown(temporal) });
  });

  app.use(() => {
    throw new ApiError('not_found', 'no such path');
  });
  app.use(answerErrors(deps.log));
  return app;
}

const upOrDown = (up: boolean) => (up ? 'up' : 'down');

async function isUp(ask: () => Promise<unknown>): Promise<boolean> {
  try {
    await ask();
    return true;
  } catch {
    return false;
  }
}

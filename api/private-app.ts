import type { Express } from 'express';
import { raiseAlarm } from '../telemetry/alarms.ts';
import { findLongestWithoutEffect } from '../database/queries/due-rows.ts';
import { type DepositView, findVersions, listDeposits, viewDeposit } from '../database/queries/deposits.ts';
import { checkoutLink, type LinkRules } from '../providers/checkout-link.ts';
import type { SealTrust } from '../providers/sealed-rows.ts';
import { readWallet } from '../ledger/read.ts';
import { type Access } from './http/authenticate.ts';
import { isFinal } from '../domain/deposit.ts';
import { mayUse } from '../database/queries/api-keys.ts';
import { type CreateResult, createDeposit, type CreateDependencies } from '../intake/create-deposit.ts';
import { showDeposit, type WebUi } from './routes/deposit-view.ts';
import { bindDocs } from './docs/docs.ts';
import { answerErrors } from './http/errors.ts';
import type { CallbackReceiver } from '../intake/receive-callback.ts';
import { RequestRefused } from '../intake/refusal.ts';
import { showMisled } from './callback-app.ts';
import type { DepositWaiter } from './routes/deposit-waiter.ts';
import { bindEndpoints, type EndpointRouteDependencies } from './routes/endpoints.ts';
import { bindEvents } from './routes/events.ts';
import { bindEvidence } from './routes/evidence.ts';
import { createApp, missingVersion, noSuchPath } from './http/http.ts';
import { bind, type Bound, serve } from './http/operation-route.ts';
import {
  createDepositOperation,
  healthOperation,
  listDepositsOperation,
  readDepositOperation,
  readinessOperation,
  readWalletOperation,
} from '../contract/deposits.ts';
import type { SignatureTrust } from '../config/keys/operator-keys.ts';
import { bindReviews } from './routes/reviews.ts';
import { WITHOUT_EFFECT_MS } from '../intake/relay/relay.ts';
import { encodeCursor } from '../contract/requests.ts';

export interface InternalDependencies extends CreateDependencies, EndpointRouteDependencies {
  readonly access: Access;
  /** Where long polls wait. */
  readonly changes: DepositWaiter;
  readonly webUi: WebUi;
  /** Allowed hosts of served checkout links. */
  readonly links: LinkRules;
  /** Verifies the seals of inbox rows. */
  readonly sealTrust: () => SealTrust;
  /** Verifies operators' steps. */
  readonly signatures: SignatureTrust;
  /** The directory of archived histories; undefined: they are in the database. */
  readonly archiveDirectory: string | undefined;
  /** False once the process is stopping: the load balancer then sends no more requests. */
  readonly isAccepting: () => boolean;
  /** Whether the database accepts changes. */
  readonly isDatabaseUp: () => Promise<boolean>;
  readonly isTemporalUp: () => Promise<boolean>;
  /** Examines requests that no route matches. */
  readonly refused: CallbackReceiver['refused'];
}

/** The private listener: the API of merchants' backends and operators, health, and the document of it all. */
export function createInternalApp(deps: InternalDependencies): Express {
  const app = createApp();
  const bound = [
    ...bindDeposits(deps),
    ...bindReviews(deps),
    bindEvents(deps),
    bindEvidence(deps),
    ...bindEndpoints(deps),
    ...bindHealth(deps),
  ];
  const operations = bound.map((one) => one.operation);
  serve(app, deps, [...bound, ...bindDocs(operations)]);
  app.use(showMisled(deps.refused), missingVersion(operations.map((one) => one.path)), noSuchPath);
  app.use(answerErrors(deps.log, { isExplained: true }));
  return app;
}

/** An attacker may have written the row: a link to another host is not served, and raises an alarm. */
function show(deps: InternalDependencies, deposit: DepositView) {
  const { redirectUrl, externalOrderNumber } = deposit;
  const isServed = redirectUrl !== null && checkoutLink(redirectUrl, deps.links) === redirectUrl;
  if (redirectUrl !== null && !isServed) raiseAlarm(deps.log, 'redirect_not_allowed', { deposit: externalOrderNumber });
  return showDeposit({ ...deposit, redirectUrl: isServed ? redirectUrl : null }, deps.webUi);
}

const STATUS_OF = { made: 201, repeated: 200, waits: 202 } as const satisfies Record<CreateResult['kind'], number>;

function bindDeposits(deps: InternalDependencies): Bound[] {
  return [
    bind(createDepositOperation, async ({ body, caller }, respond) => {
      if (!mayUse(caller, body.wallet)) throw new RequestRefused('forbidden', 'this key is limited to other wallets');
      const created = await createDeposit(deps, body);
      const location = `/v1/deposits/${created.deposit.externalOrderNumber}`;
      return respond(STATUS_OF[created.kind], show(deps, created.deposit), { location });
    }),
    bind(listDepositsOperation, async ({ query: { cursor, ...filter }, caller }, respond) => {
      const { items, end } = await listDeposits(deps.pool, { ...filter, after: cursor, wallets: caller.wallets });
      return respond(200, {
        items: items.map((deposit) => show(deps, deposit)),
        nextCursor: end === null ? null : encodeCursor(end),
      });
    }),
    bind(readDepositOperation, async ({ params: { externalOrderNumber: n }, query, caller, gone }, respond) => {
      const read = async () => {
        const deposit = await viewDeposit(deps.pool, n);
        if (deposit === null || !mayUse(caller, deposit.wallet))
          throw new RequestRefused('not_found', `no deposit ${n}`);
        return deposit;
      };
      const { wait, state } = query;
      // Before the deposit is read: what changes in between ends the wait.
      const known = wait === undefined ? undefined : (await findVersions(deps.pool, [n])).get(n);
      const deposit = await read();
      const isNews = isFinal(deposit.state) || (state !== undefined && state !== deposit.state);
      if (wait === undefined || known === undefined || isNews) return respond(200, show(deps, deposit));
      await deps.changes.wait(n, known, { keyId: caller.keyId, withinMs: wait * 1_000, until: gone() });
      return respond(200, show(deps, await read()));
    }),
    bind(readWalletOperation, async ({ params: { wallet }, caller }, respond) => {
      if (!mayUse(caller, wallet)) throw new RequestRefused('not_found', `no wallet ${wallet}`);
      return respond(200, await readWallet(deps.pool, wallet));
    }),
  ];
}

function bindHealth(deps: InternalDependencies): Bound[] {
  return [
    bind(healthOperation, (_call, respond) => respond(200, { status: 'alive' })),
    bind(readinessOperation, async (_call, respond) => {
      const [database, temporal] = await Promise.all([deps.isDatabaseUp(), deps.isTemporalUp()]);
      // Temporal is reported but not required: without it callbacks are accepted, and creates get 503.
      const ready = deps.isAccepting() && database;
      // A stalled worker does not affect readiness: requests to another instance would not help.
      const withoutEffectMs = database
        ? await findLongestWithoutEffect(deps.pool, WITHOUT_EFFECT_MS).catch(() => null)
        : null;
      return respond(ready ? 200 : 503, {
        ready,
        database: upOrDown(database),
        temporal: upOrDown(temporal),
        withoutEffectMs,
      });
    }),
  ];
}

const upOrDown = (up: boolean): 'up' | 'down' => (up ? 'up' : 'down');

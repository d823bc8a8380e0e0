import { DBOS } from '@dbos-inc/dbos-sdk';
import { credit, inTransaction, keep, openWallet, place, pool, reserve, serve } from './ground.mjs';

/** The engine's happy path on DBOS: a durable workflow with a step for each effect and a message for the callback. */

const PAYMENT_WINDOW_S = 30 * 60;

const deposit = DBOS.registerWorkflow(
  async (order) => {
    const redirectUrl = await DBOS.runStep(
      async () => {
        await openWallet(pool, order.wallet);
        return (await reserve(order)) ?? (await place(order));
      },
      { name: 'place' },
    );
    await DBOS.setEvent('redirectUrl', redirectUrl);
    const payment = await DBOS.recv('callback', { timeoutSeconds: PAYMENT_WINDOW_S });
    if (payment === null) return 'EXPIRED';
    await DBOS.runStep(() => inTransaction((client) => credit(client, payment)), { name: 'credit' });
    return 'CREDITED';
  },
  { name: 'deposit' },
);

const idOf = (n) => `deposit:${n}`;

DBOS.setConfig({
  name: 'rival',
  systemDatabaseUrl: process.env.DATABASE_URL,
  systemDatabasePoolSize: 20,
  logLevel: 'error',
  runAdminServer: false,
});
await DBOS.launch();
serve('dbos', {
  async create(order) {
    await DBOS.startWorkflow(deposit, { workflowID: idOf(order.externalOrderNumber) })(order);
    return DBOS.getEvent(idOf(order.externalOrderNumber), 'redirectUrl', { timeoutSeconds: 10 });
  },
  async callback(data, raw) {
    await keep(pool, data, raw);
    await DBOS.send(idOf(data.externalOrderNumber), data, 'callback', `paid:${data.externalOrderNumber}`);
  },
  ended: (n) => DBOS.retrieveWorkflow(idOf(n)).getResult(),
});

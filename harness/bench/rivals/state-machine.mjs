import { credit, inTransaction, keep, openWallet, place, pool, reserve, serve } from './ground.mjs';

/** The engine's happy path written by hand: two requests, a row with a state, one transaction that credits. */

serve('state machine', {
  async create(order) {
    await openWallet(pool, order.wallet);
    return (await reserve(order)) ?? (await place(order));
  },
  callback: (data, raw) =>
    inTransaction(async (client) => {
      await keep(client, data, raw);
      await credit(client, data);
    }),
  ended: async () => undefined,
});

import { expect } from 'vitest';
import type { CallbackData, Order } from '../../../domain/order.ts';
import { arrives, operator, placed } from '../../api/decisions.ts';
import { paid } from '../../support/builders.ts';
import { type EngineOptions, startEngine } from '../../support/engine.ts';
import { callbackAddress, callbackBody } from '../../support/messages/callbacks.ts';

/** An engine with two operators who decide about the money of its deposits; stopped when the file is done. */
export async function startDeciding(options: EngineOptions = {}) {
  const engine = await startEngine(options);
  const [alice, bob] = [await operator(engine, 'alice'), await operator(engine, 'bob')];

  let wallets = 0;
  const newWallet = () => `wallet-credits-${(wallets += 1)}`;
  const deposit = (order: Order) => engine.deposit(order.externalOrderNumber);

  /** Authentic, and stamped so far ahead that no machine may bind it. */
  async function arrivesAhead(order: Order): Promise<CallbackData> {
    const data = paid(order);
    const body = callbackBody(engine, data, Date.now() + 10 * 60_000);
    expect((await engine.callback(callbackAddress(engine, order.externalOrderNumber), body)).status).toBe(200);
    return data;
  }

  async function credited() {
    const order = await placed(engine, { wallet: newWallet() });
    const data = await arrives(engine, order);
    await engine.untilState(order.externalOrderNumber, 'CREDITED');
    return { order, data };
  }

  return { engine, alice, bob, newWallet, deposit, arrivesAhead, credited };
}

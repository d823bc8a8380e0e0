import { setTimeout as sleep } from 'node:timers/promises';
import { Client, Connection } from '@temporalio/client';
import { depositWorkflowId } from '../../../domain/ids.ts';
import type { BenchEngine } from '../ground/engine.ts';
import { orderOfBench } from './callbacks.ts';
import { closedLoop } from './loops.ts';
import { must, post } from './post.ts';

/** The actions of callers and the provider on the engine, from outside. */
export interface DepositLoad {
  /** Resolves when the checkout link has arrived. */
  create(n: string, apiUrl?: string): Promise<void>;
  /** Resolves when the payment is acknowledged. */
  pay(n: string, callbackUrl?: string): Promise<void>;
  /** Resolves when the deposit's workflow has ended, as for the floors. */
  ended(n: string): Promise<void>;
  /** Runs all three. */
  readonly whole: (n: string) => Promise<void>;
  /** Opens this many deposits quickly; resolves to their numbers. */
  open(count: number, lanes?: number): Promise<string[]>;
  /** Resolves when each is credited; rejects if one was credited twice, or is not credited in time. */
  credited(numbers: readonly string[]): Promise<void>;
  /** Returns numbers that no deposit has. */
  fresh(count: number): string[];
  close(): Promise<void>;
}

/** Each repeat waits for some seconds. */
const MOST_REPEATS = 8;
const CREDITED_WITHIN_MS = 240_000;
const LOOK_EVERY_MS = 100;
const CREDITS = `select count(*) filter (where n = 1)::int as once, count(*) filter (where n > 1)::int as more
  from (select count(*) as n from ledger.transaction where deposit = any($1) group by deposit) t`;

let made = 0;

export async function loadOn(engine: BenchEngine, temporalAddress: string): Promise<DepositLoad> {
  const connection = await Connection.connect({ address: temporalAddress });
  const client = new Client({ connection, namespace: engine.database });
  const key = { authorization: `Bearer ${engine.apiKey}` };
  const load: DepositLoad = {
    async create(n, apiUrl = engine.apiUrl) {
      const ask = () => must(post(`${apiUrl}/v1/deposits`, JSON.stringify(orderOfBench(n)), key), 200, 201, 202);
      // 202: not placed yet, so the caller retries.
      let answer = await ask();
      for (let repeat = 0; answer.status === 202 && repeat < MOST_REPEATS; repeat += 1) answer = await ask();
      if (!answer.text.includes('"redirectUrl":"')) throw new Error(`no checkout link: ${answer.text.slice(0, 300)}`);
    },
    async pay(n, callbackUrl) {
      const { url, body } = engine.callbackOf(n);
      const { origin } = new URL(url);
      await must(post(callbackUrl === undefined ? url : url.replace(origin, callbackUrl), body), 200);
    },
    ended: async (n) => void (await client.workflow.getHandle(depositWorkflowId(n)).result()),
    async whole(n) {
      await load.create(n);
      await load.pay(n);
      await load.ended(n);
    },
    async open(count, lanes = 16) {
      const numbers = load.fresh(count);
      await closedLoop(numbers, lanes, (n) => load.create(n));
      return numbers;
    },
    async credited(numbers) {
      for (const untilMs = performance.now() + CREDITED_WITHIN_MS; ; await sleep(LOOK_EVERY_MS)) {
        const { once, more } = await engine.admin(async (database) => {
          const { rows } = await database.query<{ once: number; more: number }>(CREDITS, [numbers]);
          return rows[0]!;
        });
        if (more > 0) throw new Error(`${more} deposits were credited more than once`);
        if (once === numbers.length) return;
        if (performance.now() > untilMs) throw new Error(`${numbers.length - once} deposits are not credited`);
      }
    },
    fresh: (count) => Array.from({ length: count }, () => `bench-${(made += 1)}`),
    close: () => connection.close(),
  };
  return load;
}

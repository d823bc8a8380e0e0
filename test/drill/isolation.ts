import { readFileSync } from 'node:fs';
import { Agent, request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { openStage, type Stage } from './stage.ts';

/**
 * `node --import tsx test/drill/isolation.ts`: measures how each kind of trouble on the public listener affects all
 * other requests.
 * - Reads and other orders' callbacks while one deposit row is locked.
 * - Private health and reads under refused callbacks.
 * - A burst of copies and second codes.
 * Stops by itself after about a minute.
 */

const REFUSERS = 64;
const LOCKED = 80;
const BURST = { orders: 40, copies: 24 };
const SECONDS = 10;

export interface Heard {
  readonly status: number;
  readonly ms: number;
}

const agent = new Agent({ keepAlive: true, maxSockets: 1_000 });

/** Status 0: the connection failed. */
export function ask(
  url: string,
  {
    method = 'GET',
    headers = {},
    body = '',
  }: { method?: string; headers?: Record<string, string>; body?: string } = {},
  using: Agent = agent,
): Promise<Heard> {
  const since = performance.now();
  return new Promise((resolve) => {
    const done = (status: number) => resolve({ status, ms: performance.now() - since });
    const sent = request(url, { method, headers, agent: using, timeout: 30_000 }, (response) => {
      response.resume();
      response.once('end', () => done(response.statusCode!));
      response.once('error', () => done(0));
    });
    sent.once('error', () => done(0));
    sent.once('timeout', () => sent.destroy());
    sent.end(body);
  });
}

export const quantile = (all: readonly number[], q: number): string => {
  const sorted = all.toSorted((a, b) => a - b);
  return `${(sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))] ?? 0).toFixed(0)} ms`;
};

export function told(heard: readonly Heard[]): string {
  const counts = new Map<number, number>();
  for (const { status } of heard) counts.set(status, (counts.get(status) ?? 0) + 1);
  const statuses = [...counts].map(([status, n]) => `${n} × ${status === 0 ? 'connection lost' : status}`).join(', ');
  const ms = heard.map((one) => one.ms);
  return `${statuses}; p50 ${quantile(ms, 0.5)}, p99 ${quantile(ms, 0.99)}, max ${quantile(ms, 1)}`;
}

/** Repeats one call after the other while `going` returns true. */
async function repeatedly(going: () => boolean, once: () => Promise<Heard>, pauseMs = 20): Promise<Heard[]> {
  const heard: Heard[] = [];
  while (going()) {
    heard.push(await once());
    await sleep(pauseMs);
  }
  return heard;
}

const json = { 'content-type': 'application/json' };
const post = (message: { url: string; body: string }) =>
  ask(message.url, { method: 'POST', headers: json, body: message.body });

/** Deposits that wait for payment, written directly: their workflows are not needed here. */
export async function seed(stage: Stage, orders: readonly string[]): Promise<void> {
  await stage.admin(async (client) => {
    await client.query(
      `insert into engine.deposit (external_order_number, wallet, buy_coin_mode, mtc_amount, currency_code, support_language,
                                   payer_name, payer_name_key, fingerprint, settings)
       select n, 'wallet-1', 'MtcAmount', 5000, 'CNY', 'en', null, null, '\\x00', $2 from unnest($1::text[]) n`,
      [
        orders,
        {
          rateBands: { CNY: { from: '6.5', to: '8' }, HKD: { from: '7', to: '8.6' }, TWD: { from: '28', to: '36' } },
          feeBand: '0',
          latePolicy: 'credit',
          paymentWindowMs: 1_800_000,
          listeningWindowMs: 262_800_000,
          reviewLimit: '0',
        },
      ],
    );
  });
}

async function main(): Promise<void> {
  const stage = await openStage({ programs: ['api'] });
  try {
    await measure(stage);
  } finally {
    agent.destroy();
    await stage.stop();
  }
}

async function measure(stage: Stage): Promise<void> {
  const orders = Array.from({ length: BURST.orders + 2 }, (_, i) => `iso-${i}`);
  await seed(stage, orders);
  const auth = { authorization: `Bearer ${stage.apiKey}` };
  const health = () => ask(`${stage.apiUrl}/healthz`);
  const read = () => ask(`${stage.apiUrl}/v1/deposits/iso-1`, { headers: auth });
  let nth = 0;
  const other = () => post(stage.callbackOf(orders[2 + ((nth += 1) % BURST.orders)]!));
  await other();
  await read();

  let end = performance.now() + 3_000;
  const alone = () => performance.now() < end;
  const [a, b, c] = await Promise.all([repeatedly(alone, health), repeatedly(alone, read), repeatedly(alone, other)]);
  console.log(`alone\n  health     ${told(a)}\n  read       ${told(b)}\n  callbacks  ${told(c)}`);

  await stage.admin(async (client) => {
    await client.query('begin');
    await client.query(`select from engine.deposit where external_order_number = 'iso-0' for update`);
    let locked = true;
    const held = Promise.all(
      Array.from({ length: LOCKED }, (_, i) => post(stage.callbackOf('iso-0', { transactionCode: `L${i}` }))),
    ).finally(() => (locked = false));
    const going = () => locked;
    const [reads, others, hot] = await Promise.all([repeatedly(going, read), repeatedly(going, other), held]);
    await client.query('rollback');
    console.log(
      `${LOCKED} callbacks of one locked deposit\n  its own    ${told(hot)}\n  read       ${told(reads)}\n  others'    ${told(others)}`,
    );
  });

  const refused = stage.callbackOf('iso-1');
  const forged = { url: refused.url, body: refused.body.replace(/"signature":"..../, '"signature":"0000') };
  end = performance.now() + SECONDS * 1_000;
  const cpuBefore = cpuMs(stage.pieces.api.pid());
  const going = () => performance.now() < end;
  const [healths, reads, refusals, others] = await Promise.all([
    repeatedly(going, health),
    repeatedly(going, read),
    Promise.all(Array.from({ length: REFUSERS }, () => repeatedly(going, () => post(forged), 0))).then((all) =>
      all.flat(),
    ),
    repeatedly(going, other),
  ]);
  const used = cpuMs(stage.pieces.api.pid()) - cpuBefore;
  console.log(
    `${REFUSERS} connections of refused callbacks, ${(refusals.length / SECONDS).toFixed(0)} a second, the API on the processor ${(used / SECONDS / 10).toFixed(0)} % of the time\n  health     ${told(healths)}\n  read       ${told(reads)}\n  genuine    ${told(others)}\n  refused    ${told(refusals)}`,
  );

  const burst = await Promise.all(
    orders
      .slice(2)
      .flatMap((n) =>
        Array.from({ length: BURST.copies }, (_, i) =>
          post(stage.callbackOf(n, i < 20 ? {} : { transactionCode: `${n}-second-${i}` })),
        ),
      ),
  );
  console.log(`${burst.length} callbacks of ${BURST.orders} orders at once\n  they       ${told(burst)}`);
}

/** Linux: the processor time of the process so far. */
export function cpuMs(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]!.split(' ');
  return (Number(fields[11]) + Number(fields[12])) * 10;
}

if (process.argv[1]?.endsWith('isolation.ts') === true) await main();

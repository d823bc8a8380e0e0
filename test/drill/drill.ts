import { Agent, request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import { withClient } from '../../database/pool.ts';
import { inLanes } from '../../telemetry/lanes.ts';
import { until } from '../support/until.ts';
import { LASTS_MS, type Round } from './rounds.ts';
import type { Stage } from './stage.ts';

export interface Load {
  readonly callbacks: number;
  readonly creates: number;
}

export interface Outcome {
  /** How often each status came; `lost`: the connection failed. */
  readonly creates: Readonly<Record<string, number>>;
  readonly callbacks: Readonly<Record<string, number>>;
  readonly credited: number;
  /** Created and never known to the provider: 202 or 422 NOT_SENT, with nothing to pay. */
  readonly unknown: number;
  readonly seconds: number;
  /** Empty: the round passed. */
  readonly faults: readonly string[];
}

interface Heard {
  readonly status: number;
  readonly retryAfter: string | undefined;
  // oxlint-disable-next-line typescript/no-explicit-any -- whatever came
  readonly body: any;
}

const SETTLED_WITHIN_MS = 180_000;
const AT_ONCE = 8;
const SPREAD_MS = 3_000;
/** This share of the creates does not wait for the fault. */
const BEFORE = 0.8;
const agent = new Agent({ keepAlive: false, maxSockets: 300 });

/** Status 0: the connection failed. */
export const call = (url: string, method: string, key: string, body?: unknown): Promise<Heard> =>
  new Promise((resolve) => {
    const lost = () => resolve({ status: 0, retryAfter: undefined, body: null });
    const sent = request(
      url,
      {
        method,
        agent,
        timeout: 60_000,
        headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
      },
      (response) => {
        let text = '';
        response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
        response.once('error', lost);
        response.once('end', () => {
          let parsed: unknown = null;
          try {
            parsed = JSON.parse(text);
          } catch {
            // Not JSON.
          }
          resolve({ status: response.statusCode!, retryAfter: response.headers['retry-after'], body: parsed });
        });
      },
    );
    sent.once('error', lost);
    sent.once('timeout', () => sent.destroy());
    sent.end(body === undefined ? undefined : JSON.stringify(body));
  });

export const order = (externalOrderNumber: string) => ({
  externalOrderNumber,
  wallet: 'wallet-drill',
  buyCoinMode: 'MtcAmount',
  mtcAmount: '5000',
  currencyCode: 'CNY',
  supportLanguage: 'en',
  payerRealName: 'Test Person',
});

let runs = 0;

/** One round: deposits are paid and others created during the fault, then everything is settled and counted. */
export async function drill(stage: Stage, round: Round, load: Load): Promise<Outcome> {
  const since = performance.now();
  runs += 1;
  const faults = new Set<string>();
  const counts: Record<string, number> = {};
  const prefix = `${round.name.replace(/\W/g, '-')}-${runs}`;
  const waiting: string[] = [];
  const fresh = Array.from({ length: load.creates }, (_, i) => `${prefix}-c${i}`);
  const after = await newestAttempt(stage);

  const create = (n: string) => call(`${stage.apiUrl}/v1/deposits`, 'POST', stage.apiKey, order(n));
  const pay = (n: string) => {
    let last: Heard | null = null;
    return until(
      `${n} to be paid`,
      async () => {
        last = await call(`${stage.sandboxUrl}/control/orders/${n}/pay`, 'POST', stage.controlToken, {
          immediately: true,
        });
        // 409: paid already, and the response to the first try was lost.
        return last.status === 409 || (last.status >= 200 && last.status < 300);
      },
      SETTLED_WITHIN_MS,
      () => `; the sandbox said ${JSON.stringify(last)}`,
    );
  };
  let made = 0;
  // Leftovers of the round before may cost a placement its response: such an order is not paid here.
  await inLanes(Array.from({ length: load.callbacks }), AT_ONCE, () =>
    until(
      'orders to be placed',
      async () => {
        const n = `${prefix}-p${(made += 1)}`;
        const { body } = await create(n);
        return body?.redirectUrl && waiting.push(n);
      },
      SETTLED_WITHIN_MS,
    ).then(() => undefined),
  );

  // Spread over the fault, so that each moment of it meets some.
  const paying = inLanes(waiting, AT_ONCE, async (n) => {
    await sleep((SPREAD_MS * AT_ONCE) / load.callbacks);
    await pay(n);
  });
  let begun = () => undefined as void;
  const isDone = new Promise<void>((resolve) => (begun = resolve));
  const creating = inLanes(fresh, load.creates, async (n) => {
    const i = fresh.indexOf(n);
    // Some meet the fault in any case: on a busy machine it may begin after the others have been spread.
    await (i < load.creates * BEFORE ? sleep((SPREAD_MS * i) / load.creates) : isDone);
    await until(
      `${n} to be created`,
      async () => {
        const { status, retryAfter, body } = await create(n);
        counts[status === 0 ? 'lost' : status] = (counts[status === 0 ? 'lost' : status] ?? 0) + 1;
        if (status === 503 && !/^\d+$/.test(retryAfter ?? '')) faults.add('a 503 without Retry-After');
        if (status === 0 && !round.mayLoseConnections) faults.add('a create lost its connection');
        if (status >= 200 && status < 300) return true;
        // The database or the provider was away for longer than a placement waits: nothing was sent, and that is
        // final.
        if (status === 422 && body?.code === 'NOT_SENT') return true;
        if (status !== 0 && status !== 503) faults.add(`a create was answered ${status} ${String(body?.code)}`);
        await sleep(200);
        return status >= 400 && status < 500;
      },
      SETTLED_WITHIN_MS,
    );
  });
  const alive = Object.entries(stage.pieces).map(([name, piece]) => ({ name, pid: piece.pid() }));
  await sleep(150);
  const undo = await round.hit(stage).finally(begun);
  if (round.unready) {
    await until(
      '/readyz to say no',
      async () => (await call(`${stage.apiUrl}/readyz`, 'GET', stage.apiKey)).status === 503,
      15_000,
    ).catch((error: Error) => faults.add(error.message));
  }
  await sleep(LASTS_MS);
  await undo();
  await Promise.all([paying, creating]);
  await until(
    '/readyz to say yes',
    async () => (await call(`${stage.apiUrl}/readyz`, 'GET', stage.apiKey)).status === 200,
  );

  // Every order that the provider knows is paid, and then credited.
  const known: string[] = [];
  await inLanes(fresh, AT_ONCE, async (n) => {
    const settled = await until(
      `${n} to be placed or unknown`,
      async () => {
        const { status, body } = await call(`${stage.apiUrl}/v1/deposits/${n}`, 'GET', stage.apiKey);
        return status === 200 && body.state !== 'PLACING' && body;
      },
      SETTLED_WITHIN_MS,
    );
    const isKnown = await until(
      `the sandbox to say whether it has ${n}`,
      async () => {
        const { status } = await call(`${stage.sandboxUrl}/control/orders/${n}`, 'GET', stage.controlToken);
        return (status === 200 || status === 404) && { yes: status === 200 };
      },
      SETTLED_WITHIN_MS,
    );
    if (!isKnown.yes) {
      const isNone = settled.state === 'PLACEMENT_UNKNOWN' || settled.state === 'PLACEMENT_REFUSED';
      if (!isNone) faults.add(`${n} is ${settled.state} and unknown to the provider`);
      return;
    }
    known.push(n);
    await pay(n);
  });
  const paid = [...waiting, ...known];
  await until(
    'everything to be credited',
    async () => (await creditsOf(stage, paid)).length >= paid.length,
    SETTLED_WITHIN_MS,
  ).catch((error: Error) => faults.add(error.message));
  const credits = await creditsOf(stage, paid);
  const credited = new Set(credits.map(({ deposit }) => deposit));
  for (const n of paid.filter((one) => !credited.has(one)).slice(0, 5)) {
    const { body } = await call(`${stage.apiUrl}/v1/deposits/${n}`, 'GET', stage.apiKey);
    const rows = await stage.admin((client) =>
      client.query(
        `select c.id, c.receipt, c.acked, c.outcome, c.received_at, c.raised_at, c.vouched_by is not null as vouched,
                d.bound_callback, d.state from engine.callback c join engine.deposit d on d.external_order_number = c.external_order_number
          where c.external_order_number = $1`,
        [n],
      ),
    );
    faults.add(
      `${n} is ${body?.state}; ${JSON.stringify({ attempts: body?.attempts, review: body?.review, rows: rows.rows })}`,
    );
    const deliveries = await inSandbox(stage, (client) =>
      client.query(
        `select d.id, d.state, d.next_retry, d.next_attempt_at, d.lease_until, o.state as of_order, o.paid_at, o.released_at,
                (select jsonb_agg(to_jsonb(a) - 'body' - 'stamp') from sandbox.attempt a where a.delivery_id = d.id) as attempts
           from sandbox.buy_order o left join sandbox.delivery d on d.order_id = o.id where o.external_order_number = $1`,
        [n],
      ),
    );
    faults.add(`${n} at the provider: ${JSON.stringify(deliveries.rows)}`);
    faults.add(`${n} in Temporal: ${await stage.historyOf(`deposit:${n}`)}`);
    for (const program of ['api', 'worker', 'sandbox'] as const)
      for (const line of stage.logOf(program).split('\n')) if (line.includes(n)) faults.add(`${program} said ${line}`);
  }
  for (const { deposit, n } of credits) if (n !== 1) faults.add(`${deposit} was credited ${n} times`);
  for (const { name, pid } of alive) {
    const piece = stage.pieces[name as keyof Stage['pieces']];
    if (!piece.isAlive()) faults.add(`${name} is dead`);
    else if (name !== round.ends && piece.pid() !== pid) faults.add(`${name} was started again`);
  }
  const audit = await stage.admin((client) =>
    client.query<{ fault: string }>('select fault from ledger.audit() where found <> 0'),
  );
  for (const { fault } of audit.rows) faults.add(`the ledger's audit: ${fault}`);

  const callbacks = await attemptsAfter(stage, after);
  for (const status of Object.keys(callbacks)) {
    if (!['200', '503', 'unrecorded'].includes(status) && !(status === 'lost' && round.mayLoseConnections))
      faults.add(`a callback was answered ${status}`);
  }
  return {
    creates: counts,
    callbacks,
    credited: credits.length,
    unknown: load.creates - known.length,
    seconds: (performance.now() - since) / 1_000,
    faults: [...faults],
  };
}

export async function creditsOf(stage: Stage, orders: readonly string[]): Promise<{ deposit: string; n: number }[]> {
  const { rows } = await stage.admin((client) =>
    client.query<{ deposit: string; n: number }>(
      `select deposit, count(*)::int as n from ledger.transaction where deposit = any($1) group by deposit`,
      [orders],
    ),
  );
  return rows;
}

async function inSandbox<T>(stage: Stage, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const url = new URL(stage.db.url);
  url.pathname = '/sandbox';
  return withClient({ connectionString: url.href }, work);
}

export const newestAttempt = (stage: Stage): Promise<string> =>
  inSandbox(stage, async (client) => {
    const { rows } = await client.query<{ at: string }>(`select clock_timestamp()::text as at`);
    return rows[0]!.at;
  });

/**
 * The provider's delivery attempts since then. `lost`: no response came. `unrecorded`: the sandbox lost its own
 * database before it had stored the response, and sent the callback again.
 */
export const attemptsAfter = (stage: Stage, after: string): Promise<Record<string, number>> =>
  inSandbox(stage, async (client) => {
    const { rows } = await client.query<{ status: string; n: number }>(
      `select coalesce(http_status::text, case outcome when 'UNKNOWN' then 'unrecorded' else 'lost' end) as status, count(*)::int as n from sandbox.attempt
        where started_at >= $1::timestamptz and outcome <> 'SENDING' group by 1 order by 1`,
      [after],
    );
    return Object.fromEntries(rows.map(({ status, n }) => [status, n]));
  });

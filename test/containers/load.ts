import { setTimeout as sleep } from 'node:timers/promises';
import { docker, type Project, run, text } from './docker.ts';
import { until } from '../support/until.ts';

/** A merchant's backend, through the proxies: creates, retries after a 5xx, pays at the sandbox, reads. */

export interface Shop {
  readonly api: string;
  readonly sandbox: string;
  readonly controlToken: string;
  readonly key: string;
}

export interface Placed {
  readonly externalOrderNumber: string;
  /** The responses before the last, such as `503` or `ECONNRESET`: each was retried. */
  readonly repeated: readonly string[];
  readonly status: number;
  readonly state: string;
}

const AMOUNT = 100;

/** Creates `count` deposits, `perSecond`, each retried until the response is final. */
export async function createDeposits(shop: Shop, prefix: string, count: number, perSecond: number): Promise<Placed[]> {
  const all: Promise<Placed>[] = [];
  for (let n = 1; n <= count; n += 1) {
    all.push(create(shop, `${prefix}-${n}`));
    await sleep(1_000 / perSecond);
  }
  return Promise.all(all);
}

async function create(shop: Shop, externalOrderNumber: string): Promise<Placed> {
  const repeated: string[] = [];
  for (const end = performance.now() + 120_000; ; await sleep(500)) {
    const { status, state } = await ask(shop, '/v1/deposits', {
      externalOrderNumber,
      wallet: `wallet-${externalOrderNumber.split('-')[0]}`,
      buyCoinMode: 'MtcAmount',
      mtcAmount: String(AMOUNT),
      currencyCode: 'CNY',
      supportLanguage: 'en',
      payerRealName: 'Test Person',
    });
    if (typeof status === 'number' && status < 500) return { externalOrderNumber, repeated, status, state };
    repeated.push(String(status));
    if (performance.now() > end) throw new Error(`${externalOrderNumber} was never answered: ${repeated.join(' ')}`);
  }
}

async function ask(
  shop: Shop,
  path: string,
  body?: object,
): Promise<{ readonly status: number | string; readonly state: string }> {
  try {
    const answer = await fetch(shop.api + path, {
      headers: { authorization: `Bearer ${shop.key}`, 'content-type': 'application/json' },
      ...(body === undefined ? {} : { method: 'POST', body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(70_000),
    });
    const json = (await answer.json()) as { state?: string; code?: string };
    return { status: answer.status, state: json.state ?? json.code ?? '' };
  } catch (error) {
    const { cause, name } = error as Error;
    return { status: (cause as { code?: string } | undefined)?.code ?? name, state: '' };
  }
}

/** The customer pays; false where the provider does not know the order. When repeated, it has been paid already. */
export async function pay(shop: Shop, externalOrderNumber: string): Promise<boolean> {
  const path = `${shop.sandbox}/control/orders/${externalOrderNumber}/pay`;
  const answer = await until(`the sandbox to answer for ${externalOrderNumber}`, async () => {
    const got = await fetch(path, {
      method: 'POST',
      headers: { authorization: `Bearer ${shop.controlToken}`, 'content-type': 'application/json' },
      body: '{"immediately":true}',
      signal: AbortSignal.timeout(20_000),
    }).catch(() => null);
    return got !== null && got.status < 500 && got;
  });
  if (answer.status === 404) return false;
  if (answer.status === 200 || answer.status === 409) return true;
  throw new Error(`paying ${externalOrderNumber}: ${answer.status} ${await answer.text()}`);
}

/** Polls the deposits until the state of each satisfies `is`, or `withinMs` is over; returns their last states. */
export async function statesOf(
  shop: Shop,
  numbers: readonly string[],
  is: (state: string) => boolean,
  withinMs: number,
): Promise<Map<string, string>> {
  const states = new Map(numbers.map((number) => [number, '']));
  for (const end = performance.now() + withinMs; performance.now() < end; await sleep(1_000)) {
    const open = numbers.filter((number) => !is(states.get(number)!));
    if (open.length === 0) break;
    for (const number of open) {
      const { status, state } = await ask(shop, `/v1/deposits/${number}`);
      if (status === 200) states.set(number, state);
    }
  }
  return states;
}

export interface Kill {
  readonly service: string;
  readonly at: Date;
}

/**
 * Kills every container of the project once, as a crash does: its first process is killed from outside, and the engine
 * starts it again.
 */
export async function killEach(project: Project, node: string, everyMs: number): Promise<Kill[]> {
  const names = (await project.composed(['ps', '--format', '{{.Service}} {{.ID}}'])).split('\n');
  const kills: Kill[] = [];
  for (const [service, id] of names.map((line) => line.split(' ') as [string, string])) {
    await crash(id, node);
    kills.push({ service, at: new Date() });
    await sleep(everyMs);
  }
  return kills;
}

async function crash(id: string, node: string): Promise<void> {
  const pid = await docker('inspect', '-f', '{{.State.Pid}}', id);
  if ((await run('kill', ['-9', pid])).status === 0) return;
  await text('docker', [
    'run',
    '--rm',
    '--privileged',
    '--pid=host',
    node,
    'node',
    '-e',
    `process.kill(${pid}, 'SIGKILL')`,
  ]);
}

/** Resolves when every container runs, and is healthy where it has a health check. */
export const allUp = (project: Project): Promise<true> =>
  until(
    'every container to work',
    async () => {
      const states = (await project.composed(['ps', '--format', '{{.Service}}|{{.State}}|{{.Health}}'])).split('\n');
      return states.every((line) => /\|running\|(healthy)?$/.test(line)) && (true as const);
    },
    240_000,
  );

/** Samples the number of PostgreSQL's connections, by login, until it is stopped; returns the maximum of each. */
export function watchConnections(project: Project): { stop(): Promise<Record<string, number>> } {
  const most: Record<string, number> = {};
  const stopped = new AbortController();
  const watching = (async () => {
    while (!stopped.signal.aborted) {
      const { stdout } = await project.compose([
        'exec',
        '-T',
        'postgres',
        'psql',
        '-U',
        'postgres',
        '-XAt',
        '-c',
        `select usename, count(*) from pg_stat_activity where backend_type = 'client backend' and usename <> 'postgres' group by 1`,
      ]);
      const rows = stdout.split('\n').flatMap((line) => /^(\w+)\|(\d+)$/.exec(line)?.slice(1, 3) ?? []);
      let all = 0;
      for (let i = 0; i < rows.length; i += 2) {
        most[rows[i]!] = Math.max(most[rows[i]!] ?? 0, Number(rows[i + 1]));
        all += Number(rows[i + 1]);
      }
      most['all'] = Math.max(most['all'] ?? 0, all);
      await sleep(500);
    }
  })();
  return {
    async stop() {
      stopped.abort();
      await watching;
      return most;
    },
  };
}

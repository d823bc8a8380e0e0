import { fork } from 'node:child_process';
import { once } from 'node:events';
import { Agent } from 'node:http';
import { loadavg } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { readArgumentsOr, wholeOr } from '../../config/command-line.ts';
import { freePort } from '../../local/servers/ports.ts';
import { ask, cpuMs, type Heard, quantile, seed, told } from './isolation.ts';
import { openStage, type Piece, type Stage } from './stage.ts';
import type { Strange, Strangers } from './strangers.ts';

/**
 * `npm run flood`: floods the public listener while the provider delivers on fresh connections and merchants read.
 * - Idle and slow connections, which return as soon as they are closed.
 * - Refused callbacks at a steady rate, each on a connection of its own.
 * - `--apart`: the public listener in a process of its own, as in the compose file; otherwise in the API's, as in `npm
 *   start`.
 * Loopback only; stops by itself. Exit code 1 unless each delivery is acknowledged within its first three tries.
 */

const USAGE = `npm run flood -- [--sockets 6000] [--slow 0] [--refusals 500] [--seconds 60] [--apart] [--profile FOLDER]
  --profile  a folder for a profile of each process`;
const options = {
  sockets: { type: 'string', default: '6000' },
  slow: { type: 'string', default: '0' },
  refusals: { type: 'string', default: '500' },
  seconds: { type: 'string', default: '60' },
  apart: { type: 'boolean', default: false },
  profile: { type: 'string' },
} as const;
const { values } = readArgumentsOr(USAGE, options, { allowPositionals: false });
const whole = (name: 'sockets' | 'slow' | 'refusals' | 'seconds') => wholeOr(USAGE, name, values[name]);
const [sockets, slow, refusals, seconds] = [whole('sockets'), whole('slow'), whole('refusals'), whole('seconds')];
const TRIES = 3;
const EVERY_MS = 1_000;
/** The provider's second try comes after a minute; here after this. */
const RETRY_AFTER_MS = 1_000;

const elsewhere = `127.0.0.1:${await freePort()}`;
const stage = await openStage({
  programs: ['api'],
  env: values.apart ? { CALLBACK_LISTEN: elsewhere } : {},
  node: values.profile === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${values.profile}`],
});
try {
  const served: Piece[] = [stage.pieces.api];
  if (values.apart) {
    const callbacks = stage.another('callbacks', {
      API_LISTEN: `127.0.0.1:${await freePort()}`,
      CALLBACK_LISTEN: new URL(stage.callbackUrl).host,
    });
    await callbacks.start();
    served.push(callbacks);
  }
  await flood(stage, served);
  if (values.profile !== undefined) for (const piece of served) await piece.end('stop');
} finally {
  await stage.stop();
}
process.exit();

async function flood(on: Stage, served: readonly Piece[]): Promise<void> {
  await seed(
    on,
    Array.from({ length: seconds + 10 }, (_, i) => `flood-${i}`),
  );
  const good = on.callbackOf('flood-0');
  const { pathname, host, port } = new URL(good.url);
  const body = good.body.replace(/"signature":"..../, '"signature":"0000');
  const strangers = fork(new URL('strangers.ts', import.meta.url), { execArgv: ['--import', 'tsx'] });
  const gone = new AbortController();
  strangers.once('exit', () => gone.abort(new Error('the strangers have ended')));
  const heard = () => once(strangers, 'message', { signal: gone.signal });
  strangers.send({
    port: Number(port),
    idle: sockets,
    slow,
    refusals,
    seconds,
    request: `POST ${pathname} HTTP/1.1\r\nHost: ${host}\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
  } satisfies Strangers);
  await heard();

  const cpuBefore = served.map((piece) => cpuMs(piece.pid()));
  const begunAt = performance.now();
  const isOver = () => performance.now() > begunAt + seconds * 1_000;
  const result = heard() as Promise<[Strange]>;
  // It is awaited last.
  result.catch(() => undefined);

  const reads: Heard[] = [];
  const reading = (async () => {
    while (!isOver()) {
      reads.push(await ask(`${on.apiUrl}/v1/deposits/flood-1`, { headers: { authorization: `Bearer ${on.apiKey}` } }));
      await sleep(20);
    }
  })();

  const tries: number[] = [];
  const acknowledged: Heard[] = [];
  const delivering: Promise<void>[] = [];
  for (let n = 1; !isOver(); n += 1) {
    delivering.push(deliver(`flood-${n}`));
    await sleep(EVERY_MS);
  }
  async function deliver(order: string): Promise<void> {
    for (let nth = 1; nth <= TRIES; nth += 1) {
      const message = on.callbackOf(order);
      const heard = await ask(
        message.url,
        { method: 'POST', headers: { 'content-type': 'application/json' }, body: message.body },
        new Agent({ keepAlive: false }),
      );
      if (heard.status === 200) {
        tries.push(nth);
        acknowledged.push(heard);
        return;
      }
      await sleep(RETRY_AFTER_MS);
    }
    tries.push(0);
  }
  const took = (performance.now() - begunAt) / 1_000;
  const used = served.map((piece, i) => (cpuMs(piece.pid()) - cpuBefore[i]!) / took / 10);
  const load = loadavg()[0]!;
  await Promise.all([...delivering, reading]);
  const [{ closed, sent, notBegun, answered, ms, cpuMs: theirs }] = await result;
  const by = (nth: number) => tries.filter((one) => one === nth).length;
  const each = (n: number) => (n / seconds).toFixed(0);
  const statuses = Object.entries(answered).map(([status, n]) => `${each(n)} × ${status}`);
  console.log(
    `${sockets} idle and ${slow} slow connections, closed and back ${each(closed)} times a second; ${seconds} s, ${values.apart ? 'api and callbacks apart' : 'one process'}
  strangers  ${refusals} refusals a second offered, ${each(sent)} sent, ${each(notBegun)} not begun; answered a second: ${statuses.join(', ')}
             p50 ${quantile(ms, 0.5)}, p99 ${quantile(ms, 0.99)}, max ${quantile(ms, 1)}
  genuine    ${tries.length}: at the first try ${by(1)}, second ${by(2)}, third ${by(3)}, not at all ${by(0)}
             ${told(acknowledged)}
  private    ${told(reads)}
  processor  ${used.map((share, i) => `${i === 0 ? 'api' : 'callbacks'} ${share.toFixed(0)} %`).join(', ')}, strangers ${(theirs / seconds / 10).toFixed(0)} %; load ${load.toFixed(1)} on both cores`,
  );
  process.exitCode = by(0) === 0 ? 0 : 1;
}

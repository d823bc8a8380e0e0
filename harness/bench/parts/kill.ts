import { setTimeout as sleep } from 'node:timers/promises';
import type { LoadedEngine } from '../bench.ts';
import { alone, type Figure } from '../figures/statistics.ts';
import type { BenchProgram } from '../ground/program.ts';
import { type Part, roundsTold } from '../part.ts';

/** Deposits paid from the kill on, at this rate per second; each callback is retried until it is acknowledged. */
const PAID = 20;
const PAID_PER_SECOND = 20;
const AGAIN_MS = 100;
const LOOK_MS = 20;
const WITHIN_MS = 120_000;

/** P10: the time from kill -9, with an immediate restart as by a supervisor, to the first credit of a later payment. */
export const killPart: Part = {
  ids: ['P10'],
  seconds: { full: 420, quick: null },
  async measure(bench) {
    await bench.startAnew();
    const loaded = await bench.engine();
    const { engine } = loaded;
    const { worker, api } = engine.programs;
    const { servers } = bench;
    const seconds: Record<string, number[]> = {};
    const trials: Readonly<Record<string, () => Promise<number>>> = {
      worker: () => trial(loaded, killing(worker)),
      'worker, a second one there': async () => {
        const second = await engine.another('worker');
        // The open deposits belong to the first worker: the second starts after they are open.
        const took = await trial(loaded, { ...killing(worker), start: async () => undefined }, () => second.start());
        await worker.start();
        await second.end();
        return took;
      },
      api: () => trial(loaded, killing(api)),
      postgres: () => trial(loaded, { kill: () => servers.killPostgres(), start: () => servers.startPostgres() }),
      temporal: () => trial(loaded, { kill: () => servers.killTemporal(), start: () => servers.startTemporal() }),
    };
    for (const [name, kill] of Object.entries(trials)) {
      for (let round = 0; round <= bench.scale.rounds; round += 1) {
        roundsTold(bench, 'kill -9')(name, round);
        const took = await kill();
        if (round > 0) (seconds[name] ??= []).push(took);
      }
    }
    await bench.startAnew();
    const figures: Record<string, Figure> = Object.fromEntries(
      Object.entries(seconds).map(([name, all]) => [name, alone(all, 's')]),
    );
    return { P10: { figures, notes: ['Every payment was acknowledged in the end and credited once.'] } };
  },
};

interface Kill {
  readonly kill: () => Promise<void>;
  /** Restarts the killed part. */
  readonly start: () => Promise<void>;
}

const killing = (program: BenchProgram): Kill => ({
  kill: () => program.end('SIGKILL'),
  start: () => program.start(),
});

async function trial(
  { load, engine }: LoadedEngine,
  { kill, start }: Kill,
  before: () => Promise<void> = () => Promise.resolve(),
): Promise<number> {
  const numbers = await load.open(PAID);
  await before();
  await kill();
  const killedMs = performance.now();
  const started = start();
  const payments = numbers.map(async (n, i) => {
    await sleep((i * 1_000) / PAID_PER_SECOND);
    await untilDone(() => load.pay(n).then(() => true));
  });
  await untilDone(async () => {
    const { rowCount } = await engine.admin((client) =>
      client.query('select from ledger.transaction where deposit = any($1) limit 1', [numbers]),
    );
    return rowCount === 1;
  }, LOOK_MS);
  const took = (performance.now() - killedMs) / 1_000;
  await Promise.all([started, ...payments]);
  await load.credited(numbers);
  return took;
}

/** Retries `work` until it resolves to true, even after errors. */
async function untilDone(work: () => Promise<boolean>, everyMs = AGAIN_MS): Promise<void> {
  for (const endMs = performance.now() + WITHIN_MS; ; await sleep(everyMs)) {
    try {
      if (await work()) return;
    } catch (error) {
      if (performance.now() > endMs) throw error;
    }
    if (performance.now() > endMs) throw new Error(`not done within ${WITHIN_MS / 1_000} s`);
  }
}

import { inTurns } from '../figures/rounds.ts';
import { against } from '../figures/statistics.ts';
import { cpuWhile } from '../ground/processes.ts';
import { closedLoop } from '../load/loops.ts';
import { type Part, roundsTold } from '../part.ts';

interface TwinsSample {
  readonly cpuMs: number;
  readonly perSecond: number;
}

const WARM_DEPOSITS = 60;

/** P15: the same work by one worker and one API, and by two of each; callers alternate between the two APIs. */
export const twinsPart: Part = {
  ids: ['P15'],
  seconds: { full: 300, quick: 29 },
  async measure(bench) {
    const { engine, load } = await bench.engine();
    const { count, inFlight } = bench.scale.twins;
    const [worker, api] = [await engine.another('worker'), await engine.another('api')];
    const work = async (whole: (n: string, i: number) => Promise<void>): Promise<TwinsSample> => {
      const run = (many: number) => closedLoop([...load.fresh(many).entries()], inFlight, ([i, n]) => whole(n, i));
      // A new process compiles its code once; the deposits' figures exclude that.
      await run(WARM_DEPOSITS);
      let perSecond = 0;
      const spent = await cpuWhile(engine.pids(), async () => {
        perSecond = await run(count);
      });
      return { cpuMs: Object.values(spent).reduce((sum, ms) => sum + ms, 0) / count, perSecond };
    };
    const samples = await inTurns<'two' | 'one', TwinsSample>(
      {
        async two() {
          for (const one of [worker, api]) if (!one.isAlive()) await one.start();
          return work(async (n, i) => {
            const other = i % 2 === 1;
            await load.create(n, other ? api.apiUrl : undefined);
            await load.pay(n, other ? api.callbackUrl : undefined);
            await load.ended(n);
          });
        },
        async one() {
          for (const one of [worker, api]) await one.end();
          return work(load.whole);
        },
      },
      bench.scale.rounds,
      roundsTold(bench, 'two workers and two APIs against one and one'),
    );
    for (const one of [worker, api]) await one.end();
    const figure = (which: keyof TwinsSample, unit: string) =>
      against(
        samples.two.map((sample) => sample[which]),
        samples.one.map((sample) => sample[which]),
        unit,
      );
    const figures = {
      'CPU per deposit': figure('cpuMs', 'ms'),
      'deposits per second': figure('perSecond', 'deposits/s'),
    };
    return { P15: { figures } };
  },
};

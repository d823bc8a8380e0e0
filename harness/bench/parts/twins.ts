import { inTurns } from '../figures/rounds.ts';
import { againstBy } from '../figures/statistics.ts';
import { closedLoop, countedLoop, type Spent } from '../load/loops.ts';
import { type Part, roundsTold } from '../part.ts';

const WARM_DEPOSITS = 60;

/** P15: the same work by one worker and one API, and by two of each; callers alternate between the two APIs. */
export const twinsPart: Part = {
  ids: ['P15'],
  seconds: { full: 300, quick: 29 },
  async measure(bench) {
    const { engine, load } = await bench.engine();
    const { count, inFlight } = bench.scale.twins;
    const [worker, api] = [await engine.another('worker'), await engine.another('api')];
    const work = async (whole: (n: string, i: number) => Promise<void>): Promise<Spent> => {
      const one = ([i, n]: [number, string]) => whole(n, i);
      // A new process compiles its code once; the deposits' figures exclude that.
      await closedLoop([...load.fresh(WARM_DEPOSITS).entries()], inFlight, one);
      return countedLoop(engine.pids(), [...load.fresh(count).entries()], inFlight, one);
    };
    const samples = await inTurns<'two' | 'one', Spent>(
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
    const figures = {
      'CPU per deposit': againstBy('cpuMs', samples.two, samples.one, 'ms'),
      'deposits per second': againstBy('perSecond', samples.two, samples.one, 'deposits/s'),
    };
    return { P15: { figures } };
  },
};

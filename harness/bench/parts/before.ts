import { inTurns } from '../figures/rounds.ts';
import { against, type Figure, median, rounded } from '../figures/statistics.ts';
import type { LoadedEngine } from '../bench.ts';
import { cpuWhile } from '../ground/processes.ts';
import { closedLoop } from '../load/loops.ts';
import { countFor } from '../scale.ts';
import { type Part, roundsTold } from '../part.ts';

interface Sample {
  readonly perSecond: number;
  /** Of all processes, in ms per deposit. */
  readonly cpuMs: number;
}

/** P16: whole deposits in a closed loop, by this version and by the one that `--before` names. */
export const beforePart: Part = {
  ids: ['P16'],
  seconds: { full: 700, quick: 90 },
  needs: 'before',
  async measure(bench) {
    // Both begin alike: neither is warm, or has rows, of the parts before.
    await bench.startAnew();
    const engines = { now: await bench.engine(), before: await bench.before() };
    const { inFlight, ...counts } = bench.scale.before;
    const figures: Record<string, Figure> = {};
    const cpu: (string | number)[][] = [];
    for (const lanes of inFlight) {
      const count = countFor(counts, lanes);
      const contender =
        ({ engine, load }: LoadedEngine) =>
        async (): Promise<Sample> => {
          const numbers = load.fresh(count);
          let perSecond = 0;
          const spent = await cpuWhile(engine.pids(), async () => {
            perSecond = await closedLoop(numbers, lanes, load.whole);
          });
          // A side that credits less would be the faster one.
          await load.credited(numbers);
          return { perSecond, cpuMs: Object.values(spent).reduce((sum, ms) => sum + ms, 0) / count };
        };
      const samples = await inTurns<'now' | 'before', Sample>(
        { now: contender(engines.now), before: contender(engines.before) },
        bench.scale.rounds,
        roundsTold(bench, `deposits of both versions, ${lanes} in flight`),
      );
      const rates = (name: keyof typeof samples) => samples[name].map(({ perSecond }) => perSecond);
      figures[lanes] = against(rates('now'), rates('before'), 'deposits/s');
      const ms = (name: keyof typeof samples) => rounded(median(samples[name].map(({ cpuMs }) => cpuMs)));
      cpu.push([lanes, ms('now'), ms('before')]);
    }
    // Later parts measure beside no other version.
    await bench.startAnew();
    const title = 'CPU ms per deposit of all processes';
    const notes = [`Now is ${engines.now.commit}, before is ${engines.before.commit}.`];
    return { P16: { figures, tables: [{ title, columns: ['in flight', 'now', 'before'], rows: cpu }], notes } };
  },
};

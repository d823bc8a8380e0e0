import { inTurns } from '../figures/rounds.ts';
import { againstBy, type Figure, median, rounded } from '../figures/statistics.ts';
import type { LoadedEngine } from '../bench.ts';
import { countedLoop, type Spent } from '../load/loops.ts';
import { countFor } from '../scale.ts';
import { type Part, roundsTold } from '../part.ts';

/** P16: whole deposits in a closed loop, by this version and by the one that `--before` names. */
export const beforePart: Part = {
  ids: ['P16'],
  seconds: { full: 550, quick: 45 },
  needs: 'before',
  async measure(bench) {
    // Both begin alike: neither is warm, or has rows, of the parts before.
    await bench.startAnew();
    const engines = { now: await bench.engine(), before: await bench.before() };
    const { inFlight, ...counts } = bench.scale.flow;
    const figures: Record<string, Figure> = {};
    const rows: (string | number)[][] = [];
    for (const lanes of inFlight) {
      const contender =
        ({ engine, load }: LoadedEngine) =>
        async () => {
          const numbers = load.fresh(countFor(counts, lanes));
          const spent = await countedLoop(engine.pids(), numbers, lanes, load.whole);
          // A side that credits less would be the faster one.
          await load.credited(numbers);
          return spent;
        };
      const { now, before } = await inTurns<'now' | 'before', Spent>(
        { now: contender(engines.now), before: contender(engines.before) },
        bench.scale.rounds,
        roundsTold(bench, `deposits of both versions, ${lanes} in flight`),
      );
      figures[lanes] = againstBy('perSecond', now, before, 'deposits/s');
      rows.push([lanes, ...[now, before].map((of) => rounded(median(of.map(({ cpuMs }) => cpuMs))))]);
    }
    // Later parts measure beside no other version.
    await bench.startAnew();
    const title = 'CPU ms per deposit of all processes';
    const notes = [`Now is ${engines.now.commit}, before is ${engines.before.commit}.`];
    return { P16: { figures, tables: [{ title, columns: ['in flight', 'now', 'before'], rows }], notes } };
  },
};

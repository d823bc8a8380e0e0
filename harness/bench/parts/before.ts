import { inTurns } from '../figures/rounds.ts';
import { againstBy, type Figure, median, rounded } from '../figures/statistics.ts';
import type { LoadedEngine } from '../bench.ts';
import { countedLoop, type Spent } from '../load/loops.ts';
import { countFor } from '../scale.ts';
import { type Part, roundsTold } from '../part.ts';

/** P16: whole deposits in a closed loop, by this version and by the one that `--before` names. */
export const beforePart: Part = {
  ids: ['P16'],
  seconds: { full: 700, quick: 45 },
  needs: 'before',
  async measure(bench) {
    const engines = { now: await bench.engine(), before: await bench.before() };
    const { inFlight, ...counts } = bench.scale.flow;
    const figures: Record<string, Figure> = {};
    const rows: (string | number)[][] = [];
    for (const lanes of inFlight) {
      const contender =
        ({ engine, load }: LoadedEngine) =>
        () =>
          countedLoop(engine.pids(), load.fresh(countFor(counts, lanes)), lanes, load.whole);
      const { now, before } = await inTurns<'now' | 'before', Spent>(
        { now: contender(engines.now), before: contender(engines.before) },
        bench.scale.rounds,
        roundsTold(bench, `deposits of both versions, ${lanes} in flight`),
      );
      figures[lanes] = againstBy('perSecond', now, before, 'deposits/s');
      rows.push([lanes, ...[now, before].map((of) => rounded(median(of.map(({ cpuMs }) => cpuMs))))]);
    }
    const title = 'CPU ms per deposit of all processes';
    return { P16: { figures, tables: [{ title, columns: ['in flight', 'now', 'before'], rows }] } };
  },
};

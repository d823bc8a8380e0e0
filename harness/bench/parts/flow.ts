import { inTurns } from '../figures/rounds.ts';
import { againstBy, type Figure, median, rounded } from '../figures/statistics.ts';
import { countedLoop, type Spent } from '../load/loops.ts';
import { countFor } from '../scale.ts';
import { type Part, roundsTold } from '../part.ts';

/** P1 and P2: whole deposits in a closed loop, beside the two floors. */
export const flowPart: Part = {
  ids: ['P1', 'P2'],
  seconds: { full: 700, quick: 40 },
  async measure(bench, wanted) {
    const { engine, load } = await bench.engine();
    const floors = await bench.floors();
    const { inFlight, ...counts } = bench.scale.flow;
    const [P1, P2]: [Record<string, Figure>, Record<string, Figure>] = [{}, {}];
    const cpu: (string | number)[][] = [];
    for (const lanes of inFlight) {
      const count = countFor(counts, lanes);
      const contender =
        (pids: () => Readonly<Record<string, readonly number[]>>, one: (n: string) => Promise<void>) => () =>
          countedLoop(pids(), load.fresh(count), lanes, one);
      const samples = await inTurns<'ours' | 'empty' | 'naive', Spent>(
        {
          ours: contender(engine.pids, load.whole),
          empty: contender(floors.pids, floors.runEmpty),
          // Omitted if P2 is not wanted.
          naive: wanted.includes('P2')
            ? contender(floors.pids, floors.runNaive)
            : () => Promise.resolve({ perSecond: Number.NaN, cpuMs: Number.NaN, cpuMsOf: {} }),
        },
        bench.scale.rounds,
        roundsTold(bench, `deposits, ${lanes} in flight`),
      );
      P1[lanes] = againstBy('perSecond', samples.ours, samples.empty, 'deposits/s');
      P2[lanes] = againstBy('perSecond', samples.ours, samples.naive, 'deposits/s');
      for (const name of ['ours', 'empty', 'naive'] as const) {
        const by = (process: string) => samples[name].map(({ cpuMsOf }) => cpuMsOf[process] ?? 0);
        const processes = ['temporal', 'worker', 'api', 'postgres'].map((process) => median(by(process)));
        const all = processes.reduce((sum, ms) => sum + ms, 0);
        if (all > 0) cpu.push([lanes, name, ...processes.map(rounded), rounded(all)]);
      }
    }
    const title = 'CPU ms per deposit by process (the floors’ worker is their own)';
    const columns = ['in flight', 'flow', 'Temporal', 'worker', 'API', 'PostgreSQL', 'all'];
    return { P1: { figures: P1, tables: [{ title, columns, rows: cpu }] }, P2: { figures: P2 } };
  },
};

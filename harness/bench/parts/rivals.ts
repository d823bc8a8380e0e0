import { inTurns } from '../figures/rounds.ts';
import { against, median, rounded } from '../figures/statistics.ts';
import { cpuWhile } from '../ground/processes.ts';
import { installRivals, startRival } from '../ground/rivals.ts';
import { closedLoop } from '../load/loops.ts';
import { type Part, roundsTold } from '../part.ts';

interface RivalSample {
  readonly perSecond: number;
  readonly cpuMs: number;
}

/** P12: the same deposits by the engine, by a state machine in PostgreSQL, and by DBOS. */
export const rivalsPart: Part = {
  ids: ['P12'],
  seconds: { full: 240, quick: 30 },
  async measure(bench) {
    const { engine, load } = await bench.engine();
    bench.tell('installing the rivals');
    const at = await installRivals();
    const start = (name: 'state-machine' | 'dbos') =>
      startRival(name, at, bench.servers, engine.providerUrl, bench.undo);
    const [machine, dbos] = [await start('state-machine'), await start('dbos')];
    const { count, inFlight } = bench.scale.rivals;
    const contender =
      (pids: () => Readonly<Record<string, readonly number[]>>, whole: (n: string) => Promise<void>) =>
      async (): Promise<RivalSample> => {
        const numbers = load.fresh(count);
        let perSecond = 0;
        const spent = await cpuWhile(pids(), async () => {
          perSecond = await closedLoop(numbers, inFlight, whole);
        });
        return { perSecond, cpuMs: Object.values(spent).reduce((sum, ms) => sum + ms, 0) / count };
      };
    const contenders = {
      ours: contender(engine.pids, load.whole),
      machine: contender(machine.pids, machine.whole),
      dbos: contender(dbos.pids, dbos.whole),
    };
    const samples = await inTurns<keyof typeof contenders, RivalSample>(
      contenders,
      bench.scale.rounds,
      roundsTold(bench, 'rivals'),
    );
    for (const rival of [machine, dbos]) {
      const credited = await rival.credited();
      const expected = count * (bench.scale.rounds + 1);
      if (credited !== expected) throw new Error(`a rival credited ${credited} of ${expected}`);
      await rival.stop();
    }
    const rates = (name: keyof typeof contenders) => samples[name].map(({ perSecond }) => perSecond);
    const rows = (['ours', 'machine', 'dbos'] as const).map((name) => [
      { ours: 'ours', machine: 'state machine', dbos: 'DBOS' }[name],
      rounded(median(samples[name].map(({ cpuMs }) => cpuMs))),
    ]);
    const figures = {
      'state machine': against(rates('ours'), rates('machine'), 'deposits/s'),
      DBOS: against(rates('ours'), rates('dbos'), 'deposits/s'),
    };
    return {
      P12: { figures, tables: [{ title: 'CPU ms per deposit of all processes', columns: ['who', 'ms'], rows }] },
    };
  },
};

import { inTurns } from '../figures/rounds.ts';
import { againstBy, median, rounded } from '../figures/statistics.ts';
import { installRivals, startRival } from '../ground/rivals.ts';
import { countedLoop, type Spent } from '../load/loops.ts';
import { type Part, roundsTold } from '../part.ts';

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
      (pids: () => Readonly<Record<string, readonly number[]>>, whole: (n: string) => Promise<void>) => () =>
        countedLoop(pids(), load.fresh(count), inFlight, whole);
    const contenders = {
      ours: contender(engine.pids, load.whole),
      machine: contender(machine.pids, machine.whole),
      dbos: contender(dbos.pids, dbos.whole),
    };
    const samples = await inTurns<keyof typeof contenders, Spent>(
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
    const rows = (['ours', 'machine', 'dbos'] as const).map((name) => [
      { ours: 'ours', machine: 'state machine', dbos: 'DBOS' }[name],
      rounded(median(samples[name].map(({ cpuMs }) => cpuMs))),
    ]);
    const figures = {
      'state machine': againstBy('perSecond', samples.ours, samples.machine, 'deposits/s'),
      DBOS: againstBy('perSecond', samples.ours, samples.dbos, 'deposits/s'),
    };
    return {
      P12: { figures, tables: [{ title: 'CPU ms per deposit of all processes', columns: ['who', 'ms'], rows }] },
    };
  },
};

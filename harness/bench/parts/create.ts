import { inTurns } from '../figures/rounds.ts';
import { againstBy } from '../figures/statistics.ts';
import { type Latencies, oneByOne } from '../load/loops.ts';
import { type Part, roundsTold } from '../part.ts';

/** P5: one caller at a time. */
export const createPart: Part = {
  ids: ['P5'],
  seconds: { full: 90, quick: 12 },
  async measure(bench) {
    const { load } = await bench.engine();
    const floors = await bench.floors();
    const numbers = () => load.fresh(bench.scale.creates);
    const samples = await inTurns<'ours' | 'update-with-start', Latencies>(
      {
        ours: () => oneByOne(numbers(), (n) => load.create(n)),
        'update-with-start': () => oneByOne(numbers(), (n) => floors.runAnswering(n)),
      },
      bench.scale.rounds,
      roundsTold(bench, 'creates, one at a time'),
    );
    const figure = (which: keyof Latencies) => againstBy(which, samples.ours, samples['update-with-start'], 'ms');
    return { P5: { figures: { p50: figure('p50Ms'), p99: figure('p99Ms') } } };
  },
};

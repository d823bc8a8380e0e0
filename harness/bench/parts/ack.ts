import { inTurns } from '../figures/rounds.ts';
import { againstBy } from '../figures/statistics.ts';
import { type Latencies, openLoop } from '../load/loops.ts';
import { type Part, roundsTold } from '../part.ts';

/** P3: callbacks at a fixed rate; each pays another deposit, which is credited meanwhile. */
export const ackPart: Part = {
  ids: ['P3'],
  seconds: { full: 180, quick: 32 },
  async measure(bench) {
    const { load, engine } = await bench.engine();
    const endpoint = await bench.endpoint();
    const { count, perSecond } = bench.scale.ack;
    const samples = await inTurns<'ours' | 'bare', Latencies>(
      {
        async ours() {
          const numbers = await load.open(count);
          const latencies = await openLoop(numbers, perSecond, (n) => load.pay(n));
          await load.credited(numbers);
          return latencies;
        },
        bare: () => openLoop(load.fresh(count), perSecond, (n) => endpoint.send(n, engine.callbackOf(n).body)),
      },
      bench.scale.rounds,
      roundsTold(bench, `callbacks, ${perSecond} a second`),
    );
    const figure = (which: keyof Latencies) => againstBy(which, samples.ours, samples.bare, 'ms');
    return { P3: { figures: { p50: figure('p50Ms'), p99: figure('p99Ms'), max: figure('maxMs') } } };
  },
};

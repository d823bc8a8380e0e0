import { inTurns } from '../figures/rounds.ts';
import { againstBy, alone, type Figure } from '../figures/statistics.ts';
import { closedLoop } from '../load/loops.ts';
import { type Part, roundsTold } from '../part.ts';

interface BurstSample {
  readonly perSecond: number;
  /** Seconds from the first callback, or from Temporal's restart, to the last credit. */
  readonly drainedAfterS: number;
}

/** P4: callbacks at the maximum rate, with Temporal running and stopped; then everything is credited. */
export const burstPart: Part = {
  ids: ['P4'],
  seconds: { full: 800, quick: 42 },
  async measure(bench) {
    const { load, engine } = await bench.engine();
    const endpoint = await bench.endpoint();
    const { count, inFlight, stopped: withStopped } = bench.scale.burst;
    const drain = async (numbers: readonly string[], sinceMs: number): Promise<number> => {
      await load.credited(numbers);
      return (performance.now() - sinceMs) / 1_000;
    };
    const samples = await inTurns<'up' | 'stopped' | 'bare', BurstSample>(
      {
        async up() {
          const numbers = await load.open(count);
          const sinceMs = performance.now();
          const perSecond = await closedLoop(numbers, inFlight, (n) => load.pay(n));
          return { perSecond, drainedAfterS: await drain(numbers, sinceMs) };
        },
        async stopped() {
          if (!withStopped) return { perSecond: Number.NaN, drainedAfterS: Number.NaN };
          const numbers = await load.open(count);
          await bench.servers.stopTemporal();
          let perSecond;
          try {
            perSecond = await closedLoop(numbers, inFlight, (n) => load.pay(n));
          } finally {
            await bench.servers.startTemporal();
          }
          return { perSecond, drainedAfterS: await drain(numbers, performance.now()) };
        },
        async bare() {
          const numbers = load.fresh(count);
          const perSecond = await closedLoop(numbers, inFlight, (n) => endpoint.send(n, engine.callbackOf(n).body));
          return { perSecond, drainedAfterS: 0 };
        },
      },
      bench.scale.rounds,
      roundsTold(bench, `a burst of ${count} callbacks`),
    );
    const drained = (name: keyof typeof samples) => samples[name].map(({ drainedAfterS }) => drainedAfterS);
    const figures: Record<string, Figure> = {
      'Temporal up': againstBy('perSecond', samples.up, samples.bare, 'callbacks/s'),
      [`drained ${count}, up`]: alone(drained('up'), 's'),
    };
    if (withStopped) {
      figures['Temporal stopped'] = againstBy('perSecond', samples.stopped, samples.bare, 'callbacks/s');
      figures[`drained ${count}, after Temporal’s return`] = alone(drained('stopped'), 's');
    }
    return { P4: { figures, notes: ['Every callback was acknowledged and credited once; the run fails otherwise.'] } };
  },
};

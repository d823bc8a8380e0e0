import { setTimeout as sleep } from 'node:timers/promises';
import type { Bench, LoadedEngine } from '../bench.ts';
import { inTurns } from '../figures/rounds.ts';
import { against, type Figure } from '../figures/statistics.ts';
import { residentBytesOf } from '../ground/processes.ts';
import { closedLoop, countedLoop } from '../load/loops.ts';
import { WORKER_DEFAULTS } from '../../../config/settings/worker.ts';
import { type Part, roundsTold } from '../part.ts';

const LANES = 16;
const SETTLE_MS = 3_000;
/** The number of callbacks in a round, beyond the cache and within it. */
const PAID = 60;

/** P9: new workers hold a growing number of open deposits; then the oldest and the newest are paid in turns. */
export const memoryPart: Part = {
  ids: ['P9'],
  seconds: { full: 2_400, quick: null },
  async measure(bench) {
    await bench.startAnew();
    const loaded = await bench.engine();
    const floors = await bench.floors();
    const { load, engine } = loaded;
    const held = async (pid: number) => {
      await sleep(SETTLE_MS);
      return residentBytesOf(pid) ?? Number.NaN;
    };
    const [before, beforeOfFloor] = [await held(engine.programs.worker.pid()), await held(floors.worker.pid())];
    const figures: Record<string, Figure> = {};
    const open: string[] = [];
    for (const count of bench.scale.open) {
      bench.tell(`opening deposits, up to ${count}`);
      const more = count - open.length;
      open.push(...(await load.open(more, LANES)));
      await closedLoop(load.fresh(more), LANES, floors.open);
      const ours = ((await held(engine.programs.worker.pid())) - before) / count / 1_000;
      const baseline = ((await held(floors.worker.pid())) - beforeOfFloor) / count / 1_000;
      figures[count] = against([ours], [baseline], 'kB');
    }
    if (open.length > WORKER_DEFAULTS.cachedWorkflows * 2)
      figures['beyond the cache'] = await beyondCache(bench, loaded, open);
    bench.tell(`paying ${open.length} open deposits`);
    const drainedPerSecond = await closedLoop(open, LANES, async (n) => {
      await load.pay(n);
      await load.ended(n);
    });
    await load.credited(open);
    await bench.startAnew();
    const notes = [
      `One round: a worker that has held deposits gives little memory back. Its cache holds ${WORKER_DEFAULTS.cachedWorkflows}; beyond it memory per open deposit falls.`,
      `All that were open were paid and credited once, ${Math.round(drainedPerSecond)} a second.`,
    ];
    return { P9: { figures, notes } };
  },
};

/** Compares the total CPU of a callback beyond the worker's cache with one in it. Removes paid deposits from `open`. */
async function beyondCache(bench: Bench, { engine, load }: LoadedEngine, open: string[]): Promise<Figure> {
  const paid = (take: () => string[]) => async () => {
    const { cpuMs } = await countedLoop(engine.pids(), take(), LANES, async (n) => {
      await load.pay(n);
      await load.ended(n);
    });
    return cpuMs;
  };
  const { beyond, within } = await inTurns<'beyond' | 'within', number>(
    {
      beyond: paid(() => open.splice(0, PAID)),
      within: paid(() => open.splice(-PAID)),
    },
    bench.scale.rounds,
    roundsTold(bench, 'callbacks beyond the cache and within'),
  );
  return against(beyond, within, 'CPU ms');
}

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openBench } from './bench.ts';
import type { Figures, BenchRun, Table } from './figures/result.ts';
import { groundOf, loadNow } from './ground/facts.ts';
import type { Undo } from './ground/undo.ts';
import type { BenchOptions } from './options.ts';
import type { Part } from './part.ts';
import { createProgress } from './progress.ts';
import { SCALES } from './scale.ts';

const secondsOf = (part: Part, quick: boolean): number =>
  quick ? (part.seconds.quick ?? part.seconds.full) : part.seconds.full;

/**
 * Returns the wanted parts: the named ones, else all whose option is given. A quick run omits long parts unless they are
 * named.
 */
export const chosenParts = (
  parts: readonly Part[],
  { size, only, before }: Pick<BenchOptions, 'size' | 'only' | 'before'>,
): Part[] =>
  parts.filter(({ ids, seconds, needs }) => {
    if (needs === 'before' && before === null) return false;
    return only.length > 0 ? ids.some((id) => only.includes(id)) : size === 'full' || seconds.quick !== null;
  });

/** The time limit of a part, so that a run ends: this multiple of its planned time, and at least the start's time. */
const PATIENCE = 5;
const AT_LEAST_S = 300;

export interface BenchHands {
  readonly undo: Undo;
  readonly interrupted: AbortSignal;
  /** Writes a line of progress. */
  readonly write: (line: string) => void;
}

/** Measures the wanted parts in sequence. A failed part reports why and stops no other; an interrupt rejects. */
export async function runBench(
  parts: readonly Part[],
  options: BenchOptions,
  { undo, interrupted, write }: BenchHands,
): Promise<BenchRun> {
  const { size, only, temporal, before } = options;
  const quick = size !== 'full';
  const chosen = chosenParts(parts, options);
  const progress = createProgress(chosen, (part) => secondsOf(part, quick), write);
  const folder = await mkdtemp(join(tmpdir(), 'deposit-engine-bench-'));
  undo.add(() => rm(folder, { recursive: true, force: true }));
  const startedMs = performance.now();
  const bench = await openBench({ scale: SCALES[size], temporal, before, undo, folder, tell: progress.tell });
  const ground = await groundOf(bench.servers, size, temporal);
  const figures: Record<string, Figures> = {};
  const tables: Record<string, readonly Table[]> = {};
  const notes: Record<string, readonly string[]> = {};
  const failed: Record<string, string> = {};
  for (const part of chosen) {
    const wanted = part.ids.filter((id) => only.length === 0 || only.includes(id));
    try {
      await bench.refresh();
      const results = await within(
        Math.max(AT_LEAST_S, secondsOf(part, quick) * PATIENCE),
        part.measure(bench, wanted),
      );
      for (const id of wanted) {
        const { figures: found, tables: more = [], notes: said = [] } = results[id]!;
        figures[id] = found;
        if (more.length > 0) tables[id] = more;
        if (said.length > 0) notes[id] = said;
      }
    } catch (error) {
      interrupted.throwIfAborted();
      for (const id of wanted) failed[id] = (error as Error).message;
      progress.tell(`${wanted.join(', ')} failed: ${(error as Error).message}`);
      // Later parts must not measure on its unfinished work.
      await bench.startAnew().catch(() => undefined);
    }
    progress.done(part);
  }
  const seconds = Math.round((performance.now() - startedMs) / 1_000);
  return { ...figures, ground: { ...ground, loadAfter: loadNow(), seconds }, tables, notes, failed };
}

async function within<T>(seconds: number, work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`not done within ${Math.round(seconds)} s`)), seconds * 1_000);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

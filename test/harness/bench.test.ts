import { existsSync } from 'node:fs';
import { mkdtemp, realpath, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import type { BenchRun } from '../../harness/bench/figures/result.ts';
import { inTurns } from '../../harness/bench/figures/rounds.ts';
import { against, alone, median } from '../../harness/bench/figures/statistics.ts';
import { ForeignServer, requireOwn } from '../../harness/bench/servers/own.ts';
import { openServers } from '../../harness/bench/servers/servers.ts';
import { createUndo } from '../../harness/bench/ground/undo.ts';
import { closedLoop, openLoop } from '../../harness/bench/load/loops.ts';
import { parseBenchOptions } from '../../harness/bench/options.ts';
import type { Bench } from '../../harness/bench/bench.ts';
import { beforePart } from '../../harness/bench/parts/before.ts';
import { AUDIT_SCALE, readRates } from '../../harness/bench/parts/audit.ts';
import { PARTS } from '../../harness/bench/parts.ts';
import { createProgress } from '../../harness/bench/progress.ts';
import { chartOf } from '../../harness/bench/report/chart.ts';
import { comparisonOf } from '../../harness/bench/report/compare.ts';
import { reportOf } from '../../harness/bench/report/markdown.ts';
import { chosenParts } from '../../harness/bench/run.ts';
import { SCALES } from '../../harness/bench/scale.ts';
import { TARGETS } from '../../harness/bench/targets.ts';
import { outsideDirectory, root } from '../../local/servers/paths.ts';
import { processesWith } from '../../local/servers/process.ts';

test('a median is the middle, or the mean of the two in the middle, and of nothing there is none', () => {
  expect([median([3, 1, 2]), median([4, 1, 3, 2])]).toEqual([2, 2.5]);
  expect(() => median([])).toThrow(RangeError);
});

test('a ratio is of pairs: a round that slowed both down changes none', () => {
  expect(against([50, 25, 60], [100, 50, 100], 'x/s')).toEqual({
    ours: 50,
    baseline: 100,
    ratio: 0.5,
    min: 0.5,
    max: 0.6,
    rounds: 3,
    unit: 'x/s',
  });
  expect(() => against([1], [1, 2], 'ms')).toThrow(RangeError);
  expect(alone([3, 1, 2], 's')).toMatchObject({ ours: 2, baseline: null, ratio: null, min: 1, max: 3 });
});

test('contenders take turns, reversed in every round, and the warm-up is dropped', async () => {
  const turns: string[] = [];
  const contender = (name: string) => async (round: number) => {
    turns.push(`${name}${round}`);
    return round;
  };
  const samples = await inTurns({ a: contender('a'), b: contender('b'), c: contender('c') }, 2);
  expect(turns.join(' ')).toBe('a0 b0 c0 c1 b1 a1 a2 b2 c2');
  expect(samples).toEqual({ a: [1, 2], b: [1, 2], c: [1, 2] });
});

test('two versions begin alike, prove what they credited, and leave nothing running', async () => {
  const did: string[] = [];
  const engine = (commit: string) => async () => {
    did.push(`start ${commit}`);
    const load = {
      fresh: (count: number) => Array.from({ length: count }, (_, i) => `${i}`),
      whole: () => Promise.resolve(),
      credited: async (numbers: readonly string[]) => void did.push(`${commit} credited ${numbers.length}`),
    };
    return { commit, load, engine: { pids: () => ({}) } };
  };
  const startAnew = async () => void did.push('anew');
  const bench = { scale: SCALES.tiny, tell: () => undefined, startAnew, engine: engine('a'), before: engine('b') };
  const { P16 } = await beforePart.measure(bench as unknown as Bench, ['P16']);
  const [a, b] = ['a credited 8', 'b credited 8'];
  expect(did).toEqual(['anew', 'start a', 'start b', a, b, b, a, 'anew']);
  expect(P16!.notes).toEqual(['Now is a, before is b.']);
});

test('a server that was there before, or is not on loopback, is refused', () => {
  const own = { adopted: false, at: 'postgres://postgres:x@127.0.0.1:5432/postgres' };
  expect(requireOwn('PostgreSQL', own)).toBeUndefined();
  expect(requireOwn('Temporal', { adopted: false, at: '127.0.0.1:7233' })).toBeUndefined();
  expect(() => requireOwn('PostgreSQL', { ...own, adopted: true })).toThrow(ForeignServer);
  expect(() => requireOwn('Temporal', { adopted: false, at: 'temporal.example:7233' })).toThrow(ForeignServer);
});

test('what was started is ended in the reverse order, once, whatever fails', async () => {
  const ended: number[] = [];
  const undo = createUndo();
  for (const n of [1, 2, 3])
    undo.add(async () => {
      ended.push(n);
      if (n === 2) throw new Error('is gone already');
    });
  await Promise.all([undo.run(), undo.run()]);
  await undo.run();
  expect(ended).toEqual([3, 2, 1]);
});

test('a server that is still starting when all is ended does not outlive it', async () => {
  const folder = await realpath(await mkdtemp(join(tmpdir(), 'bench-cut-')));
  const undo = createUndo();
  onTestFinished(async () => {
    await undo.run();
    await rm(folder, { recursive: true, force: true });
  });
  const opening = openServers(folder, undo, null).catch((error: unknown) => error);
  await undo.run();
  await opening;
  // As root PostgreSQL has its data outside.
  const left = [folder, outsideDirectory(join(folder, 'postgres'))].flatMap((place) => processesWith([place]));
  expect(left).toEqual([]);
}, 120_000);

test('a closed loop does each item once, and so many at a time', async () => {
  let [atOnce, most] = [0, 0];
  const done: number[] = [];
  await closedLoop([1, 2, 3, 4, 5], 2, async (n) => {
    most = Math.max(most, (atOnce += 1));
    await new Promise(setImmediate);
    atOnce -= 1;
    done.push(n);
  });
  expect([done.toSorted((a, b) => a - b), most]).toEqual([[1, 2, 3, 4, 5], 2]);
});

test('in an open loop a stall is in the latency of everything that it held up', async () => {
  const STALL_MS = 60;
  const { p50Ms } = await openLoop([1, 2, 3, 4, 5], 1_000, async (n) => {
    const endMs = performance.now() + (n === 1 ? STALL_MS : 0);
    while (performance.now() < endMs);
  });
  expect(p50Ms).toBeGreaterThan(STALL_MS / 2);
});

test('rows are chosen by name, and a quick run leaves out what takes long unless it is named', () => {
  const ids = TARGETS.map(({ id }) => id);
  expect(parseBenchOptions([], ids)).toMatchObject({ size: 'full', only: [], compare: null });
  expect(parseBenchOptions(['--quick', '--only', 'p3,P4'], ids)).toMatchObject({ size: 'quick', only: ['P3', 'P4'] });
  expect(() => parseBenchOptions(['--only', 'P99'], ids)).toThrow('P99');
  expect(() => parseBenchOptions(['--temporal', '127.0.0.1:7233'], ids)).toThrow('expected dev or postgres');
  const chosen = (size: 'full' | 'quick', ...only: string[]) =>
    chosenParts(PARTS, { size, only, before: null }).flatMap((p) => p.ids);
  expect(chosen('full').toSorted()).toEqual(ids.filter((id) => id !== 'P16').toSorted());
  // There is another version to compare with only where one is named.
  expect(() => parseBenchOptions(['--only', 'P16'], ids)).toThrow('--before COMMIT is missing');
  const { size, only, before } = parseBenchOptions(['--only', 'P16', '--before', 'HEAD~1'], ids);
  expect(chosenParts(PARTS, { size, only, before }).flatMap((p) => p.ids)).toEqual(['P16']);
  expect(chosen('quick')).not.toContain('P9');
  expect(chosen('quick', 'P9')).toEqual(['P9']);
});

test('a quick run is meant to take six minutes, and both have at least five rounds', () => {
  const quick = chosenParts(PARTS, { size: 'quick', only: [], before: null }).reduce(
    (sum, { seconds }) => sum + seconds.quick!,
    0,
  );
  expect(quick).toBeLessThanOrEqual(300);
  expect([SCALES.full.rounds, SCALES.quick.rounds].every((rounds) => rounds >= 5)).toBe(true);
});

test('progress tells what is left by the pace so far', () => {
  let ms = 0;
  const lines: string[] = [];
  const [flow, ack] = PARTS.filter(({ ids }) => ids.includes('P1') || ids.includes('P3'));
  const progress = createProgress(
    [flow!, ack!],
    () => 100,
    (line) => void lines.push(line),
    () => ms,
  );
  progress.tell('a');
  // Twice its expected duration, with the part before.
  ms = 320_000;
  progress.done(flow!);
  progress.tell('b');
  expect(lines).toEqual(['0:00 (about 4:20 left) a', '5:20 (about 3:20 left) b']);
});

test('the rates of the audit are read from what its measurement prints', () => {
  const printed = '  deposits, one process: 150/s (140 to 160)\n  ratio to empty workflows: 0.81 (SDK’s replayer)\n';
  expect(existsSync(join(root, AUDIT_SCALE))).toBe(true);
  expect(readRates(printed)).toEqual({ 'deposits, one process': { median: 150, min: 140, max: 160 } });
});

const run = (figures: Record<string, unknown>): BenchRun =>
  ({
    ...figures,
    ground: { at: '2026-11-30T00:00:00Z', size: 'full', seconds: 60 },
    tables: {},
    notes: {},
    failed: { P5: 'not done within 450 s\nand a stack' },
  }) as unknown as BenchRun;

test('a report says of each point whether its mark is reached, and why a part has no figures', () => {
  const figures = {
    '8': against([0.7], [1], 'x/s'),
    '16': against([0.3], [1], 'x/s'),
    '24': against([0.3], [1], 'x/s'),
  };
  const report = reportOf(run({ P1: figures }));
  const marks = [...report.matchAll(/^\| \d+ \|.* (\S*) \|$/gm)].map(([, mark]) => mark);
  expect(marks).toEqual(['reached', '**missed**', '']);
  expect(report).toContain('Failed: not done within 450 s\n');
  expect(report).not.toContain('P2');
});

test('compared with an earlier run, a point is better, worse, or within the rounds', () => {
  const rates = (...ours: number[]) => against(ours, [1, 1, 1], 'x/s');
  const old = run({ P1: { '8': rates(0.4, 0.5, 0.6), '16': rates(0.4, 0.5, 0.6) }, P3: { p50: rates(5, 6, 7) } });
  const now = run({ P1: { '8': rates(0.5, 0.55, 0.6), '16': rates(0.7, 0.8, 0.9) }, P3: { p50: rates(8, 9, 10) } });
  const verdicts = [...comparisonOf(now, old).matchAll(/^\| P\d .* \| (\D+) \|$/gm)].map(([, verdict]) => verdict);
  expect(verdicts).toEqual(['within the rounds', 'better', 'worse']);
});

test('a chart has a bar for each ratio, and its texts are escaped', () => {
  const svg = chartOf(
    'more < less',
    { '8': against([1], [2], ''), 'a & b': against([1], [2], ''), c: alone([1], '') },
    { '8': 1 },
  );
  expect([...svg.matchAll(/fill="#3b6ea5"/g)]).toHaveLength(2);
  expect(svg).toContain('<title>more &lt; less</title>');
  expect(svg).toContain('>a &amp; b</text>');
});

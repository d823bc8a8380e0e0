import { join } from 'node:path';
import { readOwnArgumentsOr } from '../../config/command-line.ts';
import { LockedError, takeLock } from '../../local/servers/lock.ts';
import { cacheDirectory } from '../../local/servers/paths.ts';
import type { BenchRun } from './figures/result.ts';
import { createUndo, undoAtSignals } from './ground/undo.ts';
import { BENCH_USAGE, parseBenchOptions } from './options.ts';
import { PARTS } from './parts.ts';
import { reportOf } from './report/markdown.ts';
import { readResult, refuseUnwritable } from '../result-file.ts';
import { writeBenchReport } from './report/write.ts';
import { runBench } from './run.ts';
import { TARGETS } from './targets.ts';
import { commitOr } from '../version.ts';

/**
 * `npm run bench`: measures every row of docs/reference/benchmarks.md against its floor or rival in one run, on a PostgreSQL
 * and a Temporal of its own. Exit code 1 if a part failed, 2 if the arguments are wrong.
 */

const ids = TARGETS.map(({ id }) => id);
const options = readOwnArgumentsOr(BENCH_USAGE, (args) => parseBenchOptions(args, ids));
if (options.before !== null) commitOr(BENCH_USAGE, 'before', options.before);
const old =
  options.compare === null ? null : readResult<BenchRun>(options.compare, 'npm run bench', BENCH_USAGE, reportOf);
refuseUnwritable(BENCH_USAGE, 'out', join(options.out, 'result.json'));
// Two runs in one clone would build into the same place and disturb each other's figures.
let release;
try {
  release = takeLock(join(cacheDirectory, 'bench.lock'));
} catch (error) {
  if (!(error instanceof LockedError)) throw error;
  console.error('Another bench runs in this clone: wait for it, or end it with Ctrl-C there.');
  process.exit(2);
}
const undo = createUndo();
undo.add(release);
const interrupted = undoAtSignals(undo);
const stopAll = async () => {
  await undo.run();
  process.exit(1);
};
process.on('uncaughtException', (error) => {
  // A call of Temporal's client waited for its next retry when its connection was closed.
  if (error.message === 'Channel has been shut down') return;
  console.error(error);
  void stopAll();
});
try {
  const result = await runBench(PARTS, options, { undo, interrupted, write: (line) => console.log(line) });
  const files = await writeBenchReport(result, old, options.out);
  console.log(reportOf(result));
  console.log(`written: ${files.join(', ')}`);
  process.exitCode = Object.keys(result.failed).length > 0 ? 1 : 0;
} catch (error) {
  if (!interrupted.aborted) console.error(error);
  process.exitCode = interrupted.aborted ? 130 : 1;
} finally {
  await undo.run();
}
// The SDK's connections would keep the process alive.
process.exit();

import { join } from 'node:path';
import { readOwnArgumentsOr } from '../../config/command-line.ts';
import { measureAlone } from '../alone.ts';
import type { BenchRun } from './figures/result.ts';
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
await measureAlone(async (undo, interrupted) => {
  const result = await runBench(PARTS, options, { undo, interrupted, write: (line) => console.log(line) });
  const files = await writeBenchReport(result, old, options.out);
  console.log(reportOf(result));
  console.log(`written: ${files.join(', ')}`);
  return Object.keys(result.failed).length > 0 ? 1 : 0;
});

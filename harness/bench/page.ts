import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { endMisused, readArgumentsOr } from '../../config/command-line.ts';
import { root } from '../../local/servers/paths.ts';
import type { BenchRun } from './figures/result.ts';
import { pageOf } from './report/page.ts';
import { readResult } from '../result-file.ts';
import { chartsOf } from './report/write.ts';

/** `npm run bench:page -- RESULT.json`: writes docs/reference/benchmarks.md, its JSON and its charts from that run. */

const USAGE = 'npm run bench:page -- RESULT.json    a result of npm run bench';
const [from, more] = readArgumentsOr(USAGE, {}).positionals;
if (from === undefined || more !== undefined) endMisused('One RESULT.json is needed', USAGE);
const result = readResult<BenchRun>(from, 'npm run bench', USAGE, pageOf);
const files = {
  'reference/benchmarks.json': `${JSON.stringify(result, null, 2)}\n`,
  'reference/benchmarks.md': pageOf(result),
  ...Object.fromEntries(Object.entries(chartsOf(result)).map(([name, svg]) => [`pictures/bench-${name}`, svg])),
};
for (const [name, text] of Object.entries(files)) await writeFile(join(root, 'docs', name), text);

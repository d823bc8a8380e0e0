import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { root } from '../../local/servers/paths.ts';
import type { BenchRun } from './figures/result.ts';
import { pageOf } from './report/page.ts';
import { chartsOf } from './report/write.ts';

/** `npm run bench:page -- RESULT.json`: writes docs/reference/benchmarks.md, its JSON and its charts from that run. */

const [from] = process.argv.slice(2);
if (from === undefined) {
  console.error('npm run bench:page -- RESULT.json: a run of npm run bench');
  process.exit(2);
}
const result = JSON.parse(await readFile(from, 'utf8')) as BenchRun;
const files = {
  'reference/benchmarks.json': `${JSON.stringify(result, null, 2)}\n`,
  'reference/benchmarks.md': pageOf(result),
  ...Object.fromEntries(Object.entries(chartsOf(result)).map(([name, svg]) => [`pictures/bench-${name}`, svg])),
};
for (const [name, text] of Object.entries(files)) await writeFile(join(root, 'docs', name), text);

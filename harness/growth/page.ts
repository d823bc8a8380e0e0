import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { root } from '../../local/servers/paths.ts';
import type { GrowthRun } from './figures.ts';
import { growthPage, prunedBy } from './report.ts';

/** `npm run growth:page -- RESULT.json`: writes docs/reference/growth-measured.md and its JSON from that run. */

const [from] = process.argv.slice(2);
if (from === undefined) {
  console.error('npm run growth:page -- RESULT.json: a run of npm run growth');
  process.exit(2);
}
const run = JSON.parse(await readFile(from, 'utf8')) as GrowthRun;
const docs = join(root, 'docs');
const pruned = prunedBy(await readFile(join(docs, 'internals/growth.md'), 'utf8'));
await writeFile(join(docs, 'reference/growth-measured.json'), `${JSON.stringify(run, null, 2)}\n`);
await writeFile(join(docs, 'reference/growth-measured.md'), growthPage(run, pruned));

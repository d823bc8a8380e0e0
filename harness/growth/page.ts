import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { endMisused, readArgumentsOr } from '../../config/command-line.ts';
import { root } from '../../local/servers/paths.ts';
import type { GrowthRun } from './figures.ts';
import { readResult } from '../result-file.ts';
import { growthPage, prunedBy } from './report.ts';

/** `npm run growth:page -- RESULT.json`: writes docs/reference/growth-measured.md and its JSON from that run. */

const USAGE = 'npm run growth:page -- RESULT.json    a result of npm run growth';
const [from, more] = readArgumentsOr(USAGE, {}).positionals;
if (from === undefined || more !== undefined) endMisused('One RESULT.json is needed', USAGE);
const docs = join(root, 'docs');
const pruned = prunedBy(await readFile(join(docs, 'internals/growth.md'), 'utf8'));
const textOf = (of: GrowthRun) => growthPage(of, pruned);
const run = readResult(from, 'npm run growth', USAGE, textOf);
await writeFile(join(docs, 'reference/growth-measured.json'), `${JSON.stringify(run, null, 2)}\n`);
await writeFile(join(docs, 'reference/growth-measured.md'), textOf(run));

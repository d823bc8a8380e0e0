import { writeFile } from 'node:fs/promises';
import { readOwnArgumentsOr } from '../../config/command-line.ts';
import { measureAlone } from '../alone.ts';
import { refuseUnwritable } from '../result-file.ts';
import { GROWTH_USAGE, parseGrowthOptions } from './options.ts';
import { measureGrowth } from './run.ts';

/**
 * `npm run growth`: every endpoint and every query of relay, archive and audit on databases of several sizes, on a
 * PostgreSQL and a Temporal of its own. Exit code 2 if the arguments are wrong.
 */

const options = readOwnArgumentsOr(GROWTH_USAGE, parseGrowthOptions);
refuseUnwritable(GROWTH_USAGE, 'out', options.out);
const { out } = options;
await measureAlone(async (undo) => {
  await measureGrowth(options, {
    undo,
    write: (line) => console.log(line),
    async keep(run) {
      await writeFile(out, `${JSON.stringify(run, null, 2)}\n`);
      console.log(`written: ${out}`);
    },
  });
  return 0;
});

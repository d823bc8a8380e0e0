import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { readOwnArgumentsOr } from '../../config/command-line.ts';
import { LockedError, takeLock } from '../../local/servers/lock.ts';
import { cacheDirectory } from '../../local/servers/paths.ts';
import { createUndo, undoAtSignals } from '../bench/ground/undo.ts';
import { refuseUnwritable } from '../result-file.ts';
import { GROWTH_USAGE, parseGrowthOptions } from './options.ts';
import { measureGrowth } from './run.ts';

/**
 * `npm run growth`: every endpoint and every query of relay, archive and audit on databases of several sizes, on a
 * PostgreSQL and a Temporal of its own. Exit code 2 if the arguments are wrong.
 */

const options = readOwnArgumentsOr(GROWTH_USAGE, parseGrowthOptions);
refuseUnwritable(GROWTH_USAGE, 'out', options.out);
// It builds into the same place as the bench, and both would disturb each other's figures.
let release;
try {
  release = takeLock(join(cacheDirectory, 'bench.lock'));
} catch (error) {
  if (!(error instanceof LockedError)) throw error;
  console.error('A bench or another growth runs in this clone: wait for it, or end it with Ctrl-C there.');
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
const { out } = options;
try {
  await measureGrowth(options, {
    undo,
    write: (line) => console.log(line),
    async keep(run) {
      await writeFile(out, `${JSON.stringify(run, null, 2)}\n`);
      console.log(`written: ${out}`);
    },
  });
} catch (error) {
  if (!interrupted.aborted) console.error(error);
  process.exitCode = interrupted.aborted ? 130 : 1;
} finally {
  await undo.run();
}
// The SDK's connections would keep the process alive.
process.exit();

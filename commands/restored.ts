import { ConfigError } from '../config/settings/read-environment.ts';
import { asCalled, takesNoArguments } from '../config/command-line.ts';
import { loadOwnerUrl } from '../config/settings/migration.ts';
import { noteRestored } from '../database/queries/placements.ts';
import { createPool } from '../database/pool.ts';
import { typedYes } from './typed-yes.ts';
import '../config/broken-pipe.ts';
import '../database/command-errors.ts';

/**
 * `npm run restored`: records that the database was restored to an older state (docs/guides/restore.md). Run it as the
 * schema's owner, before the engine starts again. It asks for confirmation, because orders that are being placed are
 * then never placed.
 */
const flags = takesNoArguments(
  'npm run restored',
  'notes that the database was restored to an older state, before the engine is started.',
  { '--yes': 'does not ask' },
);

const MISUSED = 2;

async function main(): Promise<number> {
  let url: string;
  try {
    url = loadOwnerUrl();
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    console.error(error.message);
    return 1;
  }
  if (!flags.has('--yes')) {
    const { host, pathname } = new URL(url);
    console.error(
      `Orders that the database ${pathname.slice(1)} at ${host} has as being placed are never placed after this.`,
    );
    if (!(await typedYes('Was it restored to an older state?'))) {
      console.error(asCalled('Nothing was noted. Without the question: npm run restored -- --yes'));
      return MISUSED;
    }
  }
  const pool = createPool({ url, max: 1, applicationName: 'deposit-restored' });
  try {
    const { at, waiting } = await noteRestored(pool);
    console.log(
      `noted: restored at ${at.toISOString()}; ${waiting} orders that were being placed are not placed again: they become PLACEMENT_UNKNOWN`,
    );
    return 0;
  } finally {
    await pool.end();
  }
}

process.exitCode = await main();

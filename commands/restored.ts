import { join } from 'node:path';
import { ConfigError } from '../config/settings/read-environment.ts';
import { takesNoArguments } from '../config/command-line.ts';
import { loadOwnerUrl } from '../config/settings/migration.ts';
import { noteRestored } from '../database/placements.ts';
import { createPool } from '../database/pool.ts';
import '../config/closed-output.ts';

/**
 * `npm run restored`: says, as the schema's owner and before the engine is started again, that the database was restored
 * to an older state (docs/guides/restore.md).
 */
takesNoArguments('restored', 'notes that the database was restored to an older state, before the engine is started.');

async function main(): Promise<number> {
  let url: string;
  try {
    url = loadOwnerUrl(join(process.cwd(), '.data', 'local.env'));
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    console.error(error.message);
    return 1;
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

import { availableParallelism, cpus, loadavg, totalmem } from 'node:os';
import type { Ground } from '../figures/result.ts';
import { temporalCli } from '../../../local/servers/temporal-versions.ts';
import { root } from '../../../local/servers/paths.ts';
import { engineVersion } from '../../../worker/version.ts';
import { commitOf } from '../../version.ts';
import { SERVER_VERSION } from '../servers/temporal-postgres.ts';
import type { BenchServers } from '../servers/servers.ts';

export const loadNow = (): number => Math.round(loadavg()[0]! * 100) / 100;

/** The facts of the machine and the versions that are known before the measurement. */
export async function groundOf(
  servers: BenchServers,
  size: Ground['size'],
  temporal: 'dev' | 'postgres',
): Promise<Omit<Ground, 'loadAfter' | 'seconds'>> {
  const postgres = await servers.admin((client) =>
    client.query<{ v: string }>(`select current_setting('server_version') as v`),
  );
  const commit = await commitOf(root);
  return {
    at: new Date().toISOString(),
    version: commit === '' ? engineVersion() : `${engineVersion()}+${commit}`,
    cpu: cpus()[0]?.model ?? 'unknown',
    cores: availableParallelism(),
    memoryGb: Math.round(totalmem() / 2 ** 30),
    node: process.version,
    postgres: postgres.rows[0]!.v,
    temporal:
      temporal === 'dev' ? `dev server of CLI ${temporalCli.version}` : `server ${SERVER_VERSION} on PostgreSQL`,
    loadBefore: loadNow(),
    size,
  };
}

import { readFileSync } from 'node:fs';
import { parseEnv } from 'node:util';
import { loadMigrationUrl } from './environment.ts';

type Environment = Readonly<Record<string, string | undefined>>;

/**
 * The address of the schema's owner for a command: DATABASE_URL_MIGRATOR or DATABASE_URL, else that of the local stack
 * whose file is given. Throws `ConfigError` when there is neither.
 */
export function loadOwnerUrl(localEnvFile: string, env: Environment = process.env): string {
  const isSet = ['DATABASE_URL_MIGRATOR', 'DATABASE_URL'].some((name) => (env[name] ?? '') !== '');
  return loadMigrationUrl(isSet ? env : localStack(localEnvFile));
}

function localStack(file: string): Environment {
  try {
    return parseEnv(readFileSync(file, 'utf8'));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return {};
    throw error;
  }
}

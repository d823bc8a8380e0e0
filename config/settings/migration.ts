import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseEnv } from 'node:util';
import { z } from 'zod';
import { type Environment, withSecretFiles } from '../keys/secret-files.ts';
import { ConfigError, configError, readVariables } from './read-environment.ts';
import { duration, isDatabaseUrl, NO_DATABASE_URL, UNIT_MS } from './variable-types.ts';

const scheduleSchema = z.object({
  ARCHIVE_EVERY: duration.default(UNIT_MS.m).refine((ms) => ms >= UNIT_MS.s, 'at least 1s'),
});

/** Reads the interval at which closed workflows are archived, in milliseconds. Throws {@link ConfigError}. */
export function loadArchiveEvery(env: Environment = process.env): number {
  return readVariables(scheduleSchema, env).ARCHIVE_EVERY;
}

/** Reads the database address of the schema's owner, for migrations. Throws {@link ConfigError}. */
export function loadMigrationUrl(env: Environment = process.env): string {
  const { values, problems } = withSecretFiles(env, ['DATABASE_URL_MIGRATOR', 'DATABASE_URL']);
  if (problems.length > 0) throw configError(problems);
  const url = values['DATABASE_URL_MIGRATOR'] ?? values['DATABASE_URL'];
  if (url === undefined) throw new ConfigError('DATABASE_URL is not set: the database, as its owner');
  const name = values['DATABASE_URL_MIGRATOR'] === undefined ? 'DATABASE_URL' : 'DATABASE_URL_MIGRATOR';
  if (!isDatabaseUrl(url)) throw new ConfigError(`${name}: ${NO_DATABASE_URL}`);
  return url;
}

/**
 * Reads the address of the schema's owner for a command: DATABASE_URL_MIGRATOR or DATABASE_URL, else that of the local
 * stack that was started here. Throws `ConfigError` when none is set.
 */
export function loadOwnerUrl(env: Environment = process.env): string {
  const isSet = ['DATABASE_URL_MIGRATOR', 'DATABASE_URL'].some((name) => (env[name] ?? '') !== '');
  return loadMigrationUrl(isSet ? env : localStack(join(process.cwd(), '.data', 'local.env')));
}

function localStack(file: string): Environment {
  try {
    return parseEnv(readFileSync(file, 'utf8'));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return {};
    throw error;
  }
}

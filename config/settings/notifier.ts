import { readFileSync } from 'node:fs';
import { z } from 'zod';
import type { KeyName } from '../keys/keys.ts';
import type { KeySource } from '../keys/key-source.ts';
import type { Environment } from '../keys/secret-files.ts';
import { shared } from './api-and-worker.ts';
import { notifyTargets, type TargetRules, targetRulesOf } from './notifications.ts';
import { type DatabaseConfig, databaseOf, type Needs, readEnvironment } from './read-environment.ts';
import { count, databaseUrl } from './variable-types.ts';

const notifierSchema = z.object({
  DATABASE_URL: shared.DATABASE_URL,
  DATABASE_URL_NOTIFIER: databaseUrl.optional(),
  NOTIFY_AT_ONCE: count('64'),
  CRASH_AT: shared.CRASH_AT,
  LOG_LEVEL: shared.LOG_LEVEL,
  ...notifyTargets,
});

const NOTIFIER_NEEDS = {
  databases: ['DATABASE_URL_NOTIFIER'],
  addresses: [],
  keys: ['endpointSecret'],
} as const satisfies Needs<KeyName>;

/** The settings of the process that sends events to endpoints. It has no key of the provider. */
export interface NotifierConfig {
  readonly database: DatabaseConfig;
  readonly keys: KeySource<(typeof NOTIFIER_NEEDS.keys)[number]>;
  /** Messages under way at once; of one endpoint at most eight. */
  readonly atOnce: number;
  readonly targets: TargetRules;
  /** Authorities as PEM, trusted in addition to Node's own. */
  readonly ca?: string;
  readonly logLevel: string;
}

/** Reads the settings. Throws {@link ConfigError} that names every variable at fault and never shows a value. */
export function loadNotifierConfig(env: Environment = process.env): NotifierConfig {
  const { raw, keys } = readEnvironment(notifierSchema, env, NOTIFIER_NEEDS);
  return {
    database: databaseOf(raw.DATABASE_URL_NOTIFIER, raw.DATABASE_URL),
    keys,
    atOnce: raw.NOTIFY_AT_ONCE,
    targets: targetRulesOf(raw),
    ...(raw.NOTIFY_CA_FILE === undefined ? {} : { ca: readFileSync(raw.NOTIFY_CA_FILE, 'utf8') }),
    logLevel: raw.LOG_LEVEL,
  };
}

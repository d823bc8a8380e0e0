import { z } from 'zod';
import type { Environment } from '../keys/secret-files.ts';
import { shared } from './api-and-worker.ts';
import { type DatabaseConfig, databaseOf, readEnvironment } from './read-environment.ts';
import { databaseUrl, listenAddress, origin } from './variable-types.ts';

const codecServerSchema = z.object({
  DATABASE_URL: shared.DATABASE_URL,
  DATABASE_URL_API: databaseUrl.optional(),
  CODEC_LISTEN: listenAddress.default({ host: '127.0.0.1', port: 8082 }),
  TEMPORAL_UI_URL: origin,
  LOG_LEVEL: shared.LOG_LEVEL,
});

const CODEC_SERVER_NEEDS = { databases: ['DATABASE_URL_API'], addresses: [], keys: [] } as const;

export interface CodecServerConfig {
  readonly database: DatabaseConfig;
  readonly listen: { readonly host: string; readonly port: number };
  /** The origin of Temporal's Web UI. */
  readonly origin: string;
  readonly logLevel: string;
}

/** Reads the settings. Throws {@link ConfigError} that names every variable at fault and never shows a value. */
export function loadCodecServerConfig(env: Environment = process.env): CodecServerConfig {
  const { raw } = readEnvironment(codecServerSchema, env, CODEC_SERVER_NEEDS);
  return {
    database: databaseOf(raw.DATABASE_URL_API, raw.DATABASE_URL),
    listen: raw.CODEC_LISTEN,
    origin: raw.TEMPORAL_UI_URL,
    logLevel: raw.LOG_LEVEL,
  };
}

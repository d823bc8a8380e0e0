import { z } from 'zod';
import type { KeyName } from '../keys/keys.ts';
import type { KeySource } from '../keys/key-source.ts';
import type { SignatureTrust } from '../keys/operator-keys.ts';
import { providerProxy } from '../provider-proxy.ts';
import type { Environment } from '../keys/secret-files.ts';
import { linkRules, shared, trustIn } from './api-and-worker.ts';
import { type DatabaseConfig, databaseOf, type Needs, readEnvironment } from './read-environment.ts';
import { connections, count, databaseUrl, duration, origin, stampGrid, UNIT_MS } from './variable-types.ts';

/** Defaults for the number of pollers and of cached workflows. */
export const WORKER_DEFAULTS = { pollers: 40, cachedWorkflows: 2_000 };

const workerSchema = z.object({
  ...shared,
  DATABASE_URL_WORKER: databaseUrl.optional(),
  DATABASE_URL_DECISIONS: databaseUrl.optional(),
  CALLBACK_BASE_URL: origin,
  MTPAY_PLACE_PATH: z.string().startsWith('/').default('/api/buy-coin/transaction'),
  MTPAY_CA_FILE: z.string().optional(),
  MTPAY_DEADLINE: duration
    .default(25 * UNIT_MS.s)
    .refine((ms) => ms <= 25_000, 'at most 25s, below the 30s of the activity'),
  OWN_STAMP_GRID: stampGrid,
  PLACE_WITHIN: duration.default(2 * UNIT_MS.m),
  PAYER_NAME_RETENTION: duration.default(24 * UNIT_MS.h),
  PRUNE_AFTER: duration.default(90 * UNIT_MS.d).refine((ms) => ms >= 7 * UNIT_MS.d, 'at least 7d'),
  WORKFLOW_BUNDLE: z.string().optional(),
  WORKER_CONNECTIONS: connections(20),
  WORKER_POLLERS: count(String(WORKER_DEFAULTS.pollers)).refine(
    (polls) => polls >= 2,
    'at least 2: for new workflows, and for those it keeps',
  ),
  WORKER_CACHE: count(String(WORKER_DEFAULTS.cachedWorkflows)).refine((kept) => kept >= 2, 'at least 2'),
});

const WORKER_NEEDS = {
  databases: ['DATABASE_URL_WORKER', 'DATABASE_URL_DECISIONS'],
  addresses: ['MTPAY_BASE_URL', 'CALLBACK_BASE_URL'],
  keys: ['mtpay', 'callback', 'payerName', 'inboxSealPublic'],
  callsProvider: true,
} as const satisfies Needs<KeyName>;

export interface WorkerConfig {
  readonly database: DatabaseConfig;
  /** The database as the only role that may carry out decisions. */
  readonly decisions: DatabaseConfig;
  /** Maximum number of database connections, in addition to two for decisions. */
  readonly connections: number;
  /** Number of concurrent polls for workflow tasks. */
  readonly pollers: number;
  /** Number of workflows kept in memory; others are replayed when a task comes for them. */
  readonly cachedWorkflows: number;
  readonly keys: KeySource<(typeof WORKER_NEEDS.keys)[number]>;
  readonly mtpay: {
    readonly placeUrl: string;
    readonly redirectHosts: readonly string[];
    readonly plainHttpHosts: readonly string[];
    readonly caFile?: string;
    /** The proxy through which the provider is called; it may hold a password. */
    readonly proxy?: string;
  };
  readonly callbackBaseUrl: string;
  /** Time from the deposit's creation until its payer's name is erased. */
  readonly payerNameRetentionMs: number;
  /** Unneeded rows that are older are deleted; at least a week. */
  readonly pruneAfterMs: number;
  readonly placeWithinMs: number;
  readonly callDeadlineMs: number;
  /** The grid of the stamps of placements; 0: no grid. */
  readonly ownStampGridMs: number;
  readonly workflowBundle?: string;
  /** The directory of archived texts; absent: they are in the database. */
  readonly archiveDirectory?: string;
  /** The largest id up to which inbox rows need no seal; null: the database's value is not limited. */
  readonly sealEpoch: string | null;
  /** The keys and the rule that operators' steps are verified with. */
  readonly signatures: SignatureTrust;
  /** True: an empty database beside a Temporal with deposits is intended (docs/guides/restore.md). */
  readonly restoredFromEmpty: boolean;
  readonly logLevel: string;
}

/** Reads the settings. Throws {@link ConfigError} that names every variable at fault and never shows a value. */
export function loadWorkerConfig(env: Environment = process.env): WorkerConfig {
  const { raw, keys } = readEnvironment(workerSchema, env, WORKER_NEEDS);
  const base = new URL(raw.MTPAY_BASE_URL);
  const { proxy } = providerProxy(env);
  return {
    database: databaseOf(raw.DATABASE_URL_WORKER, raw.DATABASE_URL),
    decisions: databaseOf(raw.DATABASE_URL_DECISIONS, raw.DATABASE_URL),
    connections: raw.WORKER_CONNECTIONS,
    pollers: raw.WORKER_POLLERS,
    cachedWorkflows: raw.WORKER_CACHE,
    keys,
    mtpay: {
      placeUrl: new URL(raw.MTPAY_PLACE_PATH, base).href,
      ...linkRules(raw),
      ...(raw.MTPAY_CA_FILE === undefined ? {} : { caFile: raw.MTPAY_CA_FILE }),
      ...(proxy === null ? {} : { proxy }),
    },
    callbackBaseUrl: raw.CALLBACK_BASE_URL,
    payerNameRetentionMs: raw.PAYER_NAME_RETENTION,
    pruneAfterMs: raw.PRUNE_AFTER,
    placeWithinMs: raw.PLACE_WITHIN,
    callDeadlineMs: raw.MTPAY_DEADLINE,
    ownStampGridMs: raw.OWN_STAMP_GRID,
    sealEpoch: raw.INBOX_SEAL_EPOCH ?? null,
    signatures: trustIn(raw),
    restoredFromEmpty: raw.RESTORED_FROM_EMPTY === '1',
    ...(raw.WORKFLOW_BUNDLE === undefined ? {} : { workflowBundle: raw.WORKFLOW_BUNDLE }),
    ...(raw.ARCHIVE_DIRECTORY === undefined ? {} : { archiveDirectory: raw.ARCHIVE_DIRECTORY }),
    logLevel: raw.LOG_LEVEL,
  };
}

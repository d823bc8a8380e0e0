import { z } from 'zod';
import type { KeyName } from '../keys/keys.ts';
import type { KeySource } from '../keys/key-source.ts';
import type { SignatureTrust } from '../keys/operator-keys.ts';
import { providerProxy } from '../provider-proxy.ts';
import type { Environment } from '../keys/secret-files.ts';
import { linkRules, shared, trustIn } from './api-and-worker.ts';
import { type DatabaseConfig, databaseOf, type Needs, readEnvironment } from './read-environment.ts';
import { connections, count, databaseUrl, duration, origin, stampGrid, UNIT_MS } from './variable-types.ts';

/** How a worker polls and how many workflows it keeps, where nothing is set. */
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
  /** Of the role that alone may carry out what people decide. */
  readonly decisions: DatabaseConfig;
  /** At most so many connections to the database, beside two for decisions. */
  readonly connections: number;
  /** So many calls ask Temporal for workflow tasks at once. */
  readonly pollers: number;
  /** So many workflows are kept in memory; others are replayed when something comes for them. */
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
  /** From the deposit's creation; then its payer's name is erased. */
  readonly payerNameRetentionMs: number;
  /** Rows that are older and that nothing needs are deleted; at least a week. */
  readonly pruneAfterMs: number;
  readonly placeWithinMs: number;
  readonly callDeadlineMs: number;
  /** On what grid placements are stamped; 0: on none. */
  readonly ownStampGridMs: number;
  readonly workflowBundle?: string;
  /** Where archived texts are kept; not given: in the database. */
  readonly archiveDirectory?: string;
  /** Up to which inbox row none needs a seal, whatever the database says; null: as the database says. */
  readonly sealEpoch: string | null;
  /** With what people's steps are verified. */
  readonly signatures: SignatureTrust;
  /** An empty database beside a Temporal that knows deposits is meant (docs/guides/restore.md). */
  readonly restoredFromEmpty: boolean;
  readonly logLevel: string;
}

/** The worker's settings. Throws {@link ConfigError} that names every variable at fault and never shows a value. */
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

import { setTimeout } from 'node:timers/promises';
import { Client, Connection } from '@temporalio/client';
import { publicSealKey, sealKey } from '../config/keys/inbox-seal.ts';
import { loadArchiveEvery, loadMigrationUrl } from '../config/settings/migration.ts';
import { loadSealKeyIfSet, loadSealTrust } from '../config/settings/seals.ts';
import { takesNoArguments } from '../config/command-line.ts';
import { tellMisspelt } from '../config/known-variables.ts';
import type { Secret } from '../config/keys/secret.ts';
import { isTemporalGiven, loadTemporal, type TemporalConfig } from '../config/temporal.ts';
import { KEEPS_TRANSACTIONS, keptTransactions, parameterLogging } from '../database/log-settings.ts';
import { migrate, MIGRATIONS } from '../database/schema/migrate.ts';
import { createClient } from '../database/pool.ts';
import {
  canWriteInboxItself,
  countUnvouched,
  DemandHeldUp,
  mayRegisterSealKey,
  registeredSealKeys,
} from '../database/queries/seal-macs.ts';
import { registerAndVouch } from '../providers/sealed-rows.ts';
import { ensureArchiveSchedule } from './schedule.ts';
import { registerSearchAttributes } from './search-attributes.ts';
import '../config/broken-pipe.ts';
import '../database/command-errors.ts';

/**
 * `npm run migrate`: brings the database of DATABASE_URL to the newest schema and registers INBOX_SEAL_KEY if set.
 * If Temporal is configured too, registers the search attributes and creates the archive's schedule. Runs as the
 * schema's owner, before a new version starts.
 */
const flags = takesNoArguments('npm run migrate', 'brings the database and Temporal to what this version needs.', {
  '--contract': 'also takes away what only processes of a version before need: when none works any more',
});

/** Temporal may be down for this long. */
const PATIENCE_MS = 60_000;
const PAUSE_MS = 2_000;
/** gRPC: INVALID_ARGUMENT, PERMISSION_DENIED, UNIMPLEMENTED, UNAUTHENTICATED. */
const REFUSALS: readonly unknown[] = [3, 7, 12, 16];

tellMisspelt((line) => console.log(line));
// Read before anything is changed: a wrong setting must not leave half of the work done.
const archiveEveryMs = loadArchiveEvery();
const seed = loadSealKeyIfSet();
const [client, watcher] = await Promise.all([connect(), connect()]);
try {
  const applied = await migrate(client, MIGRATIONS, {
    contract: flags.has('--contract') ? 'now' : 'later',
    watcher,
    tell: (line) => console.log(line),
  });
  const logging = await parameterLogging(client);
  if (logging.length > 0)
    console.log(
      `the server writes what statements are given into its log: ${logging.join(', ')} (docs/guides/deployment.md)`,
    );
  if ((await keptTransactions(client)) > 0) console.log(KEEPS_TRANSACTIONS);
  console.log(applied.length === 0 ? 'the database is up to date' : `applied ${applied.join(', ')}`);
  if (seed !== null) await register(seed);
  else if ((await registeredSealKeys(client)).length === 0)
    console.log('INBOX_SEAL_KEY is not set, so none is registered: the database does not verify what the API keeps');
  const unvouched = await countUnvouched(client);
  if (unvouched > 0)
    console.log(
      `messages that wait and that no registered key vouches for: ${unvouched}. None is credited before "npm run seal-key -- --register" (docs/guides/deployment.md)`,
    );
} finally {
  await Promise.all([client.end(), watcher.end()]);
}

/** Registers the key, unless an API from before MACs may be running: the database must still accept its rows. */
async function register(seed: Secret): Promise<void> {
  const key = sealKey(seed);
  const isEarly = !flags.has('--contract') && !(await mayRegisterSealKey(client));
  if (isEarly || (await canWriteInboxItself(client))) {
    console.log(
      `INBOX_SEAL_KEY ${key.id} is not registered yet: "npm run migrate -- --contract" does it, when no process of a version before works any more`,
    );
    return;
  }
  const trust = loadSealTrust(publicSealKey(seed));
  try {
    const { isNew, vouched, held } = await registerAndVouch(client, key, trust);
    if (isNew) console.log(`INBOX_SEAL_KEY ${key.id} is registered`);
    if (vouched > 0) console.log(`messages that waited and bear a genuine seal: ${vouched}`);
    if (held > 0) {
      console.error(`genuine rows that somebody holds, which wait for another run of this command: ${held}`);
      process.exitCode = 1;
    }
  } catch (error) {
    if (!(error instanceof DemandHeldUp)) throw error;
    console.error(`a MAC is not demanded yet, run this again. In the way: ${error.message}`);
    process.exitCode = 1;
  }
}

/** Connects, or ends the process with one line: the driver's stack trace would hide the reason. */
async function connect() {
  const opened = createClient({ connectionString: loadMigrationUrl(), application_name: 'deposit-migrate' });
  try {
    await opened.connect();
    return opened;
  } catch (error) {
    console.error(`the database cannot be used: ${reasonOf(error)}`);
    process.exit(1);
  }
}

if (isTemporalGiven()) {
  const temporal = loadTemporal();
  try {
    await patiently(() => prepare(temporal));
  } catch (error) {
    console.error(`the database is ready, Temporal is not: ${reasonOf(error)}`);
    process.exitCode = 1;
  }
}

/** Idempotent. */
async function prepare({ connectionOptions, namespace }: TemporalConfig): Promise<void> {
  const connection = await Connection.connect(connectionOptions);
  try {
    await registerSearchAttributes(connection, namespace);
    console.log(`search attributes are registered in namespace ${namespace}`);
    await ensureArchiveSchedule(new Client({ connection, namespace }), archiveEveryMs);
    console.log(`closed deposits are archived every ${archiveEveryMs / 1_000} s`);
  } finally {
    await connection.close();
  }
}

/** Retries, because a server that has just started responds late or has no namespace yet. A refusal is not retried. */
async function patiently(work: () => Promise<void>): Promise<void> {
  for (const until = performance.now() + PATIENCE_MS; ; ) {
    try {
      return await work();
    } catch (error) {
      if (isRefused(error) || performance.now() > until) throw error;
      console.log(`Temporal: ${reasonOf(error)}; again in ${PAUSE_MS / 1_000} s`);
      await setTimeout(PAUSE_MS);
    }
  }
}

const isRefused = (error: unknown): boolean => REFUSALS.includes(codeOf(error));

function reasonOf(error: unknown): string {
  const { message, cause } = error as { message?: string; cause?: { details?: string; message?: string } };
  const more = cause?.details ?? cause?.message;
  // An error of several addresses has no message of its own.
  const first = message === undefined || message === '' ? String(codeOf(error)) : message;
  return more === undefined || more === first ? first : `${first}: ${more}`;
}

function codeOf(error: unknown): unknown {
  const { code, cause } = (error ?? {}) as { code?: unknown; cause?: { code?: unknown } };
  return code ?? cause?.code;
}

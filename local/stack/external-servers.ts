/** Checks external servers before anything starts, so that a fault is reported in one sentence. */

import { Connection } from '@temporalio/client';
import { withClient } from '../../database/pool.ts';
import { loadTemporal } from '../../config/temporal.ts';
import { errorSentence } from '../servers/error-sentences.ts';
import { LocalSettingsError, ownerUrl } from './environment.ts';

type Environment = Readonly<Record<string, string | undefined>>;

const CALL_TIMEOUT_MS = 5_000;
/** gRPC status codes. */
const NOT_FOUND = 5;
const REFUSED = new Set([7, 16]);

/** @throws LocalSettingsError if no server responds at the configured address, or if it has no such namespace. */
export async function askTemporalElsewhere(env: Environment): Promise<void> {
  const { address, namespace, connection } = connectionOf(env);
  try {
    const describe = () => connection.workflowService.describeNamespace({ namespace });
    await connection.withDeadline(Date.now() + CALL_TIMEOUT_MS, describe);
  } catch (error) {
    const { code, details } = error as { code?: number; details?: string };
    if (code === NOT_FOUND) {
      throw new LocalSettingsError(
        `The Temporal server at ${address} has no namespace "${namespace}" (TEMPORAL_NAMESPACE). Make it with ` +
          `\`temporal operator namespace create --address ${address} --retention 30d ${namespace}\`, or name another.`,
      );
    }
    if (REFUSED.has(code ?? -1)) {
      throw new LocalSettingsError(`The Temporal server at ${address} lets us not into "${namespace}": ${details}`);
    }
    throw new LocalSettingsError(
      `No Temporal server answers at ${address} (TEMPORAL_ADDRESS, or the profile): ${reasonIn(details ?? String(error))}. ` +
        'Correct it, or remove it to have a server started here.',
    );
  } finally {
    await connection.close();
  }
}

/** Removes the empty note that gRPC appends. */
const reasonIn = (details: string): string => details.replace(/ Resolution note: \s*$/, '').replace(/\.$/, '');

/** @throws LocalSettingsError if the database cannot be used; the message shows no password. */
export async function askDatabaseElsewhere(env: Environment): Promise<void> {
  const url = ownerUrl(env, null);
  try {
    await withClient({ connectionString: url, connectionTimeoutMillis: CALL_TIMEOUT_MS }, async () => undefined);
  } catch (cause) {
    const found = URL.canParse(url)
      ? errorSentence(cause).split('\n')[0]
      : 'it is no address such as postgres://user@host/name';
    throw new LocalSettingsError(
      `The database of DATABASE_URL cannot be used: ${found} Correct it, or remove it to have a server started here.`,
      { cause },
    );
  }
}

function connectionOf(env: Environment) {
  try {
    const { connectionOptions, namespace } = loadTemporal(env);
    // The client's own retries are off: a refused connection is the result.
    const connection = Connection.lazy({ ...connectionOptions, connectTimeout: CALL_TIMEOUT_MS, interceptors: [] });
    return { address: connectionOptions.address ?? 'localhost:7233', namespace, connection };
  } catch (error) {
    const found = error instanceof Error ? error.message : String(error);
    throw new LocalSettingsError(`The settings of Temporal (TEMPORAL_…) are wrong: ${found}`, { cause: error });
  }
}

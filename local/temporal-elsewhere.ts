/** A Temporal server of somebody else's: asked before anything starts, so that what is wrong is said in a sentence. */

import { Connection } from '@temporalio/client';
import { loadTemporal } from '../config/temporal.ts';
import { LocalSettingsError } from './environment.ts';

type Environment = Readonly<Record<string, string | undefined>>;

const CALL_TIMEOUT_MS = 5_000;
/** Codes of gRPC. */
const NOT_FOUND = 5;
const REFUSED = new Set([7, 16]);

/** @throws LocalSettingsError when no server answers where the settings say, or it has no such namespace. */
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
      `No Temporal server answers at ${address} (TEMPORAL_ADDRESS, or the profile): ${details ?? String(error)}. ` +
        'Correct it, or remove it to have a server started here.',
    );
  } finally {
    await connection.close();
  }
}

function connectionOf(env: Environment) {
  try {
    const { connectionOptions, namespace } = loadTemporal(env);
    // Without the client's own retries: a refused connection is the answer.
    const connection = Connection.lazy({ ...connectionOptions, connectTimeout: CALL_TIMEOUT_MS, interceptors: [] });
    return { address: connectionOptions.address ?? 'localhost:7233', namespace, connection };
  } catch (error) {
    const found = error instanceof Error ? error.message : String(error);
    throw new LocalSettingsError(`The settings of Temporal (TEMPORAL_…) are wrong: ${found}`, { cause: error });
  }
}

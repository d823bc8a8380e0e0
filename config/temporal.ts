import { statSync } from 'node:fs';
import { type ClientConnectConfig, loadClientConnectConfig } from '@temporalio/envconfig';

/**
 * Where Temporal is, by its own variables (TEMPORAL_ADDRESS, TEMPORAL_NAMESPACE, …) and profile file. An empty file,
 * such as TEMPORAL_CONFIG_FILE=/dev/null, means "no file": the SDK's loader would fail on it.
 */
export function loadTemporal(
  env: Readonly<Record<string, string | undefined>> = process.env,
): Required<Pick<ClientConnectConfig, 'namespace'>> & Pick<ClientConnectConfig, 'connectionOptions'> {
  const file = env['TEMPORAL_CONFIG_FILE'];
  const empty = file !== undefined && file !== '' && statSync(file, { throwIfNoEntry: false })?.size === 0;
  const given = Object.fromEntries(Object.entries(env).filter(([, value]) => value !== undefined));
  const { namespace, connectionOptions } = loadClientConnectConfig({
    disableFile: empty,
    overrideEnvVars: given as Record<string, string>,
  });
  return { namespace: namespace ?? 'default', connectionOptions };
}

/** Whether anything says where Temporal is; without, its client would try localhost:7233. */
export const isTemporalGiven = (env: Readonly<Record<string, string | undefined>> = process.env): boolean =>
  ['TEMPORAL_ADDRESS', 'TEMPORAL_PROFILE', 'TEMPORAL_CONFIG_FILE'].some((name) => (env[name] ?? '') !== '');

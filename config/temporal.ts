import { statSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Client, ConnectionOptions, WorkflowClient } from '@temporalio/client';
import type { DataConverter, LoadedDataConverter } from '@temporalio/common';
import { type ClientConnectConfig, loadClientConnectConfig } from '@temporalio/envconfig';
import { ConfigError, isLocalStack } from './settings/read-environment.ts';
import { isLoopback, withoutProxy } from './loopback.ts';
import { createPayloadCodec, type PayloadKeys } from '../encoding/payload-codec.ts';
import { isSample } from './keys/samples.ts';
import { Secret } from './keys/secret.ts';
import { type Environment, withSecretFiles } from './keys/secret-files.ts';

/** The connection to Temporal, and the conversion of the payloads that go there. */
export interface TemporalConfig {
  /** `channelArgs` are for `Connection` only: Temporal on this machine is reached without the proxy of `http_proxy`. */
  readonly connectionOptions: ClientConnectConfig['connectionOptions'] & Pick<ConnectionOptions, 'channelArgs'>;
  readonly namespace: string;
  /** Empty: payloads are not encrypted. */
  readonly dataConverter: DataConverter;
}

/**
 * Reads Temporal's own variables (TEMPORAL_ADDRESS, TEMPORAL_NAMESPACE, …) and profile file. An empty file, such as
 * TEMPORAL_CONFIG_FILE=/dev/null, means "no file": the SDK's loader would fail on it.
 */
export function loadTemporal(env: Environment = process.env): TemporalConfig {
  const file = env['TEMPORAL_CONFIG_FILE'];
  const empty = file !== undefined && file !== '' && statSync(file, { throwIfNoEntry: false })?.size === 0;
  const given = Object.fromEntries(Object.entries(env).filter(([, value]) => value !== undefined));
  const { namespace, connectionOptions } = loadClientConnectConfig({
    disableFile: empty,
    overrideEnvVars: given as Record<string, string>,
  });
  return {
    namespace: namespace ?? 'default',
    connectionOptions: { ...connectionOptions, ...directArguments(connectionOptions.address) },
    dataConverter: loadDataConverter(env),
  };
}

function directArguments(address = 'localhost'): Pick<ConnectionOptions, 'channelArgs'> {
  return isLoopback(address.replace(/:\d+$/, '')) ? { channelArgs: withoutProxy } : {};
}

/** The failure converter's path; the bundle of the workflows contains it as well. */
export const FAILURE_CONVERTER = fileURLToPath(new URL('./failure-converter.cjs', import.meta.url));

/**
 * Returns the converter that client, worker and replay must share. With TEMPORAL_CODEC_KEY it encrypts everything that
 * enters a history, texts of failures included. Throws {@link ConfigError} for an invalid key.
 */
export function loadDataConverter(env: Environment = process.env): DataConverter {
  const keys = loadPayloadKeys(env);
  return keys === null ? {} : { payloadCodecs: [createPayloadCodec(keys)], failureConverterPath: FAILURE_CONVERTER };
}

const CODEC_KEYS = ['TEMPORAL_CODEC_KEY', 'TEMPORAL_CODEC_KEY_PREVIOUS'] as const;

/**
 * Reads TEMPORAL_CODEC_KEY and, for older payloads, TEMPORAL_CODEC_KEY_PREVIOUS, from the environment or from files.
 * Null: the codec is off. Read once, at the start.
 */
export function loadPayloadKeys(env: Environment = process.env): PayloadKeys | null {
  const { values, problems } = withSecretFiles(env, CODEC_KEYS);
  if (problems.length > 0) throw new ConfigError(problems.join('; '));
  const [current, previous] = CODEC_KEYS.map((name) => keyOf(values, name, isLocalStack(env)));
  if (current === undefined && previous !== undefined) {
    throw new ConfigError('TEMPORAL_CODEC_KEY_PREVIOUS is set without TEMPORAL_CODEC_KEY: set both');
  }
  if (current === undefined) return null;
  return previous === undefined ? [current] : [current, previous];
}

function keyOf(values: Environment, name: string, samples: boolean): Secret | undefined {
  const given = values[name];
  if (given === undefined) return undefined;
  if (!/^[A-Za-z0-9_-]{43,}=*$/.test(given)) {
    throw new ConfigError(`${name}: expected at least 32 random bytes as base64url`);
  }
  if (!samples && isSample(given)) {
    throw new ConfigError(`${name}: is a sample or easy to guess; use a key of your own`);
  }
  return new Secret(Buffer.from(given, 'base64url'));
}

/** Whether Temporal is configured; otherwise its client would try localhost:7233. */
export const isTemporalGiven = (env: Environment = process.env): boolean =>
  ['TEMPORAL_ADDRESS', 'TEMPORAL_PROFILE', 'TEMPORAL_CONFIG_FILE'].some((name) => (env[name] ?? '') !== '');

/**
 * Returns a client that decodes nothing, for workflows that anybody may have started by hand. The normal client decodes
 * the memo of each workflow that it describes or lists, and one that cannot be decoded would end the whole list.
 */
export const unopened = ({ workflow }: Pick<Client, 'workflow'>): WorkflowClient =>
  Object.create(workflow, { dataConverter: { value: OPENS_NOTHING } }) as WorkflowClient;

const OPENS_NOTHING = {
  payloadCodecs: [],
  payloadConverter: { fromPayload: () => undefined },
} as unknown as LoadedDataConverter;

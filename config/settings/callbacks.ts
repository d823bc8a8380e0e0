import { z } from 'zod';
import type { DepositSettings } from '../../domain/order.ts';
import type { KeyName } from '../keys/keys.ts';
import type { KeySource } from '../keys/key-source.ts';
import type { Environment } from '../keys/secret-files.ts';
import { shared } from './api-and-worker.ts';
import { type DatabaseConfig, databaseOf, type Needs, readEnvironment } from './read-environment.ts';
import { ack, connections, databaseUrl, duration, listenAddress, UNIT_MS } from './variable-types.ts';

/** Variables of every process with a callback listener. */
export const listeners = {
  DATABASE_URL: shared.DATABASE_URL,
  DATABASE_URL_API: databaseUrl.optional(),
  API_LISTEN: listenAddress.default({ host: '127.0.0.1', port: 8080 }),
  CALLBACK_LISTEN: listenAddress.default({ host: '127.0.0.1', port: 8081 }),
  API_CONNECTIONS: connections(8),
  MTPAY_ACK: ack,
  PAYMENT_WINDOW: duration.default(30 * UNIT_MS.m),
  LISTENING_WINDOW: duration.default(73 * UNIT_MS.h),
  RESTORED_FROM_EMPTY: shared.RESTORED_FROM_EMPTY,
  CRASH_AT: shared.CRASH_AT,
  LOG_LEVEL: shared.LOG_LEVEL,
};
const callbacksSchema = z.object(listeners);

const CALLBACKS_NEEDS = {
  databases: ['DATABASE_URL_API'],
  addresses: [],
  keys: ['mtpay', 'callback', 'inboxSeal', 'inboxSealPublic'],
} as const satisfies Needs<KeyName>;

/** The settings of every process with a callback listener. */
export interface ListenersConfig {
  readonly database: DatabaseConfig;
  /** Maximum connections of each of the three pools, in addition to one that listens. */
  readonly connections: number;
  readonly apiListen: { readonly host: string; readonly port: number };
  readonly callbackListen: { readonly host: string; readonly port: number };
  readonly ack: { readonly contentType: string; readonly body: string };
  /** True: an empty database beside a Temporal with deposits is intended (docs/guides/restore.md). */
  readonly restoredFromEmpty: boolean;
  readonly logLevel: string;
}

/** The settings of a process that only takes callbacks. */
export interface CallbacksConfig extends ListenersConfig {
  readonly keys: KeySource<(typeof CALLBACKS_NEEDS.keys)[number]>;
  readonly settings: Pick<DepositSettings, 'paymentWindowMs' | 'listeningWindowMs'>;
}

/** Reads the settings for callbacks only. Throws {@link ConfigError} that names every variable at fault, no value. */
export function loadCallbacksConfig(env: Environment = process.env): CallbacksConfig {
  const { raw, keys } = readEnvironment(callbacksSchema, env, CALLBACKS_NEEDS);
  const settings = { paymentWindowMs: raw.PAYMENT_WINDOW, listeningWindowMs: raw.LISTENING_WINDOW };
  return { ...listenersOf(raw), keys, settings };
}

/** Returns the settings of every process with a callback listener. */
export const listenersOf = (raw: z.output<typeof callbacksSchema>): ListenersConfig => ({
  database: databaseOf(raw.DATABASE_URL_API, raw.DATABASE_URL),
  connections: raw.API_CONNECTIONS,
  apiListen: raw.API_LISTEN,
  callbackListen: raw.CALLBACK_LISTEN,
  ack: raw.MTPAY_ACK,
  restoredFromEmpty: raw.RESTORED_FROM_EMPTY === '1',
  logLevel: raw.LOG_LEVEL,
});

import { z } from 'zod';
import type { DepositSettings } from '../../domain/order.ts';
import type { KeyName } from '../keys/keys.ts';
import type { KeySource } from '../keys/key-source.ts';
import type { Environment } from '../keys/secret-files.ts';
import { shared } from './api-and-worker.ts';
import { type DatabaseConfig, databaseOf, type Needs, readEnvironment } from './read-environment.ts';
import { ack, connections, databaseUrl, duration, listenAddress, UNIT_MS } from './variable-types.ts';

/** What every process with a callback listener reads. */
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
  LOG_LEVEL: shared.LOG_LEVEL,
};
const callbacksSchema = z.object(listeners);

const CALLBACKS_NEEDS = {
  databases: ['DATABASE_URL_API'],
  addresses: [],
  keys: ['mtpay', 'callback', 'inboxSeal', 'inboxSealPublic'],
} as const satisfies Needs<KeyName>;

/** Of every process with a callback listener. */
export interface ListenersConfig {
  readonly database: DatabaseConfig;
  /** At most so many connections of each of the three pools, beside one that listens. */
  readonly connections: number;
  readonly apiListen: { readonly host: string; readonly port: number };
  readonly callbackListen: { readonly host: string; readonly port: number };
  readonly ack: { readonly contentType: string; readonly body: string };
  /** An empty database beside a Temporal that knows deposits is meant (docs/guides/restore.md). */
  readonly restoredFromEmpty: boolean;
  readonly logLevel: string;
}

/** Of a process that takes callbacks and does nothing else. */
export interface CallbacksConfig extends ListenersConfig {
  readonly keys: KeySource<(typeof CALLBACKS_NEEDS.keys)[number]>;
  readonly settings: Pick<DepositSettings, 'paymentWindowMs' | 'listeningWindowMs'>;
}

/** The settings of a process for callbacks alone. Throws {@link ConfigError} that names every variable at fault and never shows a value. */
export function loadCallbacksConfig(env: Environment = process.env): CallbacksConfig {
  const { raw, keys } = readEnvironment(callbacksSchema, env, CALLBACKS_NEEDS);
  const settings = { paymentWindowMs: raw.PAYMENT_WINDOW, listeningWindowMs: raw.LISTENING_WINDOW };
  return { ...listenersOf(raw), keys, settings };
}

/** What every process with a callback listener has. */
export const listenersOf = (raw: z.output<typeof callbacksSchema>): ListenersConfig => ({
  database: databaseOf(raw.DATABASE_URL_API, raw.DATABASE_URL),
  connections: raw.API_CONNECTIONS,
  apiListen: raw.API_LISTEN,
  callbackListen: raw.CALLBACK_LISTEN,
  ack: raw.MTPAY_ACK,
  restoredFromEmpty: raw.RESTORED_FROM_EMPTY === '1',
  logLevel: raw.LOG_LEVEL,
});

/** Decides which parts are embedded, and builds each process's environment. Pure: environment in, environments out. */

import { createHmac } from 'node:crypto';
import { withDirectLoopback } from '../../config/loopback.ts';
import { Secret } from '../../config/keys/secret.ts';
import { publicSealKey } from '../../config/keys/inbox-seal.ts';
import type { LocalState, Ports } from '../servers/state.ts';

type Environment = Readonly<Record<string, string | undefined>>;

/** The parts that this start runs itself; the others are external. */
export type EmbeddedParts = { readonly postgres: boolean; readonly temporal: boolean; readonly sandbox: boolean };

/** The settings contradict each other or lack something; the message names the variables, never a value. */
export class LocalSettingsError extends Error {
  override name = 'LocalSettingsError';
}

/**
 * Reads which embedded parts are switched off.
 * @throws LocalSettingsError if half of a setting is given.
 */
export function readEmbedded(env: Environment): EmbeddedParts {
  const given = (name: string) => (env[name] ?? '') !== '';
  const postgres = !given('DATABASE_URL');
  const temporal = !['TEMPORAL_ADDRESS', 'TEMPORAL_PROFILE', 'TEMPORAL_CONFIG_FILE'].some(given);
  const sandbox = !given('MTPAY_BASE_URL');
  const asFile = (name: string) => given(name) || given(`${name}_FILE`);
  if (!sandbox && !(asFile('MTPAY_ACCESS_KEY') && asFile('MTPAY_SECRET_KEY'))) {
    throw new LocalSettingsError('MTPAY_BASE_URL is set: set MTPAY_ACCESS_KEY and MTPAY_SECRET_KEY too.');
  }
  const roleUrls = Object.keys(env).filter((name) => name.startsWith('DATABASE_URL_') && given(name));
  if (postgres && roleUrls.length > 0) {
    throw new LocalSettingsError(`${roleUrls.join(', ')} set without DATABASE_URL: set that too, or none of them.`);
  }
  return { postgres, temporal, sandbox };
}

/** The URL of `npm run codec`, for the Web UI; undefined while the payload codec is off. */
export function uiCodecEndpoint(env: Environment): string | undefined {
  if (set(env['TEMPORAL_CODEC_KEY']) === undefined) return undefined;
  return originOf(set(env['CODEC_LISTEN']) ?? '127.0.0.1:8082');
}

/** The database names on the embedded server. */
export const databases = { engine: 'deposits', sandbox: 'sandbox' } as const;

/** The URL of a database on the embedded server, for the superuser or for a role with a password of its own. */
export function embeddedUrl(postgresUrl: string, role: string, database: string): string {
  const url = new URL(postgresUrl);
  if (role !== url.username) url.password = rolePassword(postgresUrl, role);
  url.username = role;
  url.pathname = `/${database}`;
  return url.href;
}

/** A role's password on the embedded server; it reveals no other password, nor the superuser's. */
export function rolePassword(postgresUrl: string, role: string): string {
  return createHmac('sha256', new URL(postgresUrl).password).update(role).digest('base64url');
}

/** The engine's addresses, as in every process and in `local.env`. */
export type Places = {
  readonly apiUrl: string;
  readonly apiListen: string;
  readonly callbackListen: string;
  readonly callbackBaseUrl: string;
  readonly mtpayBaseUrl: string;
  readonly sandboxUrl: string | null;
  /** Null: no shop is opened, because its orders would be real, or because production takes no endpoint on loopback. */
  readonly shopUrl: string | null;
};

/** Returns the places, from the user's settings, else from the ports of this clone. */
export function placesOf(env: Environment, ports: Ports, embedded: EmbeddedParts): Places {
  const apiListen = set(env['API_LISTEN']) ?? `127.0.0.1:${ports.api}`;
  const callbackListen = set(env['CALLBACK_LISTEN']) ?? `127.0.0.1:${ports.callback}`;
  const sandboxUrl = embedded.sandbox ? `http://127.0.0.1:${ports.sandbox}` : null;
  return {
    apiListen,
    apiUrl: originOf(apiListen),
    callbackListen,
    callbackBaseUrl: set(env['CALLBACK_BASE_URL']) ?? originOf(callbackListen),
    mtpayBaseUrl: sandboxUrl ?? env['MTPAY_BASE_URL'] ?? '',
    sandboxUrl,
    shopUrl: embedded.sandbox && env['NODE_ENV'] !== 'production' ? `http://127.0.0.1:${ports.shop}` : null,
  };
}

function set(value: string | undefined): string | undefined {
  return value === '' ? undefined : value;
}

/** The log goes to a file; at a higher level no part would log that it is ready. A wrong level is left to be refused. */
function readyLevel(level: string | undefined): string {
  return ['warn', 'error', 'silent'].includes(level ?? '') ? 'info' : (set(level) ?? 'info');
}

/** The user's key: '' if it is in a file, so that no key of ours goes beside it; undefined if there is none. */
function keyOf(env: Environment, name: string): string | undefined {
  return set(env[`${name}_FILE`]) === undefined ? set(env[name]) : '';
}

/** The public half of a seal's key; '' if the key is in a file or invalid: then the user has to set it as well. */
function publicKeyOf(seed: string): string {
  const bytes = Buffer.from(seed, 'base64url');
  return bytes.length === 32 ? publicSealKey(new Secret(bytes)) : '';
}

/** Returns the URL of a listen address; a server on all addresses is reached on loopback. */
function originOf(listen: string): string {
  return `http://${listen.replace(/^(0\.0\.0\.0|\[::\]|\*):/, '127.0.0.1:')}`;
}

/** The addresses of the embedded Temporal server. */
export type TemporalPlace = { readonly address: string; readonly uiUrl: string | null };

/** The sources of every process's environment: the user's own, and this clone's state. */
export type Sources = {
  readonly env: Environment;
  readonly embedded: EmbeddedParts;
  readonly keys: LocalState['keys'];
  readonly ports: Ports;
};

/** For the migrations: as the database's owner. `postgresUrl` is the embedded superuser's; null: an external server. */
export function migrationEnvironment(sources: Sources, postgresUrl: string | null): Record<string, string> {
  return { ...outsideOf(sources), ...databaseOf(postgresUrl, 'DATABASE_URL', 'postgres') };
}

/** For the step that registers the key of the seals. */
export const sealEnvironment = ({ env, keys }: Sources): Record<string, string | undefined> => ({
  INBOX_SEAL_KEY: keyOf(env, 'INBOX_SEAL_KEY') ?? keys.inboxSeal,
  INBOX_SEAL_KEY_FILE: env['INBOX_SEAL_KEY_FILE'],
});

/** For the API and the worker. On the embedded server, each gets only the database roles that it needs. */
export function engineEnvironments(
  sources: Sources,
  postgresUrl: string | null,
  temporal: TemporalPlace | null,
): { readonly api: Record<string, string>; readonly worker: Record<string, string> } {
  const { env, embedded, keys, ports } = sources;
  const places = placesOf(env, ports, embedded);
  const engine = {
    ...outsideOf(sources),
    ...temporalOf(temporal),
    API_LISTEN: places.apiListen,
    CALLBACK_LISTEN: places.callbackListen,
    CALLBACK_BASE_URL: places.callbackBaseUrl,
    CALLBACK_KEY: keyOf(env, 'CALLBACK_KEY') ?? keys.callback,
    PAYER_NAME_KEY: keyOf(env, 'PAYER_NAME_KEY') ?? keys.payerName,
    FINGERPRINT_KEY: keyOf(env, 'FINGERPRINT_KEY') ?? keys.fingerprint,
    INBOX_SEAL_PUBLIC_KEYS:
      keyOf(env, 'INBOX_SEAL_PUBLIC_KEYS') ?? publicKeyOf(keyOf(env, 'INBOX_SEAL_KEY') ?? keys.inboxSeal),
    MTPAY_BASE_URL: places.mtpayBaseUrl,
    MTPAY_ACCESS_KEY: embedded.sandbox ? keys.mtpayAccess : (env['MTPAY_ACCESS_KEY'] ?? ''),
    MTPAY_SECRET_KEY: embedded.sandbox ? keys.mtpaySecret : (env['MTPAY_SECRET_KEY'] ?? ''),
    MTPAY_ACK: mtpayAck(env),
    LOG_LEVEL: readyLevel(env['LOG_LEVEL']),
  };
  return {
    api: {
      ...engine,
      INBOX_SEAL_KEY: keyOf(env, 'INBOX_SEAL_KEY') ?? keys.inboxSeal,
      ...endpointsOf(sources),
      ...databaseOf(postgresUrl, 'DATABASE_URL_API', 'app_api'),
    },
    worker: {
      ...engine,
      // The worker only verifies seals, so it gets no signing key.
      INBOX_SEAL_KEY: '',
      INBOX_SEAL_KEY_FILE: '',
      ENDPOINT_SECRET_KEY: '',
      ENDPOINT_SECRET_KEY_FILE: '',
      ...databaseOf(postgresUrl, 'DATABASE_URL_WORKER', 'app_worker'),
      ...databaseOf(postgresUrl, 'DATABASE_URL_DECISIONS', 'app_decisions'),
    },
  };
}

/** For the notifier: its own database role and the key of endpoints' secrets, and nothing that leads to the provider. */
export function notifierEnvironment(sources: Sources, postgresUrl: string | null): Record<string, string> {
  const isOthers = (name: string) =>
    !/^(ENDPOINT_SECRET_KEY|DATABASE_URL_NOTIFIER)/.test(name) &&
    /_KEY(_|$)|_proxy$|^(MTPAY|SANDBOX|TEMPORAL|CALLBACK)_|^DATABASE_URL_/i.test(name);
  return {
    ...Object.fromEntries(Object.entries(outsideOf(sources)).filter(([name]) => !isOthers(name))),
    ...endpointsOf(sources),
    LOG_LEVEL: readyLevel(sources.env['LOG_LEVEL']),
    ...databaseOf(postgresUrl, 'DATABASE_URL_NOTIFIER', 'app_notifier'),
  };
}

/** What API and notifier know of endpoints: the key of their secrets, and where plain HTTP on this machine is allowed. */
function endpointsOf({ env, keys, ports }: Sources): Record<string, string> {
  const local = [ports.shop, ports.listen].flatMap((port) => [`127.0.0.1:${port}`, `localhost:${port}`]);
  const targets = [...local, ...(set(env['NOTIFY_LOCAL_TARGETS'])?.split(',') ?? [])];
  return {
    ENDPOINT_SECRET_KEY: keyOf(env, 'ENDPOINT_SECRET_KEY') ?? keys.endpointSecret,
    // In production every endpoint is guarded, and the setting is refused.
    ...(env['NODE_ENV'] === 'production' ? {} : { NOTIFY_LOCAL_TARGETS: targets.join(',') }),
  };
}

/** For the sample shop, which is a merchant: its own key of the API, and no secret of the stack. */
export function shopEnvironment({ env }: Sources, { apiUrl, shopUrl }: Places, apiKey: string): Record<string, string> {
  const machine = ['PATH', 'HOME', 'TMPDIR'].flatMap((name) => (env[name] === undefined ? [] : [[name, env[name]]]));
  return { ...Object.fromEntries(machine), API_URL: apiUrl, API_KEY: apiKey, SHOP_URL: shopUrl ?? '' };
}

/** For the sandbox: a database of its own, and only the key pair that it shares with the engine. */
export function sandboxEnvironment(sources: Sources, postgresUrl: string | null): Record<string, string> {
  const { env, keys, ports } = sources;
  const listen = `127.0.0.1:${ports.sandbox}`;
  const external = set(env['DATABASE_URL_SANDBOX']) ?? env['DATABASE_URL'] ?? '';
  return {
    ...withoutKeys(outsideOf(sources)),
    // MTPay's retries of three days take little more than an hour, and a checkout's delays a moment.
    SANDBOX_SPEED: set(env['SANDBOX_SPEED']) ?? '60',
    SANDBOX_LISTEN: listen,
    SANDBOX_LOG_LEVEL: readyLevel(env['SANDBOX_LOG_LEVEL']),
    SANDBOX_TLS: 'off',
    SANDBOX_ALLOW_PLAIN_HTTP: 'loopback',
    SANDBOX_PUBLIC_URL: `http://${listen}`,
    SANDBOX_SHOP_URL: set(env['SANDBOX_SHOP_URL']) ?? `http://127.0.0.1:${ports.shop}/orders/{externalOrderNumber}`,
    SANDBOX_ACCESS_KEY: keys.mtpayAccess,
    SANDBOX_SECRET_KEY: keys.mtpaySecret,
    SANDBOX_CONTROL_TOKEN: keys.sandboxControl,
    // One secret for both on one machine: the token already permits everything that the console does.
    SANDBOX_CONSOLE_PASSWORD: keys.sandboxControl,
    DATABASE_URL_SANDBOX: postgresUrl === null ? external : embeddedUrl(postgresUrl, 'sandbox', databases.sandbox),
  };
}

/** The owner's URL of the engine's database. */
export function ownerUrl(env: Environment, postgresUrl: string | null): string {
  if (postgresUrl !== null) return embeddedUrl(postgresUrl, 'postgres', databases.engine);
  return set(env['DATABASE_URL_MIGRATOR']) ?? env['DATABASE_URL'] ?? '';
}

/** The response body that stops MTPay's retries, as in every process and in `local.env`. */
export function mtpayAck(env: Environment): string {
  return set(env['MTPAY_ACK']) ?? 'text:SUCCESS';
}

function databaseOf(postgresUrl: string | null, variable: string, role: string): Record<string, string> {
  return postgresUrl === null ? {} : { [variable]: embeddedUrl(postgresUrl, role, databases.engine) };
}

/** The user's variables, without those that refer to other servers than the embedded ones. */
function outsideOf({ env, embedded }: Sources): Record<string, string> {
  const foreign = (name: string) =>
    (embedded.postgres && (/^PG[A-Z]/.test(name) || name.startsWith('DATABASE_URL'))) ||
    // The codec's keys belong to the content of the server's file, not to the server's address.
    (embedded.temporal && name.startsWith('TEMPORAL_') && !name.startsWith('TEMPORAL_CODEC_KEY')) ||
    name.startsWith('npm_');
  return Object.fromEntries(
    Object.entries(withDirectLoopback(env)).flatMap(([name, value]) =>
      value === undefined || foreign(name) ? [] : [[name, value]],
    ),
  );
}

/** Removes the engine's secrets: the sandbox is an outside system. */
function withoutKeys(env: Readonly<Record<string, string>>): Record<string, string> {
  // A proxy URL may hold a password.
  const isKey = (name: string) =>
    (/(_KEY|_KEY_[A-Z]+)$/.test(name) && !name.startsWith('SANDBOX_')) || name === 'MTPAY_PROXY';
  return Object.fromEntries(Object.entries(env).filter(([name]) => !isKey(name)));
}

function temporalOf(temporal: TemporalPlace | null): Record<string, string> {
  if (temporal === null) return {};
  return {
    TEMPORAL_ADDRESS: temporal.address,
    TEMPORAL_NAMESPACE: 'default',
    // A profile in the user's home may name another server, its key or its certificate.
    TEMPORAL_CONFIG_FILE: '/dev/null',
    ...(temporal.uiUrl === null ? {} : { TEMPORAL_UI_URL: temporal.uiUrl }),
  };
}

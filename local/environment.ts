/** Which parts are embedded, and what each process finds in its environment. Pure: environment in, environments out. */

import type { LocalState, Ports } from './state.ts';

type Environment = Readonly<Record<string, string | undefined>>;

/** Which parts this start brings along; the others are somebody else's. */
export type Embedded = { readonly postgres: boolean; readonly temporal: boolean; readonly sandbox: boolean };

/** The settings contradict each other or lack something; the message names the variables, never a value. */
export class LocalSettingsError extends Error {
  override name = 'LocalSettingsError';
}

/**
 * Reads off which embedded parts are switched off.
 * @throws LocalSettingsError when half of a setting is given.
 */
export function readEmbedded(env: Environment): Embedded {
  const given = (name: string) => (env[name] ?? '') !== '';
  const postgres = !given('DATABASE_URL');
  const temporal = !['TEMPORAL_ADDRESS', 'TEMPORAL_PROFILE', 'TEMPORAL_CONFIG_FILE'].some(given);
  const sandbox = !given('MTPAY_BASE_URL');
  if (!sandbox && !(given('MTPAY_ACCESS_KEY') && given('MTPAY_SECRET_KEY'))) {
    throw new LocalSettingsError('MTPAY_BASE_URL is set: set MTPAY_ACCESS_KEY and MTPAY_SECRET_KEY too.');
  }
  const roleUrls = Object.keys(env).filter((name) => name.startsWith('DATABASE_URL_') && given(name));
  if (postgres && roleUrls.length > 0) {
    throw new LocalSettingsError(`${roleUrls.join(', ')} set without DATABASE_URL: set that too, or none of them.`);
  }
  return { postgres, temporal, sandbox };
}

/** Where everything is, once ports are settled and servers run. */
export type Facts = {
  readonly embedded: Embedded;
  readonly keys: LocalState['keys'];
  readonly ports: Ports;
  /** `host:port` of the embedded PostgreSQL; null when it is external. */
  readonly postgresAt: string | null;
  /** Of the embedded Temporal; null when it is external. */
  readonly temporal: { readonly address: string; readonly uiUrl: string | null } | null;
};

/** The database names on the embedded server. */
export const databases = { engine: 'deposits', sandbox: 'sandbox' } as const;

/** A superuser's or a role's address on the embedded server, which trusts everybody on loopback. */
export function embeddedUrl(postgresAt: string, role: string, database: string): string {
  return `postgres://${role}@${postgresAt}/${database}`;
}

/** The engine's addresses as every process and `local.env` show them. */
export type Places = {
  readonly apiUrl: string;
  readonly apiListen: string;
  readonly callbackListen: string;
  readonly callbackBaseUrl: string;
  readonly mtpayBaseUrl: string;
  readonly sandboxUrl: string | null;
};

/** The places, from the ports of this clone or from what the user set. */
export function placesOf(env: Environment, ports: Ports, embedded: Embedded): Places {
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
  };
}

function set(value: string | undefined): string | undefined {
  return value === '' ? undefined : value;
}

/** Whoever listens on all addresses is reached on loopback from here. */
function originOf(listen: string): string {
  return `http://${listen.replace(/^(0\.0\.0\.0|\[::\]|\*):/, '127.0.0.1:')}`;
}

/** One environment for each process. Each gets the database role it works as, and no more where that is ours to say. */
export function environmentsOf(
  env: Environment,
  facts: Facts,
): Record<'migrate' | 'api' | 'worker' | 'sandbox', Record<string, string>> {
  const places = placesOf(env, facts.ports, facts.embedded);
  const outside = outsideOf(env, facts);
  const database = (variable: string, role: string): Record<string, string> =>
    facts.postgresAt === null ? {} : { [variable]: embeddedUrl(facts.postgresAt, role, databases.engine) };
  const temporal = temporalOf(facts);
  const engine = {
    ...outside,
    ...temporal,
    API_LISTEN: places.apiListen,
    CALLBACK_LISTEN: places.callbackListen,
    CALLBACK_BASE_URL: places.callbackBaseUrl,
    CALLBACK_KEY: set(env['CALLBACK_KEY']) ?? facts.keys.callback,
    PAYER_NAME_KEY: set(env['PAYER_NAME_KEY']) ?? facts.keys.payerName,
    FINGERPRINT_KEY: set(env['FINGERPRINT_KEY']) ?? facts.keys.fingerprint,
    MTPAY_BASE_URL: places.mtpayBaseUrl,
    MTPAY_ACCESS_KEY: facts.embedded.sandbox ? facts.keys.mtpayAccess : (env['MTPAY_ACCESS_KEY'] ?? ''),
    MTPAY_SECRET_KEY: facts.embedded.sandbox ? facts.keys.mtpaySecret : (env['MTPAY_SECRET_KEY'] ?? ''),
    MTPAY_ACK: mtpayAck(env),
    // It goes to a file, and a quieter worker would not say that it is ready.
    LOG_LEVEL: env['LOG_LEVEL'] === 'debug' ? 'debug' : 'info',
  };
  return {
    // The embedded server registers the search attributes itself, so the migrations need not wait for it.
    migrate: { ...outside, ...database('DATABASE_URL', 'postgres') },
    api: { ...engine, ...database('DATABASE_URL_API', 'app_api') },
    worker: {
      ...engine,
      ...database('DATABASE_URL_WORKER', 'app_worker'),
      ...database('DATABASE_URL_DECISIONS', 'app_decisions'),
    },
    sandbox: sandboxEnvironment(env, facts, outside),
  };
}

/** The body that stops the provider's retries, as every process and `local.env` have it. */
export function mtpayAck(env: Environment): string {
  return set(env['MTPAY_ACK']) ?? 'text:SUCCESS';
}

function sandboxEnvironment(env: Environment, facts: Facts, outside: Record<string, string>): Record<string, string> {
  const listen = `127.0.0.1:${facts.ports.sandbox}`;
  const database =
    facts.postgresAt === null
      ? (set(env['DATABASE_URL_SANDBOX']) ?? env['DATABASE_URL'] ?? '')
      : embeddedUrl(facts.postgresAt, 'postgres', databases.sandbox);
  return {
    ...outside,
    // Retries that take the provider three days come within the hour, and a checkout's delays within a blink.
    SANDBOX_SPEED: set(env['SANDBOX_SPEED']) ?? '60',
    SANDBOX_LISTEN: listen,
    SANDBOX_PUBLIC_URL: `http://${listen}`,
    SANDBOX_ACCESS_KEY: facts.keys.mtpayAccess,
    SANDBOX_SECRET_KEY: facts.keys.mtpaySecret,
    SANDBOX_CONTROL_TOKEN: facts.keys.sandboxControl,
    DATABASE_URL_SANDBOX: database,
  };
}

/** What the user set, less what is about other servers than the embedded ones. */
function outsideOf(env: Environment, facts: Facts): Record<string, string> {
  const foreign = (name: string) =>
    (facts.postgresAt !== null && (/^PG[A-Z]/.test(name) || name.startsWith('DATABASE_URL'))) ||
    (facts.temporal !== null && name.startsWith('TEMPORAL_')) ||
    name.startsWith('npm_');
  return Object.fromEntries(
    Object.entries(env).flatMap(([name, value]) => (value === undefined || foreign(name) ? [] : [[name, value]])),
  );
}

function temporalOf(facts: Facts): Record<string, string> {
  if (facts.temporal === null) return {};
  const { address, uiUrl } = facts.temporal;
  return {
    TEMPORAL_ADDRESS: address,
    TEMPORAL_NAMESPACE: 'default',
    // A profile in the user's home may name another server, its key or its certificate.
    TEMPORAL_CONFIG_FILE: '/dev/null',
    ...(uiUrl === null ? {} : { TEMPORAL_UI_URL: uiUrl }),
  };
}

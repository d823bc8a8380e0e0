import { z } from 'zod';
import { known, parseFraction, parseUnitPrice } from '../domain/money.ts';
import type { DepositSettings } from '../domain/order.ts';

/** The environment is wrong; `message` lists every problem at once. Retrying does not help. */
export class ConfigError extends Error {}

const UNIT_MS = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;
const duration = z
  .string()
  .regex(/^\d+(ms|s|m|h|d)$/, 'expected a duration such as 30m, 73h or 500ms')
  .transform((text) => {
    const [, count, unit] = /^(\d+)(\w+)$/.exec(text)!;
    return Number(count) * UNIT_MS[unit as keyof typeof UNIT_MS];
  });

const listen = z
  .string()
  .refine((text) => isAddress(text), 'expected host:port')
  .transform((text) => {
    const [host, port] = text.split(':');
    return { host: host!, port: Number(port) };
  });

const isAddress = (text: string): boolean => /^[^:\s]+:\d{1,5}$/.test(text) && Number(text.split(':')[1]) <= 65_535;

const origin = z
  .string()
  .refine((text) => isOrigin(text), 'expected an origin such as https://pay.example, without a path')
  .transform((text) => new URL(text).origin);

function isOrigin(text: string): boolean {
  if (!URL.canParse(text)) return false;
  const { protocol, pathname, search } = new URL(text);
  return /^https?:$/.test(protocol) && pathname === '/' && search === '';
}

/** At least 32 bytes of key material as base64url. Marked so that printing a config by mistake shows nothing. */
export class Secret {
  readonly #bytes: Buffer;
  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }
  /** The key itself; for crypto only. */
  reveal(): Buffer {
    return this.#bytes;
  }
  toString(): string {
    return '[redacted]';
  }
  toJSON(): string {
    return '[redacted]';
  }
}
const key = z
  .string()
  .regex(/^[A-Za-z0-9_-]{43,}=*$/, 'expected at least 32 random bytes as base64url')
  .transform((text) => new Secret(Buffer.from(text, 'base64url')));
const text = z
  .string()
  .min(1)
  .transform((value) => new Secret(Buffer.from(value, 'utf8')));

const hosts = z.string().transform((value) =>
  value
    .split(',')
    .map((host) => host.trim())
    .filter((host) => host !== ''),
);

const band = (fallback: string) =>
  z
    .string()
    .default(fallback)
    .refine((value) => isBand(value), 'expected FROM-TO, two positive decimals, such as 6.5-8.0')
    .transform((value) => {
      const [from, to] = value.split('-');
      return { from: from!, to: to! };
    });

function isBand(value: string): boolean {
  const [from, to, more] = value.split('-').map((part) => parseUnitPrice(part));
  return more === undefined && from?.ok === true && to?.ok === true && from.value <= to.value;
}

const decimal = (fallback: string) =>
  z
    .string()
    .default(fallback)
    .refine((value) => parseFraction(value).ok, 'expected a decimal of 0 or more, at most 8 decimals');

/** `text:SUCCESS` or `json:{"success":true}`: the exact body and type that stop the provider's retries. */
const ack = z
  .string()
  .default('text:SUCCESS')
  .refine(
    (value) => /^text:.+/s.test(value) || (value.startsWith('json:') && isJson(value.slice(5))),
    'expected text:… or json:{…}',
  )
  .transform((value) => ({
    contentType: value.startsWith('json:') ? 'application/json' : 'text/plain',
    body: value.slice(5),
  }));

function isJson(value: string): boolean {
  try {
    JSON.parse(value);
    return true;
  } catch {
    return false;
  }
}

const LOOPBACK = ['127.0.0.1', 'localhost', '[::1]'];

const shared = {
  DATABASE_URL: z.string().min(1).optional(),
  MTPAY_BASE_URL: z.url({ protocol: /^https?$/ }),
  MTPAY_ACCESS_KEY: text,
  MTPAY_SECRET_KEY: text,
  CALLBACK_BASE_URL: origin,
  CALLBACK_KEY: key,
  PAYER_NAME_KEY: key,
  MTPAY_PLAIN_HTTP_HOSTS: hosts.default(LOOPBACK),
  LOG_LEVEL: z.enum(['debug', 'info', 'warn', 'error', 'silent']).default('info'),
};

const workerSchema = z.object({
  ...shared,
  DATABASE_URL_WORKER: z.string().min(1).optional(),
  DATABASE_URL_DECISIONS: z.string().min(1).optional(),
  MTPAY_PLACE_PATH: z.string().startsWith('/').default('/api/buy-coin/transaction'),
  MTPAY_REDIRECT_HOSTS: hosts.optional(),
  MTPAY_CA_FILE: z.string().optional(),
  MTPAY_DEADLINE: duration
    .default(25 * UNIT_MS.s)
    .refine((ms) => ms <= 25_000, 'at most 25s, below the 30s of the activity'),
  PLACE_WITHIN: duration.default(2 * UNIT_MS.m),
  WORKFLOW_BUNDLE: z.string().optional(),
});

const apiSchema = z.object({
  ...shared,
  DATABASE_URL_API: z.string().min(1).optional(),
  API_LISTEN: listen.default({ host: '127.0.0.1', port: 8080 }),
  CALLBACK_LISTEN: listen.default({ host: '127.0.0.1', port: 8081 }),
  FINGERPRINT_KEY: key,
  MTPAY_ACK: ack,
  TEMPORAL_UI_URL: origin.optional(),
  PAYMENT_WINDOW: duration.default(30 * UNIT_MS.m),
  LISTENING_WINDOW: duration.default(73 * UNIT_MS.h),
  LATE_POLICY: z.enum(['credit', 'review']).default('credit'),
  RATE_BAND_CNY: band('6.5-8.0'),
  RATE_BAND_HKD: band('7.0-8.6'),
  RATE_BAND_TWD: band('28-36'),
  FEE_BAND: decimal('0').refine(
    (value) => !parseFraction(value).ok || known(parseFraction(value), 'FEE_BAND') < 100_000_000n,
    'expected a share below 1',
  ),
  REVIEW_LIMIT: decimal('0'),
});

type Raw<T extends z.ZodType> = z.output<T>;

/** One address of the database, and the role to take on when the address is not the role's own. */
export interface DatabaseConfig {
  readonly url: string;
  readonly setRole: boolean;
}

export interface MtpayConfig {
  readonly baseUrl: string;
  readonly accessKey: Secret;
  readonly secretKey: Secret;
}

export interface WorkerConfig {
  readonly database: DatabaseConfig;
  /** Of the role that alone may carry out what people decide. */
  readonly decisions: DatabaseConfig;
  readonly mtpay: MtpayConfig & {
    readonly placeUrl: string;
    readonly redirectHosts: readonly string[];
    readonly plainHttpHosts: readonly string[];
    readonly caFile?: string;
  };
  readonly callbackBaseUrl: string;
  readonly callbackKey: Secret;
  readonly payerNameKey: Secret;
  readonly placeWithinMs: number;
  readonly callDeadlineMs: number;
  readonly workflowBundle?: string;
  readonly logLevel: string;
}

export interface ApiConfig {
  readonly database: DatabaseConfig;
  readonly mtpay: MtpayConfig;
  readonly apiListen: { readonly host: string; readonly port: number };
  readonly callbackListen: { readonly host: string; readonly port: number };
  readonly callbackKey: Secret;
  readonly payerNameKey: Secret;
  readonly fingerprintKey: Secret;
  readonly ack: { readonly contentType: string; readonly body: string };
  readonly temporalUiUrl?: string;
  readonly settings: DepositSettings;
  readonly logLevel: string;
}

type Environment = Readonly<Record<string, string | undefined>>;

/** The worker's settings. Throws {@link ConfigError} that names every variable at fault and never shows a value. */
export function loadWorkerConfig(env: Environment = process.env): WorkerConfig {
  const raw = parse(workerSchema, env, ['DATABASE_URL_WORKER', 'DATABASE_URL_DECISIONS']);
  const base = new URL(raw.MTPAY_BASE_URL);
  return {
    database: database(raw.DATABASE_URL_WORKER, raw.DATABASE_URL),
    decisions: database(raw.DATABASE_URL_DECISIONS, raw.DATABASE_URL),
    mtpay: {
      ...mtpay(raw),
      placeUrl: new URL(raw.MTPAY_PLACE_PATH, base).href,
      redirectHosts: raw.MTPAY_REDIRECT_HOSTS ?? [base.host],
      plainHttpHosts: raw.MTPAY_PLAIN_HTTP_HOSTS,
      ...(raw.MTPAY_CA_FILE === undefined ? {} : { caFile: raw.MTPAY_CA_FILE }),
    },
    callbackBaseUrl: raw.CALLBACK_BASE_URL,
    callbackKey: raw.CALLBACK_KEY,
    payerNameKey: raw.PAYER_NAME_KEY,
    placeWithinMs: raw.PLACE_WITHIN,
    callDeadlineMs: raw.MTPAY_DEADLINE,
    ...(raw.WORKFLOW_BUNDLE === undefined ? {} : { workflowBundle: raw.WORKFLOW_BUNDLE }),
    logLevel: raw.LOG_LEVEL,
  };
}

/** The API's settings. Throws {@link ConfigError} that names every variable at fault and never shows a value. */
export function loadApiConfig(env: Environment = process.env): ApiConfig {
  const raw = parse(apiSchema, env, ['DATABASE_URL_API']);
  return {
    database: database(raw.DATABASE_URL_API, raw.DATABASE_URL),
    mtpay: mtpay(raw),
    apiListen: raw.API_LISTEN,
    callbackListen: raw.CALLBACK_LISTEN,
    callbackKey: raw.CALLBACK_KEY,
    payerNameKey: raw.PAYER_NAME_KEY,
    fingerprintKey: raw.FINGERPRINT_KEY,
    ack: raw.MTPAY_ACK,
    ...(raw.TEMPORAL_UI_URL === undefined ? {} : { temporalUiUrl: raw.TEMPORAL_UI_URL }),
    settings: {
      rateBands: { CNY: raw.RATE_BAND_CNY, HKD: raw.RATE_BAND_HKD, TWD: raw.RATE_BAND_TWD },
      feeBand: raw.FEE_BAND,
      latePolicy: raw.LATE_POLICY,
      paymentWindowMs: raw.PAYMENT_WINDOW,
      listeningWindowMs: raw.LISTENING_WINDOW,
      reviewLimit: raw.REVIEW_LIMIT,
    },
    logLevel: raw.LOG_LEVEL,
  };
}

/** The address migrations use: the owner's. */
export function loadMigrationUrl(env: Environment = process.env): string {
  const { DATABASE_URL_MIGRATOR, DATABASE_URL } = withoutEmpty(env);
  const url = DATABASE_URL_MIGRATOR ?? DATABASE_URL;
  if (url === undefined) throw new ConfigError('DATABASE_URL is not set: give the database to migrate');
  return url;
}

/** An empty variable is one that is not set: compose files and shells cannot leave one out easily. */
const withoutEmpty = (env: Environment): Environment =>
  Object.fromEntries(Object.entries(env).filter(([, value]) => value !== undefined && value !== ''));

function parse<T extends z.ZodType>(schema: T, env: Environment, ownDatabases: readonly string[]): Raw<T> {
  const given = withoutEmpty(env);
  const result = schema.safeParse(given);
  const single = (result.error?.issues ?? []).map((issue) => {
    const name = issue.path.join('.');
    return `${name}: ${given[name] === undefined ? 'is not set' : issue.message}`;
  });
  const problems = [...single, ...jointProblems(given, ownDatabases)];
  if (result.success && problems.length === 0) return result.data;
  const lines = problems.map((problem) => `  ${problem}`);
  throw new ConfigError(`the configuration has ${problems.length} problem(s):\n${lines.join('\n')}`);
}

/** What no variable can say of itself. */
function jointProblems(given: Environment, ownDatabases: readonly string[]): string[] {
  const problems = ownDatabases
    .filter((own) => given[own] === undefined && given['DATABASE_URL'] === undefined)
    .map((own) => `DATABASE_URL: neither it nor ${own} is set`);
  const base = given['MTPAY_BASE_URL'] ?? '';
  const url = URL.canParse(base) ? new URL(base) : null;
  const plainHosts = hosts.default(LOOPBACK).parse(given['MTPAY_PLAIN_HTTP_HOSTS']);
  if (url?.protocol === 'http:' && !plainHosts.includes(url.hostname) && !plainHosts.includes(url.host)) {
    problems.push(`MTPAY_BASE_URL: plain HTTP; use https or name ${url.hostname} in MTPAY_PLAIN_HTTP_HOSTS`);
  }
  return problems;
}

const database = (own: string | undefined, common: string | undefined): DatabaseConfig =>
  own === undefined ? { url: common!, setRole: true } : { url: own, setRole: false };

const mtpay = (
  raw: Pick<Raw<typeof apiSchema>, 'MTPAY_BASE_URL' | 'MTPAY_ACCESS_KEY' | 'MTPAY_SECRET_KEY'>,
): MtpayConfig => ({
  baseUrl: raw.MTPAY_BASE_URL,
  accessKey: raw.MTPAY_ACCESS_KEY,
  secretKey: raw.MTPAY_SECRET_KEY,
});

import { isIPv6 } from 'node:net';
import { z } from 'zod';
import { known, parseFraction, parseMtc, parseUnitPrice } from '../domain/money.ts';
import { CURRENCIES, type Currency, type DepositSettings } from '../domain/order.ts';
import { KeySource } from './key-source.ts';
import { LOOPBACK } from './loopback.ts';
import { type KeyName, keyVariables, parseKeys } from './keys.ts';
import { parseOperatorKeys, type SignatureTrust } from './operator-keys.ts';
import { providerProxy } from './provider-proxy.ts';
import type { Secret } from './secret.ts';
import { type Environment, withSecretFiles } from './secret-files.ts';

export { Secret } from './secret.ts';

/** The environment is wrong; `message` lists every problem at once. Retrying does not help. */
export class ConfigError extends Error {}

const UNIT_MS = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;
const duration = z
  .string()
  .regex(/^\d+(ms|s|m|h|d)$/, 'expected a duration such as 30m, 73h or 500ms')
  .transform((text) => {
    const [, count, unit] = /^(\d+)(\w+)$/.exec(text)!;
    return Number(count) * UNIT_MS[unit as keyof typeof UNIT_MS];
  })
  // What is added to a time stays a time.
  .refine((ms) => ms <= 3_660 * UNIT_MS.d, 'at most 3660d');

/** `host:port`, an IPv6 host in brackets, as in a URL. */
const ADDRESS = /^(?:\[([^\]\s]+)\]|([^:\s[\]]+)):(\d{1,5})$/;
const listen = z
  .string()
  .refine((text) => isAddress(text), 'expected host:port, such as 127.0.0.1:8080 or [::1]:8080')
  .transform((text) => {
    const [, inBrackets, name, port] = ADDRESS.exec(text)!;
    return { host: (inBrackets ?? name)!, port: Number(port) };
  });

function isAddress(text: string): boolean {
  const [, inBrackets, , port] = ADDRESS.exec(text) ?? [];
  return port !== undefined && Number(port) <= 65_535 && (inBrackets === undefined || isIPv6(inBrackets));
}

const origin = z
  .string()
  .refine((text) => isOrigin(text), 'expected an origin such as https://pay.example, without a path')
  .transform((text) => new URL(text).origin);

function isOrigin(text: string): boolean {
  if (!URL.canParse(text)) return false;
  const { protocol, pathname, search } = new URL(text);
  return /^https?:$/.test(protocol) && pathname === '/' && search === '';
}

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

const count = (fallback: string) =>
  z
    .string()
    .default(fallback)
    .refine((value) => /^[1-9]\d{0,5}$/.test(value), 'expected a whole number from 1 to 999999')
    .transform(Number);
/** Of one pool. Two at least: one may wait for what the other does. */
const connections = (fallback: number) =>
  z
    .string()
    .default(String(fallback))
    .refine((value) => /^\d{1,3}$/.test(value) && Number(value) >= 2, 'expected a whole number from 2 to 999')
    .transform(Number);
/** Below 1: a band of everything would be none. */
const share = z
  .string()
  .refine((value) => isShare(value), 'expected a share of 0 or more and below 1, at most 8 decimals');

function isShare(value: string): boolean {
  const parsed = parseFraction(value);
  return parsed.ok && parsed.value < known(parseFraction('1'), 'one');
}

/**
 * `text:SUCCESS` or `json:{"success":true}`: the exact body and type that stop the provider's retries. A file with the
 * line ends of Windows leaves a carriage return at its end, which no eye sees and which the provider takes for another body.
 */
const ack = z
  .string()
  .default('text:SUCCESS')
  .refine(
    (value) => /^(text:|json:)\S(.*\S)?$/.test(value) && !/\p{Cc}/u.test(value) && isAckJson(value),
    'expected text:… or json:{…}, without control characters, and without blanks at either end',
  )
  .transform((value) => ({
    contentType: value.startsWith('json:') ? 'application/json' : 'text/plain',
    body: value.slice(5),
  }));

function isAckJson(value: string): boolean {
  if (!value.startsWith('json:')) return true;
  try {
    JSON.parse(value.slice(5));
    return true;
  } catch {
    return false;
  }
}

const NO_DATABASE_URL = 'expected postgres://user:password@host:port/database';
/** Checked here, because the driver's own complaint about an address shows all of it, the password included. */
const databaseUrl = z.string().refine((text) => isDatabaseUrl(text), NO_DATABASE_URL);

/** Without a host it is a socket of this machine, which URLs of the web do not have. */
const isDatabaseUrl = (text: string): boolean =>
  /^postgres(ql)?:\/\/\P{Cc}*$/u.test(text) && URL.canParse(text.replace(/(\/\/[^/]*@|\/\/)\//, '$1localhost/'));

/** The id of an inbox row; 0: before all of them. */
const sealEpoch = z.string().regex(/^(0|[1-9]\d{0,17})$/, 'expected the id of an inbox row, or 0');

/** A list that is wrong is told with the rest; where it is asked for nothing, it may be empty. */
const operatorKeys = z
  .string()
  .default('')
  .superRefine((list, context) => {
    const { problem } = parseOperatorKeys(list);
    if (problem !== null) context.addIssue({ code: 'custom', message: problem });
  });
const signatures = {
  DECISION_SIGNATURES: z.enum(['off', 'required']).default('off'),
  OPERATOR_PUBLIC_KEYS: operatorKeys,
};

const shared = {
  DATABASE_URL: databaseUrl.optional(),
  MTPAY_BASE_URL: z.url({ protocol: /^https?$/ }),
  MTPAY_REDIRECT_HOSTS: hosts.optional(),
  MTPAY_PLAIN_HTTP_HOSTS: hosts.default(LOOPBACK),
  ARCHIVE_DIRECTORY: z.string().optional(),
  INBOX_SEAL_EPOCH: sealEpoch.optional(),
  ...signatures,
  RESTORED_FROM_EMPTY: z.enum(['0', '1']).default('0'),
  LOG_LEVEL: z.enum(['debug', 'info', 'warn', 'error', 'silent']).default('info'),
};

/** Below a second there would be more residues than one; beyond a minute a stamp would be far off. */
const stampGrid = duration
  .default(UNIT_MS.s)
  .refine((ms) => ms % UNIT_MS.s === 0 && ms <= UNIT_MS.m, 'expected 0s, or whole seconds from 1s to 60s');

const workerSchema = z.object({
  ...shared,
  DATABASE_URL_WORKER: databaseUrl.optional(),
  DATABASE_URL_DECISIONS: databaseUrl.optional(),
  CALLBACK_BASE_URL: origin,
  MTPAY_PLACE_PATH: z.string().startsWith('/').default('/api/buy-coin/transaction'),
  MTPAY_CA_FILE: z.string().optional(),
  MTPAY_DEADLINE: duration
    .default(25 * UNIT_MS.s)
    .refine((ms) => ms <= 25_000, 'at most 25s, below the 30s of the activity'),
  OWN_STAMP_GRID: stampGrid,
  PLACE_WITHIN: duration.default(2 * UNIT_MS.m),
  PAYER_NAME_RETENTION: duration.default(24 * UNIT_MS.h),
  PRUNE_AFTER: duration.default(90 * UNIT_MS.d).refine((ms) => ms >= 7 * UNIT_MS.d, 'at least 7d'),
  WORKFLOW_BUNDLE: z.string().optional(),
  WORKER_CONNECTIONS: connections(20),
});

const apiSchema = z.object({
  ...shared,
  DATABASE_URL_API: databaseUrl.optional(),
  API_LISTEN: listen.default({ host: '127.0.0.1', port: 8080 }),
  CALLBACK_LISTEN: listen.default({ host: '127.0.0.1', port: 8081 }),
  MTPAY_ACK: ack,
  TEMPORAL_UI_URL: origin.optional(),
  PAYMENT_WINDOW: duration.default(30 * UNIT_MS.m),
  LISTENING_WINDOW: duration.default(73 * UNIT_MS.h),
  LATE_POLICY: z.enum(['credit', 'review']).default('credit'),
  RATE_BAND_CNY: band('6.5-8.0'),
  RATE_BAND_HKD: band('7.0-8.6'),
  RATE_BAND_TWD: band('28-36'),
  FEE_BAND: share.default('0'),
  FEE_BAND_CNY: share.optional(),
  FEE_BAND_HKD: share.optional(),
  FEE_BAND_TWD: share.optional(),
  CREDIT_CAP: z
    .string()
    .refine((value) => parseMtc(value).ok, 'expected an amount of MTC above 0, at most 8 decimals')
    .optional(),
  REVIEW_LIMIT: decimal('0'),
  API_RATE_LIMIT: count('500'),
  API_RATE_BURST: count('1000'),
  API_FAILURE_LIMIT: count('20'),
  API_FAILURE_BURST: count('200'),
  API_CONNECTIONS: connections(8),
});

const callbacksSchema = apiSchema.pick({
  DATABASE_URL: true,
  DATABASE_URL_API: true,
  API_LISTEN: true,
  CALLBACK_LISTEN: true,
  API_CONNECTIONS: true,
  MTPAY_ACK: true,
  PAYMENT_WINDOW: true,
  LISTENING_WINDOW: true,
  RESTORED_FROM_EMPTY: true,
  LOG_LEVEL: true,
});

const codecServerSchema = z.object({
  DATABASE_URL: shared.DATABASE_URL,
  DATABASE_URL_API: databaseUrl.optional(),
  CODEC_LISTEN: listen.default({ host: '127.0.0.1', port: 8082 }),
  TEMPORAL_UI_URL: origin,
  LOG_LEVEL: shared.LOG_LEVEL,
});

type Raw<T extends z.ZodType> = z.output<T>;

/** An address of the database; whoever uses it works as its own role there. */
export interface DatabaseConfig {
  readonly url: string;
}

/** Each process knows the keys it works with and no others. */
const WORKER_NEEDS = {
  databases: ['DATABASE_URL_WORKER', 'DATABASE_URL_DECISIONS'],
  addresses: ['MTPAY_BASE_URL', 'CALLBACK_BASE_URL'],
  keys: ['mtpay', 'callback', 'payerName', 'inboxSealPublic'],
  callsProvider: true,
} as const satisfies Needs<KeyName>;
const API_NEEDS = {
  databases: ['DATABASE_URL_API'],
  addresses: ['MTPAY_BASE_URL'],
  keys: ['mtpay', 'callback', 'payerName', 'fingerprint', 'inboxSeal', 'inboxSealPublic'],
} as const satisfies Needs<KeyName>;
const CALLBACKS_NEEDS = {
  databases: ['DATABASE_URL_API'],
  addresses: [],
  keys: ['mtpay', 'callback', 'inboxSeal', 'inboxSealPublic'],
} as const satisfies Needs<KeyName>;
const CODEC_SERVER_NEEDS = { databases: ['DATABASE_URL_API'], addresses: [], keys: [] } as const;

export interface WorkerConfig {
  readonly database: DatabaseConfig;
  /** Of the role that alone may carry out what people decide. */
  readonly decisions: DatabaseConfig;
  /** At most so many connections to the database, beside two for decisions. */
  readonly connections: number;
  readonly keys: KeySource<(typeof WORKER_NEEDS.keys)[number]>;
  readonly mtpay: {
    readonly placeUrl: string;
    readonly redirectHosts: readonly string[];
    readonly plainHttpHosts: readonly string[];
    readonly caFile?: string;
    /** The proxy through which the provider is called; it may hold a password. */
    readonly proxy?: string;
  };
  readonly callbackBaseUrl: string;
  /** From the deposit's creation; then its payer's name is erased. */
  readonly payerNameRetentionMs: number;
  /** Rows that are older and that nothing needs are deleted; at least a week. */
  readonly pruneAfterMs: number;
  readonly placeWithinMs: number;
  readonly callDeadlineMs: number;
  /** On what grid placements are stamped; 0: on none. */
  readonly ownStampGridMs: number;
  readonly workflowBundle?: string;
  /** Where archived texts are kept; not given: in the database. */
  readonly archiveDirectory?: string;
  /** Up to which inbox row none needs a seal, whatever the database says; null: as the database says. */
  readonly sealEpoch: string | null;
  /** With what people's steps are verified. */
  readonly signatures: SignatureTrust;
  /** An empty database beside a Temporal that knows deposits is meant (docs/guides/restore.md). */
  readonly restoredFromEmpty: boolean;
  readonly logLevel: string;
}

export interface ApiConfig {
  readonly database: DatabaseConfig;
  /** At most so many connections of each of the three pools, beside one that listens. */
  readonly connections: number;
  readonly keys: KeySource<(typeof API_NEEDS.keys)[number]>;
  readonly apiListen: { readonly host: string; readonly port: number };
  readonly callbackListen: { readonly host: string; readonly port: number };
  readonly ack: { readonly contentType: string; readonly body: string };
  /** To which hosts a checkout link may lead that is served. */
  readonly links: { readonly redirectHosts: readonly string[]; readonly plainHttpHosts: readonly string[] };
  readonly temporalUiUrl?: string;
  /** Requests of one key, and failed authentications from one address: tokens a second, and what may come at once. */
  readonly limits: Readonly<Record<'key' | 'failure', { readonly perSecond: number; readonly burst: number }>>;
  /** Where histories are archived; absent: in the database. */
  readonly archiveDirectory?: string;
  readonly settings: DepositSettings;
  /** Up to which inbox row none needs a seal, whatever the database says; null: as the database says. */
  readonly sealEpoch: string | null;
  /** With what people's steps are verified. */
  readonly signatures: SignatureTrust;
  /** An empty database beside a Temporal that knows deposits is meant (docs/guides/restore.md). */
  readonly restoredFromEmpty: boolean;
  readonly logLevel: string;
}

/** Of a process that takes callbacks and does nothing else. */
export interface CallbacksConfig
  extends Pick<
    ApiConfig,
    'database' | 'connections' | 'apiListen' | 'callbackListen' | 'ack' | 'restoredFromEmpty' | 'logLevel'
  > {
  readonly keys: KeySource<(typeof CALLBACKS_NEEDS.keys)[number]>;
  readonly settings: Pick<DepositSettings, 'paymentWindowMs' | 'listeningWindowMs'>;
}

export interface CodecServerConfig {
  readonly database: DatabaseConfig;
  readonly listen: { readonly host: string; readonly port: number };
  /** The Web UI's. */
  readonly origin: string;
  readonly logLevel: string;
}

/** The worker's settings. Throws {@link ConfigError} that names every variable at fault and never shows a value. */
export function loadWorkerConfig(env: Environment = process.env): WorkerConfig {
  const { raw, keys } = parse(workerSchema, env, WORKER_NEEDS);
  const base = new URL(raw.MTPAY_BASE_URL);
  const { proxy } = providerProxy(env);
  return {
    database: database(raw.DATABASE_URL_WORKER, raw.DATABASE_URL),
    decisions: database(raw.DATABASE_URL_DECISIONS, raw.DATABASE_URL),
    connections: raw.WORKER_CONNECTIONS,
    keys,
    mtpay: {
      placeUrl: new URL(raw.MTPAY_PLACE_PATH, base).href,
      ...linkRules(raw),
      ...(raw.MTPAY_CA_FILE === undefined ? {} : { caFile: raw.MTPAY_CA_FILE }),
      ...(proxy === null ? {} : { proxy }),
    },
    callbackBaseUrl: raw.CALLBACK_BASE_URL,
    payerNameRetentionMs: raw.PAYER_NAME_RETENTION,
    pruneAfterMs: raw.PRUNE_AFTER,
    placeWithinMs: raw.PLACE_WITHIN,
    callDeadlineMs: raw.MTPAY_DEADLINE,
    ownStampGridMs: raw.OWN_STAMP_GRID,
    sealEpoch: raw.INBOX_SEAL_EPOCH ?? null,
    signatures: trustIn(raw),
    restoredFromEmpty: raw.RESTORED_FROM_EMPTY === '1',
    ...(raw.WORKFLOW_BUNDLE === undefined ? {} : { workflowBundle: raw.WORKFLOW_BUNDLE }),
    ...(raw.ARCHIVE_DIRECTORY === undefined ? {} : { archiveDirectory: raw.ARCHIVE_DIRECTORY }),
    logLevel: raw.LOG_LEVEL,
  };
}

const linkRules = (raw: {
  readonly MTPAY_BASE_URL: string;
  readonly MTPAY_REDIRECT_HOSTS?: string[] | undefined;
  readonly MTPAY_PLAIN_HTTP_HOSTS: string[];
}) => ({
  redirectHosts: raw.MTPAY_REDIRECT_HOSTS ?? [new URL(raw.MTPAY_BASE_URL).host],
  plainHttpHosts: raw.MTPAY_PLAIN_HTTP_HOSTS,
});

/** Where checkout links may lead, for an audit; undefined: nothing says so. Throws {@link ConfigError}. */
export function loadLinkRules(env: Environment = process.env): ReturnType<typeof linkRules> | undefined {
  const { MTPAY_BASE_URL, MTPAY_REDIRECT_HOSTS, MTPAY_PLAIN_HTTP_HOSTS } = shared;
  const schema = z.object({ MTPAY_BASE_URL: MTPAY_BASE_URL.optional(), MTPAY_REDIRECT_HOSTS, MTPAY_PLAIN_HTTP_HOSTS });
  const result = schema.safeParse(env);
  if (!result.success)
    throw configError(result.error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`));
  const { MTPAY_BASE_URL: base, ...hosts } = result.data;
  if (base === undefined && hosts.MTPAY_REDIRECT_HOSTS === undefined) return undefined;
  return linkRules({ ...hosts, MTPAY_BASE_URL: base ?? 'https://none.invalid' });
}

/** The API's settings. Throws {@link ConfigError} that names every variable at fault and never shows a value. */
export function loadApiConfig(env: Environment = process.env): ApiConfig {
  const { raw, keys } = parse(apiSchema, env, API_NEEDS);
  return {
    ...doors(raw),
    keys,
    links: linkRules(raw),
    ...(raw.TEMPORAL_UI_URL === undefined ? {} : { temporalUiUrl: raw.TEMPORAL_UI_URL }),
    limits: {
      key: { perSecond: raw.API_RATE_LIMIT, burst: raw.API_RATE_BURST },
      failure: { perSecond: raw.API_FAILURE_LIMIT, burst: raw.API_FAILURE_BURST },
    },
    ...(raw.ARCHIVE_DIRECTORY === undefined ? {} : { archiveDirectory: raw.ARCHIVE_DIRECTORY }),
    settings: {
      rateBands: { CNY: raw.RATE_BAND_CNY, HKD: raw.RATE_BAND_HKD, TWD: raw.RATE_BAND_TWD },
      feeBand: raw.FEE_BAND,
      ...feeBands(raw),
      ...(raw.CREDIT_CAP === undefined ? {} : { creditCap: raw.CREDIT_CAP }),
      latePolicy: raw.LATE_POLICY,
      paymentWindowMs: raw.PAYMENT_WINDOW,
      listeningWindowMs: raw.LISTENING_WINDOW,
      reviewLimit: raw.REVIEW_LIMIT,
    },
    sealEpoch: raw.INBOX_SEAL_EPOCH ?? null,
    signatures: trustIn(raw),
  };
}

/** The settings of a process for callbacks alone. Throws {@link ConfigError} that names every variable at fault and never shows a value. */
export function loadCallbacksConfig(env: Environment = process.env): CallbacksConfig {
  const { raw, keys } = parse(callbacksSchema, env, CALLBACKS_NEEDS);
  const settings = { paymentWindowMs: raw.PAYMENT_WINDOW, listeningWindowMs: raw.LISTENING_WINDOW };
  return { ...doors(raw), keys, settings };
}

/** What every process with a callback listener has. */
const doors = (raw: Raw<typeof callbacksSchema>) => ({
  database: database(raw.DATABASE_URL_API, raw.DATABASE_URL),
  connections: raw.API_CONNECTIONS,
  apiListen: raw.API_LISTEN,
  callbackListen: raw.CALLBACK_LISTEN,
  ack: raw.MTPAY_ACK,
  restoredFromEmpty: raw.RESTORED_FROM_EMPTY === '1',
  logLevel: raw.LOG_LEVEL,
});

/** Only what was said: a setting that is absent is absent from the deposit as well. */
function feeBands(raw: Raw<typeof apiSchema>): Pick<DepositSettings, 'feeBands'> {
  const own: Partial<Record<Currency, string>> = {};
  for (const currency of CURRENCIES) {
    const band = raw[`FEE_BAND_${currency}`];
    if (band !== undefined) own[currency] = band;
  }
  return Object.keys(own).length === 0 ? {} : { feeBands: own };
}

/** The codec server's settings. Throws {@link ConfigError} that names every variable at fault and never shows a value. */
export function loadCodecServerConfig(env: Environment = process.env): CodecServerConfig {
  const { raw } = parse(codecServerSchema, env, CODEC_SERVER_NEEDS);
  return {
    database: database(raw.DATABASE_URL_API, raw.DATABASE_URL),
    listen: raw.CODEC_LISTEN,
    origin: raw.TEMPORAL_UI_URL,
    logLevel: raw.LOG_LEVEL,
  };
}

const trustIn = (raw: { DECISION_SIGNATURES: 'off' | 'required'; OPERATOR_PUBLIC_KEYS: string }): SignatureTrust => ({
  required: raw.DECISION_SIGNATURES === 'required',
  keys: parseOperatorKeys(raw.OPERATOR_PUBLIC_KEYS).keys,
});

/** With what an audit verifies people's steps; none up to `after` needs a signature. Throws {@link ConfigError}. */
export function loadSignatureConfig(env: Environment = process.env): {
  readonly trust: SignatureTrust;
  readonly after: string;
} {
  const { values } = withSecretFiles(env, []);
  const schema = z.object({
    ...signatures,
    DECISION_SIGNATURES_AFTER: z
      .string()
      .default('0')
      .refine((id) => /^(0|[1-9]\d{0,17})$/.test(id), 'expected the id of a step, or 0'),
  });
  const result = schema.safeParse(values);
  if (!result.success)
    throw configError(result.error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`));
  return { trust: trustIn(result.data), after: result.data.DECISION_SIGNATURES_AFTER };
}

/** With what an audit verifies the seals of inbox rows. */
export interface SealConfig {
  readonly publicKeys: Secret;
  readonly sealEpoch: string | null;
}

/**
 * What an audit needs for the seals of inbox rows. `ours`: the public key of the local stack, where it is that which is
 * audited. Throws {@link ConfigError}.
 */
export function loadSealConfig(ours: string | null = null, env: Environment = process.env): SealConfig {
  const { values, problems: unread } = withSecretFiles(env, keyVariables(['inboxSealPublic']));
  const given = { INBOX_SEAL_PUBLIC_KEYS: values['INBOX_SEAL_PUBLIC_KEYS'] ?? ours ?? undefined };
  const { keys, problems } = parseKeys(given, ['inboxSealPublic'], { samples: true });
  const epoch = sealEpoch.optional().safeParse(values['INBOX_SEAL_EPOCH']);
  const wrong = epoch.success ? [] : epoch.error.issues.map(({ message }) => `INBOX_SEAL_EPOCH: ${message}`);
  const all = [...unread, ...problems, ...wrong];
  if (keys === null || all.length > 0) throw configError(all);
  return { publicKeys: keys.inboxSealPublic.current, sealEpoch: epoch.data ?? null };
}

/** The private key of the seals, for who registers it. Throws {@link ConfigError}. */
export function loadSealKey(env: Environment = process.env): Secret {
  const { values, problems: unread } = withSecretFiles(env, keyVariables(['inboxSeal']));
  const { keys, problems } = parseKeys(values, ['inboxSeal'], { samples: true });
  if (keys === null || unread.length > 0) throw configError([...unread, ...problems]);
  return keys.inboxSeal.current;
}

/** The same where it is set; null: it is not. */
export function loadSealKeyIfSet(env: Environment = process.env): Secret | null {
  const { values } = withSecretFiles(env, keyVariables(['inboxSeal']));
  return values['INBOX_SEAL_KEY'] === undefined ? null : loadSealKey(env);
}

const scheduleSchema = z.object({
  ARCHIVE_EVERY: duration.default(UNIT_MS.m).refine((ms) => ms >= UNIT_MS.s, 'at least 1s'),
});

/** How often closed workflows are archived, in milliseconds. Throws {@link ConfigError}. */
export function loadArchiveEvery(env: Environment = process.env): number {
  const { values } = withSecretFiles(env, []);
  const result = scheduleSchema.safeParse(values);
  if (!result.success) throw configError(result.error.issues.map(({ message }) => `ARCHIVE_EVERY: ${message}`));
  return result.data.ARCHIVE_EVERY;
}

/** The address migrations use: the owner's. */
export function loadMigrationUrl(env: Environment = process.env): string {
  const { values, problems } = withSecretFiles(env, ['DATABASE_URL_MIGRATOR', 'DATABASE_URL']);
  if (problems.length > 0) throw configError(problems);
  const url = values['DATABASE_URL_MIGRATOR'] ?? values['DATABASE_URL'];
  if (url === undefined) throw new ConfigError('DATABASE_URL is not set: give the database to migrate');
  const name = values['DATABASE_URL_MIGRATOR'] === undefined ? 'DATABASE_URL' : 'DATABASE_URL_MIGRATOR';
  if (!isDatabaseUrl(url)) throw new ConfigError(`${name}: ${NO_DATABASE_URL}`);
  return url;
}

interface Needs<N extends KeyName> {
  /** The variables of the process's own database addresses. */
  readonly databases: readonly string[];
  /** Addresses that are https, unless their host is allowed plain HTTP. */
  readonly addresses: readonly ('MTPAY_BASE_URL' | 'CALLBACK_BASE_URL')[];
  readonly keys: readonly N[];
  /** Whether the process calls the provider, maybe through a proxy. */
  readonly callsProvider?: true;
}

/** Every problem at once. Variables that hold secrets may be given as files; those of keys are read again later. */
function parse<T extends z.ZodType, N extends KeyName>(
  schema: T,
  env: Environment,
  needs: Needs<N>,
): { readonly raw: Raw<T>; readonly keys: KeySource<N> } {
  const secrets = [...needs.databases, 'DATABASE_URL', ...keyVariables(needs.keys)];
  const { values: given, problems: unread } = withSecretFiles(env, secrets);
  const result = schema.safeParse(given);
  const single = (result.error?.issues ?? []).map((issue) => {
    const name = issue.path.join('.');
    return `${name}: ${given[name] === undefined ? 'is not set' : issue.message}`;
  });
  const samples = isLocalStack(given);
  const { keys, problems: wrongKeys } = parseKeys(given, needs.keys, { samples });
  const problems = [...unread, ...single, ...wrongKeys, ...jointProblems(given, needs)];
  if (!result.success || keys === null || problems.length > 0) throw configError(problems);
  return { raw: result.data, keys: new KeySource(env, needs.keys, { samples }, { values: given, keys }) };
}

const configError = (problems: readonly string[]): ConfigError =>
  new ConfigError(
    `the configuration has ${problems.length} problem(s):\n${problems.map((problem) => `  ${problem}`).join('\n')}`,
  );

/** A provider on this machine, and not production: only there may a key be one that anybody could guess. */
export function isLocalStack(given: Environment): boolean {
  const base = given['MTPAY_BASE_URL'] ?? '';
  return given['NODE_ENV'] !== 'production' && URL.canParse(base) && LOOPBACK.includes(new URL(base).hostname);
}

/** What no variable can say of itself. */
function jointProblems(given: Environment, needs: Needs<KeyName>): string[] {
  const problems = needs.databases
    .filter((own) => given[own] === undefined && given['DATABASE_URL'] === undefined)
    .map((own) => `DATABASE_URL: neither it nor ${own} is set`);
  if (given['DECISION_SIGNATURES'] === 'required' && (given['OPERATOR_PUBLIC_KEYS'] ?? '') === '')
    problems.push('OPERATOR_PUBLIC_KEYS: is not set, and DECISION_SIGNATURES=required: nobody could decide');
  const { problem } = providerProxy(given);
  if (needs.callsProvider === true && problem !== null) problems.push(problem);
  const named = hosts.default(LOOPBACK).parse(given['MTPAY_PLAIN_HTTP_HOSTS']);
  // A callback to this machine does not leave it, whoever else may be met in plain HTTP.
  const allowed = { MTPAY_BASE_URL: named, CALLBACK_BASE_URL: [...named, ...LOOPBACK] };
  for (const name of needs.addresses) {
    const base = given[name] ?? '';
    const url = URL.canParse(base) ? new URL(base) : null;
    if (url?.protocol === 'http:' && !allowed[name].includes(url.hostname) && !allowed[name].includes(url.host)) {
      problems.push(`${name}: plain HTTP; use https or name ${url.hostname} in MTPAY_PLAIN_HTTP_HOSTS`);
    }
  }
  return problems;
}

const database = (own: string | undefined, common: string | undefined): DatabaseConfig => ({ url: own ?? common! });

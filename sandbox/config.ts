import { randomBytes } from 'node:crypto';
import { z } from 'zod';
import { problemsOf } from './control/problems.ts';
import { parseDuration } from './duration.ts';
import { type Settings, settingsSchema } from './settings.ts';

/** The start configuration of the sandbox. `settings` are initial values: changes at run time take precedence. */
export interface SandboxConfig {
  readonly listen: { readonly host: string; readonly port: number };
  /** The directory of the certificate; null: no TLS. */
  readonly tlsDirectory: string | null;
  /** Which callers may use plain HTTP; all others are refused, as the documents say. */
  readonly plainHttp: 'none' | 'loopback' | 'any';
  /** Origin of the checkout links; null: the actual listen address. */
  readonly publicUrl: string | null;
  /** The checkout's link back to the shop, with the place {@link ORDER_PLACE} for the order number; null: no link. */
  readonly shopUrl: string | null;
  readonly databaseUrl: string;
  /** The maximum number of connections to the database. */
  readonly connections: number;
  /** Inserted at the start if absent; null: use the pair in the database, or make one. */
  readonly keyPair: { readonly accessKey: string; readonly secretKey: string } | null;
  readonly controlToken: string;
  /** The token was generated here and must be shown to the user who starts the sandbox. */
  readonly controlTokenIsGenerated: boolean;
  /** The console's password; null: keep the one whose hash is in the database, or make one. */
  readonly consolePassword: string | null;
  /** The maximum number of concurrent callbacks. */
  readonly callbackConcurrency: number;
  /** Decimals of MTC amounts: requested amounts may have as many; computed ones are rounded down to as many. */
  readonly mtcDecimals: number;
  /** IANA time zone of the zoneless times in callbacks. Undocumented. */
  readonly timeZone: string;
  readonly logLevel: string;
  readonly settings: Settings;
}

/** The place of the order number in the address of a shop. */
export const ORDER_PLACE = '{externalOrderNumber}';

/** One or more variables are wrong; the message lists all of them, and never a secret's value. */
export class SandboxConfigError extends Error {}

const duration = z.string().transform((text, context) => {
  const ms = parseDuration(text);
  if (ms === null) context.addIssue('must be a duration such as 500ms, 2s, 30m, 73h');
  return ms ?? 0;
});

const number = z
  .string()
  .regex(/^\d+(\.\d+)?$/, 'must be a number')
  .transform(Number);

const hosts = z.string().transform((text) => text.split(',').map((host) => host.trim()));
/** Not trimmed: a space is part of the body. */
const ackForms = z.string().transform((text) => text.split('|'));

const listen = z.string().transform((text, context) => {
  const match = /^(\[[0-9a-f:]+\]|[^:\s]+):(\d{1,5})$/i.exec(text);
  const port = Number(match?.[2]);
  if (match === null || port > 65_535) {
    context.addIssue('must be host:port, for example 127.0.0.1:8290');
    return z.NEVER;
  }
  return { host: match[1]!.replace(/^\[|\]$/g, ''), port };
});

const origin = z.string().refine((text) => {
  return URL.canParse(text) && /^https?:$/.test(new URL(text).protocol) && new URL(text).origin === text;
}, 'must be an origin such as http://127.0.0.1:8290, without a path');

const shopUrl = z.string().refine((text) => {
  const url = URL.canParse(text) ? new URL(text) : null;
  return url !== null && /^https?:$/.test(url.protocol) && url.username === '' && !url.host.includes('{');
}, `must be an http or https address, with ${ORDER_PLACE} nowhere but in its path or query`);

const timeZone = z.string().refine((zone) => {
  try {
    return new Intl.DateTimeFormat('en', { timeZone: zone }).resolvedOptions().timeZone !== '';
  } catch {
    return false;
  }
}, 'must be an IANA time zone such as UTC or Asia/Shanghai');

const postgresUrl = z.string().regex(/^postgres(ql)?:\/\//, 'must begin with postgres://');
const secret = z.string().min(16, 'must have at least 16 characters');

const { shape } = settingsSchema;

const environment = z
  .object({
    SANDBOX_LISTEN: listen.prefault('127.0.0.1:8290'),
    SANDBOX_TLS: z.enum(['on', 'off']).prefault('on'),
    SANDBOX_TLS_DIRECTORY: z.string().prefault('.data/sandbox-tls'),
    SANDBOX_ALLOW_PLAIN_HTTP: z.enum(['none', 'loopback', 'any']).prefault('none'),
    SANDBOX_PUBLIC_URL: origin.optional(),
    SANDBOX_SHOP_URL: shopUrl.optional(),
    DATABASE_URL_SANDBOX: postgresUrl.optional(),
    DATABASE_URL: postgresUrl.optional(),
    SANDBOX_ACCESS_KEY: secret.optional(),
    SANDBOX_SECRET_KEY: secret.optional(),
    SANDBOX_CONTROL_TOKEN: secret.optional(),
    SANDBOX_CONSOLE_PASSWORD: secret.optional(),
    SANDBOX_CALLBACK_HOSTS: hosts.pipe(shape.callbackHosts).prefault('loopback'),
    SANDBOX_CALLBACK_CONCURRENCY: number.pipe(z.int().min(1).max(256)).prefault('16'),
    SANDBOX_CONNECTIONS: number.pipe(z.int().min(2).max(256)).prefault('16'),
    SANDBOX_MTC_DECIMALS: number.pipe(z.int().min(0).max(8)).prefault('8'),
    SANDBOX_TIME_ZONE: timeZone.prefault('UTC'),
    SANDBOX_LOG_LEVEL: z.enum(['trace', 'debug', 'info', 'warn', 'error', 'silent']).prefault('info'),
    SANDBOX_ACK: ackForms.pipe(shape.acks).prefault('text:SUCCESS|json:{"success":true}|json:"SUCCESS"'),
    SANDBOX_SPEED: number.pipe(shape.speed).prefault('1'),
    SANDBOX_RETRY_READING: shape.retryReading.prefault('gaps'),
    SANDBOX_RESIGN: shape.resign.prefault('fresh'),
    SANDBOX_REPEATED_ORDER: shape.repeatedOrder.prefault('error'),
    SANDBOX_TIMESTAMP_WINDOW: duration.pipe(shape.timestampWindowMs).prefault('5m'),
    SANDBOX_USED_STAMPS: shape.usedStamps.prefault('accept'),
    SANDBOX_AUTO_RELEASE: z.enum(['yes', 'no']).prefault('yes'),
    SANDBOX_RELEASE_DELAY: duration.pipe(shape.releaseDelayMs).prefault('2s'),
    SANDBOX_ORDER_LIFETIME: duration.pipe(shape.orderLifetimeMs).prefault('30m'),
    SANDBOX_ANSWER_TIMEOUT: duration.pipe(shape.answerTimeoutMs).prefault('10s'),
    SANDBOX_PRICE_CNY: shape.prices.shape.CNY.prefault('7.2'),
    SANDBOX_PRICE_HKD: shape.prices.shape.HKD.prefault('7.8'),
    SANDBOX_PRICE_TWD: shape.prices.shape.TWD.prefault('32'),
    SANDBOX_FEE_PERCENT: shape.fees.shape.percent.prefault('0'),
    SANDBOX_FEE_FIXED: shape.fees.shape.fixed.prefault('0'),
    SANDBOX_FEE_BORNE_BY: shape.fees.shape.borneBy.prefault('merchant'),
    SANDBOX_FEE_REPORT: shape.fees.shape.report.prefault('net'),
    SANDBOX_SIGNS_WITH: shape.signsWith.prefault('placing'),
  })
  .superRefine((env, context) => {
    const missing = (name: string, message: string) => context.addIssue({ code: 'custom', path: [name], message });
    if (env.DATABASE_URL_SANDBOX === undefined && env.DATABASE_URL === undefined) {
      missing('DATABASE_URL_SANDBOX', 'is missing, and so is DATABASE_URL; one of them must be set');
    }
    if (env.SANDBOX_TLS === 'off' && env.SANDBOX_ALLOW_PLAIN_HTTP === 'none') {
      missing('SANDBOX_TLS', 'is off, so SANDBOX_ALLOW_PLAIN_HTTP must say who is answered: loopback or any');
    }
    if ((env.SANDBOX_ACCESS_KEY === undefined) !== (env.SANDBOX_SECRET_KEY === undefined)) {
      missing('SANDBOX_ACCESS_KEY', 'and SANDBOX_SECRET_KEY must be set together or not at all');
    }
  });

type Environment = z.infer<typeof environment>;

function settingsOf(env: Environment): Settings {
  return {
    speed: env.SANDBOX_SPEED,
    retryReading: env.SANDBOX_RETRY_READING,
    resign: env.SANDBOX_RESIGN,
    repeatedOrder: env.SANDBOX_REPEATED_ORDER,
    frozen: false,
    prices: { CNY: env.SANDBOX_PRICE_CNY, HKD: env.SANDBOX_PRICE_HKD, TWD: env.SANDBOX_PRICE_TWD },
    fees: {
      percent: env.SANDBOX_FEE_PERCENT,
      fixed: env.SANDBOX_FEE_FIXED,
      borneBy: env.SANDBOX_FEE_BORNE_BY,
      report: env.SANDBOX_FEE_REPORT,
    },
    signsWith: env.SANDBOX_SIGNS_WITH,
    autoRelease: env.SANDBOX_AUTO_RELEASE === 'yes',
    releaseDelayMs: env.SANDBOX_RELEASE_DELAY,
    orderLifetimeMs: env.SANDBOX_ORDER_LIFETIME,
    timestampWindowMs: env.SANDBOX_TIMESTAMP_WINDOW,
    usedStamps: env.SANDBOX_USED_STAMPS,
    answerTimeoutMs: env.SANDBOX_ANSWER_TIMEOUT,
    acks: env.SANDBOX_ACK,
    callbackHosts: env.SANDBOX_CALLBACK_HOSTS,
  };
}

function configOf(env: Environment): SandboxConfig {
  const { SANDBOX_ACCESS_KEY: accessKey, SANDBOX_SECRET_KEY: secretKey } = env;
  return {
    listen: env.SANDBOX_LISTEN,
    tlsDirectory: env.SANDBOX_TLS === 'on' ? env.SANDBOX_TLS_DIRECTORY : null,
    plainHttp: env.SANDBOX_ALLOW_PLAIN_HTTP,
    publicUrl: env.SANDBOX_PUBLIC_URL ?? null,
    shopUrl: env.SANDBOX_SHOP_URL ?? null,
    databaseUrl: (env.DATABASE_URL_SANDBOX ?? env.DATABASE_URL)!,
    keyPair: accessKey !== undefined && secretKey !== undefined ? { accessKey, secretKey } : null,
    controlToken: env.SANDBOX_CONTROL_TOKEN ?? randomBytes(24).toString('base64url'),
    controlTokenIsGenerated: env.SANDBOX_CONTROL_TOKEN === undefined,
    consolePassword: env.SANDBOX_CONSOLE_PASSWORD ?? null,
    callbackConcurrency: env.SANDBOX_CALLBACK_CONCURRENCY,
    connections: env.SANDBOX_CONNECTIONS,
    mtcDecimals: env.SANDBOX_MTC_DECIMALS,
    timeZone: env.SANDBOX_TIME_ZONE,
    logLevel: env.SANDBOX_LOG_LEVEL,
    settings: settingsOf(env),
  };
}

/**
 * Reads the configuration; an empty variable counts as unset. The only reader of `process.env` in this folder. Throws
 * {@link SandboxConfigError} with every problem at once.
 */
export function loadSandboxConfig(env: Readonly<Record<string, string | undefined>> = process.env): SandboxConfig {
  const set = Object.fromEntries(Object.entries(env).filter(([, value]) => value !== undefined && value !== ''));
  const parsed = environment.safeParse(set);
  if (parsed.success) return configOf(parsed.data);
  const problems = problemsOf(parsed.error).map((problem) => `  ${problem.replace(/^(\w+)\.\d+ /, '$1 ')}`);
  throw new SandboxConfigError(`The sandbox cannot start:\n${problems.join('\n')}`);
}

import type { z } from 'zod';
import { KeySource } from '../keys/key-source.ts';
import { type KeyName, keyVariables, parseKeys } from '../keys/keys.ts';
import { LOOPBACK } from '../loopback.ts';
import { providerProxy } from '../provider-proxy.ts';
import { type Environment, withSecretFiles } from '../keys/secret-files.ts';
import { hosts } from './variable-types.ts';

/** The environment is wrong; `message` lists every problem at once. Retrying does not help. */
export class ConfigError extends Error {}

/** Calls loaders at the start of a process. If they refuse, prints the problems without a stack and exits with 1. */
export function loadedOrExit<T>(load: () => T): T {
  try {
    return load();
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    process.stderr.write(`${error.message}\n`);
    process.exit(1);
  }
}

/** An address of the database; each process works there with its own role. */
export interface DatabaseConfig {
  readonly url: string;
}

/** The requirements of a process. It knows only the keys that it works with. */
export interface Needs<N extends KeyName> {
  /** The variables of the process's own database addresses. */
  readonly databases: readonly string[];
  /** Addresses that must be https, unless their host is allowed plain HTTP. */
  readonly addresses: readonly ('MTPAY_BASE_URL' | 'CALLBACK_BASE_URL')[];
  readonly keys: readonly N[];
  /** Whether the process calls the provider, maybe through a proxy. */
  readonly callsProvider?: true;
}

/**
 * Reads a process's variables. Throws {@link ConfigError} with every problem at once. Variables that hold secrets may
 * be given as files; the files of keys are read again later.
 */
export function readEnvironment<T extends z.ZodType, N extends KeyName>(
  schema: T,
  env: Environment,
  needs: Needs<N>,
): { readonly raw: z.output<T>; readonly keys: KeySource<N> } {
  const secrets = [...needs.databases, 'DATABASE_URL', ...keyVariables(needs.keys)];
  const { values: given, problems: unread } = withSecretFiles(env, secrets);
  const result = schema.safeParse(given);
  const samples = isLocalStack(given);
  const { keys, problems: wrongKeys } = parseKeys(given, needs.keys, { samples });
  const problems = [...unread, ...problemsIn(result.error, given), ...wrongKeys, ...jointProblems(given, needs)];
  if (!result.success || keys === null || problems.length > 0) throw configError(problems);
  return { raw: result.data, keys: new KeySource(env, needs.keys, { samples }, { values: given, keys }) };
}

/** Reads the variables of a process without keys and secrets. Throws {@link ConfigError}. */
export function readVariables<T extends z.ZodType>(schema: T, env: Environment): z.output<T> {
  const { values } = withSecretFiles(env, []);
  const result = schema.safeParse(values);
  if (!result.success) throw configError(problemsIn(result.error, values));
  return result.data;
}

/** Returns one line for each wrong variable, without its value. */
const problemsIn = (error: z.ZodError | undefined, given: Environment): string[] =>
  (error?.issues ?? []).map(({ path, message }) => {
    const name = path.join('.');
    return `${name}: ${given[name] === undefined ? 'is not set' : message}`;
  });

export const configError = (problems: readonly string[]): ConfigError =>
  new ConfigError(
    `the configuration has ${problems.length} problem(s):\n${problems.map((problem) => `  ${problem}`).join('\n')}`,
  );

/** Whether the provider is on this machine, outside production: only there a key may be easy to guess. */
export function isLocalStack(given: Environment): boolean {
  const base = given['MTPAY_BASE_URL'] ?? '';
  return given['NODE_ENV'] !== 'production' && URL.canParse(base) && LOOPBACK.includes(new URL(base).hostname);
}

/** Returns the problems that concern several variables. */
function jointProblems(given: Environment, needs: Needs<KeyName>): string[] {
  const problems = needs.databases
    .filter((own) => given[own] === undefined && given['DATABASE_URL'] === undefined)
    .map((own) => `DATABASE_URL: neither it nor ${own} is set`);
  if (given['DECISION_SIGNATURES'] === 'required' && (given['OPERATOR_PUBLIC_KEYS'] ?? '') === '')
    problems.push('OPERATOR_PUBLIC_KEYS: is not set, and DECISION_SIGNATURES=required: nobody could decide');
  if (given['NOTIFY_LOCAL_TARGETS'] !== undefined && given['NODE_ENV'] === 'production')
    problems.push('NOTIFY_LOCAL_TARGETS: is set, and in production every endpoint is guarded');
  const { problem } = providerProxy(given);
  if (needs.callsProvider === true && problem !== null) problems.push(problem);
  const named = hosts.default(LOOPBACK).parse(given['MTPAY_PLAIN_HTTP_HOSTS']);
  // A callback to this machine does not leave it, so plain HTTP is always allowed there.
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

/** Returns the process's own address, else the common one; {@link readEnvironment} has checked that one is set. */
export const databaseOf = (own: string | undefined, common: string | undefined): DatabaseConfig => ({
  url: own ?? common!,
});

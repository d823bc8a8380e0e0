import { readArguments, UsageError } from '../config/command-line.ts';
import { CALLER_NAME, type NewKey, type Scope, SCOPES } from '../database/queries/api-keys.ts';
import { IDENTIFIER } from '../domain/order.ts';

export const KEYS_USAGE = `usage:
  npm run --silent keys -- create NAME --scopes SCOPE,… [--wallets WALLET,…] [--expires 90d]
  npm run --silent keys -- list
  npm run --silent keys -- revoke ID | NAME [--all]

scopes: ${SCOPES.join(', ')}
A caller may hold two living keys: make the new one, change over, revoke the old one.`;

export type KeyCommand =
  | { readonly kind: 'create'; readonly wanted: NewKey }
  | { readonly kind: 'list' }
  | { readonly kind: 'revoke'; readonly target: string; readonly all: boolean }
  | { readonly kind: 'help' };

/** Reads the command line. Throws {@link UsageError}. */
export function parseKeyCommand(args: readonly string[]): KeyCommand {
  const { values, positionals } = read(args);
  const [verb, target, ...rest] = positionals;
  if (values.help === true || verb === 'help') return { kind: 'help' };
  if (rest.length > 0) throw new UsageError(`one name is enough; ${rest.join(' ')} is too much`);
  switch (verb) {
    case 'create':
      allow(values, 'scopes', 'wallets', 'expires');
      return { kind: 'create', wanted: wantedKey(target, values) };
    case 'list':
      allow(values);
      if (target !== undefined) throw new UsageError('list takes nothing');
      return { kind: 'list' };
    case 'revoke':
      allow(values, 'all');
      if (target === undefined) throw new UsageError('revoke whose? give the ID that list shows, or a NAME');
      return { kind: 'revoke', target, all: values.all === true };
    default:
      throw new UsageError(
        verb === undefined ? 'create, list or revoke?' : `there is no ${verb}: create, list, revoke`,
      );
  }
}

type Values = ReturnType<typeof read>['values'];

const read = (args: readonly string[]) =>
  readArguments(args, {
    scopes: { type: 'string' },
    wallets: { type: 'string' },
    expires: { type: 'string' },
    all: { type: 'boolean' },
    help: { type: 'boolean', short: 'h' },
  });

function allow(values: Values, ...names: readonly string[]): void {
  const other = Object.keys(values).find((name) => !names.includes(name));
  if (other !== undefined) throw new UsageError(`--${other} does not belong here`);
}

function wantedKey(name: string | undefined, { scopes, wallets, expires }: Values): NewKey {
  if (name === undefined || !CALLER_NAME.test(name)) {
    throw new UsageError('a NAME is 1 to 63 of a-z 0-9 . _ - and begins with a letter or digit');
  }
  const given = listOf(scopes, 'scopes', (scope) => (SCOPES as readonly string[]).includes(scope), SCOPES.join(', '));
  if (given === undefined) throw new UsageError('--scopes is missing: what may the key do?');
  if (given.includes('reviews:decide') && given.includes('deposits:create')) {
    throw new UsageError('who decides about reviews orders no deposits: give the two scopes to two names');
  }
  return {
    name,
    scopes: given as Scope[],
    wallets: listOf(wallets, 'wallets', (wallet) => IDENTIFIER.test(wallet), '1 to 64 of A-Z a-z 0-9 _ -'),
    expiresInMs: expires === undefined ? undefined : lifetimeMs(expires),
  };
}

function listOf(
  text: string | undefined,
  option: string,
  isGood: (item: string) => boolean,
  allowed: string,
): string[] | undefined {
  if (text === undefined) return undefined;
  const items = [...new Set(text.split(',').map((item) => item.trim()))];
  const bad = items.find((item) => !isGood(item));
  if (bad !== undefined) throw new UsageError(`--${option}: “${bad}” is none; allowed: ${allowed}`);
  return items;
}

const UNIT_MS = { m: 60_000, h: 3_600_000, d: 86_400_000 } as const;

function lifetimeMs(text: string): number {
  const match = /^([1-9]\d{0,4})([mhd])$/.exec(text);
  if (match === null) throw new UsageError('--expires: expected a lifetime such as 90d, 12h or 30m');
  return Number(match[1]) * UNIT_MS[match[2] as keyof typeof UNIT_MS];
}

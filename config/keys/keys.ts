import { z } from 'zod';
import { publicSealKey, splitPublicKeys } from './inbox-seal.ts';
import type { KeySet } from './keyring.ts';
import { isSample } from './samples.ts';
import { Secret } from './secret.ts';
import type { Environment } from './secret-files.ts';

/** The provider's pair: an access key and the secret that belongs to it. */
export interface KeyPair {
  readonly accessKey: Secret;
  readonly secretKey: Secret;
}

/** The type of key of each purpose. */
export interface KeyTypes {
  readonly mtpay: KeyPair;
  readonly callback: Secret;
  readonly payerName: Secret;
  readonly fingerprint: Secret;
  /** Encrypts the secrets of endpoints. */
  readonly endpointSecret: Secret;
  /** The 32 bytes that are the API's Ed25519 key. */
  readonly inboxSeal: Secret;
  /** The public halves of all generations, as text. */
  readonly inboxSealPublic: Secret;
}
export type KeyName = keyof KeyTypes;
export type KeySets<N extends KeyName = KeyName> = { readonly [name in N]: KeySet<KeyTypes[name]> };

export const isSameKey = (one: KeyPair | Secret, other: KeyPair | Secret): boolean =>
  one instanceof Secret
    ? other instanceof Secret && one.equals(other)
    : !(other instanceof Secret) && one.accessKey.equals(other.accessKey) && one.secretKey.equals(other.secretKey);

interface Variables {
  readonly current: readonly string[];
  readonly next: readonly string[];
  readonly previous: readonly string[];
  /** Null: verifiers have the public keys, so there is neither a next nor a previous key. */
  readonly until: string | null;
}

const PUBLIC_KEYS = 'INBOX_SEAL_PUBLIC_KEYS';

/** Written out, so that a search for a variable finds where it is read. */
const VARIABLES: { readonly [name in KeyName]: Variables } = {
  mtpay: {
    current: ['MTPAY_ACCESS_KEY', 'MTPAY_SECRET_KEY'],
    next: ['MTPAY_ACCESS_KEY_NEXT', 'MTPAY_SECRET_KEY_NEXT'],
    previous: ['MTPAY_ACCESS_KEY_PREVIOUS', 'MTPAY_SECRET_KEY_PREVIOUS'],
    until: 'MTPAY_KEY_PREVIOUS_UNTIL',
  },
  callback: {
    current: ['CALLBACK_KEY'],
    next: ['CALLBACK_KEY_NEXT'],
    previous: ['CALLBACK_KEY_PREVIOUS'],
    until: 'CALLBACK_KEY_PREVIOUS_UNTIL',
  },
  payerName: {
    current: ['PAYER_NAME_KEY'],
    next: ['PAYER_NAME_KEY_NEXT'],
    previous: ['PAYER_NAME_KEY_PREVIOUS'],
    until: 'PAYER_NAME_KEY_PREVIOUS_UNTIL',
  },
  fingerprint: {
    current: ['FINGERPRINT_KEY'],
    next: ['FINGERPRINT_KEY_NEXT'],
    previous: ['FINGERPRINT_KEY_PREVIOUS'],
    until: 'FINGERPRINT_KEY_PREVIOUS_UNTIL',
  },
  endpointSecret: {
    current: ['ENDPOINT_SECRET_KEY'],
    next: ['ENDPOINT_SECRET_KEY_NEXT'],
    previous: ['ENDPOINT_SECRET_KEY_PREVIOUS'],
    until: 'ENDPOINT_SECRET_KEY_PREVIOUS_UNTIL',
  },
  inboxSeal: { current: ['INBOX_SEAL_KEY'], next: [], previous: [], until: null },
  inboxSealPublic: { current: [PUBLIC_KEYS], next: [], previous: [], until: null },
};

/** Returns every variable of these keys; each may be given as a file. */
export const keyVariables = (names: readonly KeyName[]): string[] =>
  names.flatMap((name) => {
    const { current, next, previous, until } = VARIABLES[name];
    return [...current, ...next, ...previous, ...(until === null ? [] : [until])];
  });

export type ParsedKeys<N extends KeyName> =
  | { readonly keys: KeySets<N>; readonly problems: readonly [] }
  | { readonly keys: null; readonly problems: readonly string[] };

/**
 * Parses the keys of an environment whose files were read. `samples`: whether keys that are easy to guess are allowed,
 * as on a developer's machine. Problems name variables and show no value.
 */
export function parseKeys<N extends KeyName>(
  given: Environment,
  names: readonly N[],
  { samples }: { readonly samples: boolean },
): ParsedKeys<N> {
  const problems = [
    ...names.flatMap((name) => slotProblems(given, VARIABLES[name])),
    ...keyNames(names).flatMap((variable) => formProblems(given, variable, samples)),
    ...equalProblems(given, keyNames(names)),
  ];
  if (problems.length === 0) problems.push(...sealProblems(given, names));
  if (problems.length > 0) return { keys: null, problems };
  const sets = names.map((name) => [name, setOf(given, VARIABLES[name])]);
  return { keys: Object.fromEntries(sets) as KeySets<N>, problems: [] };
}

const keyNames = (names: readonly KeyName[]): string[] =>
  names.flatMap((name) => [...VARIABLES[name].current, ...VARIABLES[name].next, ...VARIABLES[name].previous]);

/** Reports missing variables: of the current key, of half a pair, of the end of a previous key. */
function slotProblems(given: Environment, { current, next, previous, until }: Variables): string[] {
  const isSet = (variable: string) => given[variable] !== undefined;
  const missing = [current, ...[next, previous].filter((slot) => slot.some(isSet))]
    .flat()
    .filter((variable) => !isSet(variable))
    .map((variable) => `${variable}: is not set`);
  if (until === null) return missing;
  if (previous.some(isSet) && !isSet(until)) missing.push(`${until}: is not set, and every previous key has an end`);
  if (isSet(until) && !z.iso.datetime({ offset: true }).safeParse(given[until]).success)
    missing.push(`${until}: expected a time with its zone, such as 2026-03-01T12:00:00Z`);
  return missing;
}

/** The form of our own keys: random bytes. The provider chooses the form of its keys. */
const OURS = /^[A-Za-z0-9_-]{43,}=*$/;
const isProviders = (variable: string): boolean => variable.startsWith('MTPAY_');

function formProblems(given: Environment, variable: string, samples: boolean): string[] {
  const text = given[variable];
  if (text === undefined) return [];
  if (variable === PUBLIC_KEYS) return publicProblems(text);
  if (variable === 'INBOX_SEAL_KEY' && !BYTES_32.test(text))
    return [`${variable}: expected 32 random bytes as base64url`];
  if (!isProviders(variable) && !OURS.test(text))
    return [`${variable}: expected at least 32 random bytes as base64url`];
  if (isProviders(variable) && !/^[\x21-\x7e]+$/.test(text))
    return [`${variable}: expected visible ASCII characters without blanks`];
  return samples || !isSample(text) ? [] : [`${variable}: is a sample or easy to guess; use a key of your own`];
}

const BYTES_32 = /^[A-Za-z0-9_-]{43}=?$/;

function publicProblems(text: string): string[] {
  const parts = splitPublicKeys(text);
  return parts.length > 0 && parts.every((part) => BYTES_32.test(part))
    ? []
    : [`${PUBLIC_KEYS}: expected Ed25519 public keys, each 32 bytes as base64url, separated by commas`];
}

/** Reports a seal key without its public key: nobody could verify its seals, and every payment would become a case. */
function sealProblems(given: Environment, names: readonly KeyName[]): string[] {
  if (!names.includes('inboxSeal') || !names.includes('inboxSealPublic')) return [];
  const own = publicSealKey(secretOf('INBOX_SEAL_KEY', given['INBOX_SEAL_KEY']!));
  return splitPublicKeys(given[PUBLIC_KEYS]!).some((part) => part.replace(/=$/, '') === own)
    ? []
    : [`${PUBLIC_KEYS}: the public key of INBOX_SEAL_KEY is not among them`];
}

/**
 * Reports equal keys, of two purposes or of one. In one purpose they mean a half-written rotation; refusing them makes
 * it safe to change files one after the other.
 */
function equalProblems(given: Environment, variables: readonly string[]): string[] {
  const first = new Map<string, string>();
  return variables.flatMap((variable) => {
    const text = given[variable];
    if (text === undefined) return [];
    const value = secretOf(variable, text).reveal().toString('hex');
    const twin = first.get(value);
    if (twin === undefined) first.set(value, variable);
    return twin === undefined ? [] : [`${variable}: is the same as ${twin}`];
  });
}

const secretOf = (variable: string, text: string): Secret =>
  new Secret(
    isProviders(variable) || variable === PUBLIC_KEYS ? Buffer.from(text, 'utf8') : Buffer.from(text, 'base64url'),
  );

function setOf(given: Environment, { current, next, previous, until }: Variables): KeySet<KeyPair | Secret> {
  const key = (slot: readonly string[]): KeyPair | Secret => {
    const [first, second] = slot.map((variable) => secretOf(variable, given[variable]!));
    return second === undefined ? first! : { accessKey: first!, secretKey: second };
  };
  const isSet = ([first]: readonly string[]) => first !== undefined && given[first] !== undefined;
  return {
    current: key(current),
    next: isSet(next) ? key(next) : null,
    previous: until !== null && isSet(previous) ? { key: key(previous), untilMs: Date.parse(given[until]!) } : null,
  };
}

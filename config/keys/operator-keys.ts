import {
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  sign,
  verify,
} from 'node:crypto';
import { type SignedStep, signedText } from '../../domain/signed-step.ts';

/**
 * The signatures of operators' steps (Ed25519). The private key is only on the operator's own device. Verifiers have
 * the public keys in their own settings, not from the database.
 */

/** The keys and the rule for verifying steps. `required`: a step without a valid signature moves no money. */
export interface SignatureTrust {
  readonly required: boolean;
  readonly keys: OperatorKeys;
}

interface OperatorKey {
  /** The first 16 hex digits of the public key's sha256. */
  readonly id: string;
  readonly publicKey: KeyObject;
}

/** The keys of each operator, including those that signed older steps. */
export type OperatorKeys = ReadonlyMap<string, readonly OperatorKey[]>;

/** The SPKI bytes before the 32 bytes of a public key (RFC 8410). */
const PUBLIC_PREFIX = Buffer.from('302a300506032b6570032100', 'hex');
const ENTRY = /^([a-z0-9][a-z0-9._-]{0,62})=([A-Za-z0-9_-]{43})=?$/;

/** Parses `NAME=KEY,…`: 32 bytes as base64url each; a name may have several. `problem`: the text's fault, or null. */
export function parseOperatorKeys(list: string): { readonly keys: OperatorKeys; readonly problem: string | null } {
  const keys = new Map<string, OperatorKey[]>();
  const owners = new Map<string, string>();
  const refused = (problem: string) => ({ keys: new Map<string, OperatorKey[]>(), problem });
  for (const entry of list.split(',').map((part) => part.trim())) {
    if (entry === '') continue;
    const [, name, text] = ENTRY.exec(entry) ?? [];
    if (name === undefined || text === undefined)
      return refused('expected NAME=KEY, 32 bytes as base64url, separated by commas');
    const bytes = Buffer.from(text, 'base64url');
    const id = keyName(bytes);
    const owner = owners.get(id);
    // One person with two names would count as two people.
    if (owner !== undefined) return refused(`${owner} and ${name} have one key`);
    owners.set(id, name);
    const publicKey = createPublicKey({ key: Buffer.concat([PUBLIC_PREFIX, bytes]), format: 'der', type: 'spki' });
    keys.set(name, [...(keys.get(name) ?? []), { id, publicKey }]);
  }
  return { keys, problem: null };
}

const keyName = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex').slice(0, 16);

/** Returns the id of the operator's key that signed exactly this step; null: none of them did. */
export function operatorKeyOf(
  keys: OperatorKeys,
  operator: string,
  step: SignedStep,
  signature: Buffer,
): string | null {
  const text = Buffer.from(signedText(step));
  return (keys.get(operator) ?? []).find(({ publicKey }) => verify(null, text, publicKey, signature))?.id ?? null;
}

/** Makes a new pair: the private key as PKCS8 PEM for the operator's file, the public key as settings have it. */
export function newOperatorKey(): { readonly privateKey: string; readonly publicKey: string } {
  const pair = generateKeyPairSync('ed25519');
  return {
    privateKey: pair.privateKey.export({ format: 'pem', type: 'pkcs8' }) as string,
    publicKey: publicHalf(pair.publicKey),
  };
}

const publicHalf = (key: KeyObject): string =>
  key.export({ format: 'der', type: 'spki' }).subarray(PUBLIC_PREFIX.length).toString('base64url');

/** Signs with the key of a file. Throws when the text is no Ed25519 key; the error shows nothing of the text. */
export function signStep(pem: string, step: SignedStep): Buffer {
  let key: KeyObject;
  try {
    key = createPrivateKey(pem);
  } catch {
    throw new Error('the file holds no private key');
  }
  if (key.asymmetricKeyType !== 'ed25519') throw new Error('the file holds no Ed25519 key');
  return sign(null, Buffer.from(signedText(step)), key);
}

import { createPrivateKey, createPublicKey, type KeyObject } from 'node:crypto';
import { z } from 'zod';
import type { SignatureTrust } from '../keys/operator-keys.ts';
import { isSample } from '../keys/samples.ts';
import { type Environment, withSecretFiles } from '../keys/secret-files.ts';
import { linkRules, shared, signatures, trustIn } from './api-and-worker.ts';
import { ConfigError, configError, type DatabaseConfig, readVariables } from './read-environment.ts';

/** The keys of audit reports, both Ed25519. */
export interface AuditKeys {
  /** Signs reports; null: the audit uses a key that this machine generated. Never null in production. */
  readonly signingKey: KeyObject | null;
  /** The only key whose reports are accepted; null: the signer of a report cannot be verified. */
  readonly publicKey: KeyObject | null;
}

const NAMES = ['AUDIT_SIGNING_KEY', 'AUDIT_PUBLIC_KEY'] as const;

/**
 * Reads the keys of audit reports. `toSign`: whether a report will be signed, which needs a key in production. Each key
 * may be given as a file. Throws {@link ConfigError} that names every variable at fault and never shows a value.
 */
export function loadAuditKeys({ toSign }: { readonly toSign: boolean }, env: Environment = process.env): AuditKeys {
  const { values, problems: unread } = withSecretFiles(env, NAMES);
  const signing = toSign ? values['AUDIT_SIGNING_KEY'] : undefined;
  const pinned = values['AUDIT_PUBLIC_KEY'];
  const problems = [...unread];
  const signingKey = signing === undefined ? null : parsed(signing, privateKeyOf);
  const publicKey = pinned === undefined ? null : parsed(pinned, publicKeyOf);
  if (signingKey === 'wrong')
    problems.push('AUDIT_SIGNING_KEY: expected an Ed25519 key, as PKCS8 PEM or as 32 random bytes in base64');
  if (publicKey === 'wrong')
    problems.push('AUDIT_PUBLIC_KEY: expected an Ed25519 public key, as SPKI PEM or its bytes in base64');
  if (toSign && signing === undefined && values['NODE_ENV'] === 'production')
    problems.push('AUDIT_SIGNING_KEY: is not set, and in production no key is made up');
  if (signingKey === 'wrong' || publicKey === 'wrong' || problems.length > 0) {
    throw configError(problems);
  }
  return { signingKey, publicKey };
}

/** The PKCS8 bytes before the 32 bytes of a seed (RFC 8410). */
const SEED_PREFIX = Buffer.from('302e020100300506032b657004220420', 'hex');
const BASE64_SEED = /^[A-Za-z0-9+/_-]{43}=?$/;

function privateKeyOf(text: string): KeyObject {
  if (!BASE64_SEED.test(text)) return createPrivateKey(text);
  if (isSample(text)) throw new TypeError('anybody could guess it');
  const key = Buffer.concat([SEED_PREFIX, Buffer.from(text, 'base64')]);
  return createPrivateKey({ key, format: 'der', type: 'pkcs8' });
}

/** Throws for a private key: Node would accept it, but it must not be in this variable. */
function publicKeyOf(text: string): KeyObject {
  if (/PRIVATE/.test(text)) throw new TypeError('private');
  if (text.includes('-----BEGIN')) return createPublicKey(text);
  return createPublicKey({ key: Buffer.from(text, 'base64'), format: 'der', type: 'spki' });
}

/** Environment files cannot hold line ends, so `\n` means one. Node's error is dropped: it could show the key. */
function parsed(text: string, read: (text: string) => KeyObject): KeyObject | 'wrong' {
  try {
    const key = read(text.trim().replaceAll('\\n', '\n'));
    return key.asymmetricKeyType === 'ed25519' ? key : 'wrong';
  } catch {
    return 'wrong';
  }
}

/** The logins of an audit: one only reads, the other only appends to the archive; null: the archive stays unchanged. */
export interface AuditDatabases {
  readonly auditor: DatabaseConfig;
  readonly archiver: DatabaseConfig | null;
}

const [AUDITOR, ARCHIVER, COMMON] = ['DATABASE_URL_AUDITOR', 'DATABASE_URL_ARCHIVER', 'DATABASE_URL'] as const;

/** Reads the two logins; `DATABASE_URL` is the default of both. Null: none is set. Throws {@link ConfigError}. */
export function loadAuditDatabases(env: Environment = process.env): AuditDatabases | null {
  const { values, problems } = withSecretFiles(env, [AUDITOR, ARCHIVER, COMMON]);
  if (problems.length > 0) throw new ConfigError(problems.join('; '));
  const database = (name: string): DatabaseConfig | null => {
    const url = values[name] ?? values[COMMON];
    return url === undefined ? null : { url };
  };
  const [auditor, archiver] = [database(AUDITOR), database(ARCHIVER)];
  if (auditor !== null) return { auditor, archiver };
  if (archiver !== null) throw new ConfigError(`${ARCHIVER} is set, and neither ${AUDITOR} nor ${COMMON}`);
  return null;
}

/** Reads the hosts that checkout links may lead to, for an audit; undefined: not set. Throws {@link ConfigError}. */
export function loadLinkRules(env: Environment = process.env): ReturnType<typeof linkRules> | undefined {
  const { MTPAY_BASE_URL, MTPAY_REDIRECT_HOSTS, MTPAY_PLAIN_HTTP_HOSTS } = shared;
  const schema = z.object({ MTPAY_BASE_URL: MTPAY_BASE_URL.optional(), MTPAY_REDIRECT_HOSTS, MTPAY_PLAIN_HTTP_HOSTS });
  const { MTPAY_BASE_URL: base, ...hosts } = readVariables(schema, env);
  if (base === undefined && hosts.MTPAY_REDIRECT_HOSTS === undefined) return undefined;
  return linkRules({ ...hosts, MTPAY_BASE_URL: base ?? 'https://none.invalid' });
}

/** Reads how an audit verifies operators' steps; those up to `after` need no signature. Throws {@link ConfigError}. */
export function loadSignatureConfig(env: Environment = process.env): {
  readonly trust: SignatureTrust;
  readonly after: string;
} {
  const schema = z.object({
    ...signatures,
    DECISION_SIGNATURES_AFTER: z
      .string()
      .default('0')
      .refine((id) => /^(0|[1-9]\d{0,17})$/.test(id), 'expected the id of a step, or 0'),
  });
  const raw = readVariables(schema, env);
  return { trust: trustIn(raw), after: raw.DECISION_SIGNATURES_AFTER };
}

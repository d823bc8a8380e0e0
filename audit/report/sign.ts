import { createHash, createPublicKey, type KeyObject, sign as signBytes, verify as verifyBytes } from 'node:crypto';
import { z } from 'zod';
import { canonicalJson } from '../../encoding/canonical-json.ts';
import type { AuditReport } from './report.ts';
import type { LineFile } from './chained-lines.ts';

/** Ed25519 over the UTF-8 bytes of the canonical JSON of everything but `signature`. */
export interface ReportSignature {
  readonly algorithm: 'Ed25519';
  /** SPKI (RFC 8410), base64. */
  readonly publicKey: string;
  readonly keyId: string;
  readonly value: string;
}

/** The signed content: the report, with the hash of the page for people, the files and the key. */
export interface UnsignedReport extends AuditReport {
  /** The page for people, beside this file. */
  readonly html: { readonly file: string; readonly sha256: string };
  /** The files of lines beside it: the schedule, and the wallets. */
  readonly files: readonly NamedLineFile[];
  readonly signedBy: ReportSigner;
}

export interface NamedLineFile extends LineFile {
  readonly file: string;
}

export interface ReportSigner {
  readonly keyId: string;
  /** True: the auditing machine made the key, and anybody on it could sign with it. */
  readonly isMachineOwn: boolean;
}

export interface SignedReport extends UnsignedReport {
  readonly signature: ReportSignature;
}

export interface ReportSigningKey extends ReportSigner {
  readonly key: KeyObject;
}

export const reportSigningKey = (key: KeyObject, isMachineOwn: boolean): ReportSigningKey => ({
  key,
  keyId: keyIdOf(createPublicKey(key)),
  isMachineOwn,
});

const spki = (key: KeyObject): Buffer => key.export({ format: 'der', type: 'spki' });

/** The sha256 of the public key in SPKI, for people to compare. */
export const fingerprintOf = (publicKey: KeyObject): string =>
  createHash('sha256').update(spki(publicKey)).digest('hex');

/** The first 16 digits of the fingerprint. */
export const keyIdOf = (publicKey: KeyObject): string => fingerprintOf(publicKey).slice(0, 16);

/** Throws `TypeError` when the report holds a value that canonical JSON cannot represent. */
export function signReport(report: UnsignedReport, { key }: ReportSigningKey): SignedReport {
  const publicKey = createPublicKey(key);
  return {
    ...report,
    signature: {
      algorithm: 'Ed25519',
      publicKey: spki(publicKey).toString('base64'),
      keyId: keyIdOf(publicKey),
      value: signBytes(null, Buffer.from(canonicalJson(report)), key).toString('base64'),
    },
  };
}

/** Why a report is not valid. */
export type SignatureFault = 'not_signed' | 'not_a_key' | 'other_key' | 'changed';

export type ReportVerdict =
  | { readonly ok: true; readonly isPinned: boolean; readonly keyId: string; readonly fingerprint: string }
  | { readonly ok: false; readonly fault: SignatureFault; readonly fingerprint: string | null };

/** Base64 has several spellings for the same bytes; only the canonical one is accepted, so that every byte counts. */
const base64 = z.string().refine((text) => Buffer.from(text, 'base64').toString('base64') === text);
const signed = z.looseObject({
  signedBy: z.strictObject({ keyId: z.string(), isMachineOwn: z.boolean() }),
  signature: z.strictObject({
    algorithm: z.literal('Ed25519'),
    publicKey: base64,
    keyId: z.string(),
    value: base64,
  }),
});

/**
 * Verifies a report. With `pinned`: that key signed it. Without: nobody changed it since some key signed it, whose
 * fingerprint the reader has to compare.
 */
export function verify(report: unknown, pinned: KeyObject | null = null): ReportVerdict {
  const parsed = signed.safeParse(report);
  if (!parsed.success) return { ok: false, fault: 'not_signed', fingerprint: null };
  // Not the parsed value: the schema may drop unknown fields, and the signature covers all.
  const { signature: _, ...rest } = report as SignedReport;
  const { signature } = parsed.data;
  const key = publicKeyOf(signature.publicKey);
  if (key === null) return { ok: false, fault: 'not_a_key', fingerprint: null };
  const fingerprint = fingerprintOf(key);
  const keyId = keyIdOf(key);
  if (pinned !== null && !pinned.equals(key)) return { ok: false, fault: 'other_key', fingerprint };
  const namesIt = signature.keyId === keyId && rest.signedBy.keyId === keyId;
  if (!namesIt || !isSignatureOf(rest, signature.value, key)) return { ok: false, fault: 'changed', fingerprint };
  return { ok: true, isPinned: pinned !== null, keyId, fingerprint };
}

function publicKeyOf(text: string): KeyObject | null {
  try {
    const key = createPublicKey({ key: Buffer.from(text, 'base64'), format: 'der', type: 'spki' });
    return key.asymmetricKeyType === 'ed25519' && spki(key).toString('base64') === text ? key : null;
  } catch {
    return null;
  }
}

function isSignatureOf(rest: unknown, value: string, key: KeyObject): boolean {
  try {
    return verifyBytes(null, Buffer.from(canonicalJson(rest)), key, Buffer.from(value, 'base64'));
  } catch (error) {
    // Canonical JSON cannot represent it, so it is not what we signed.
    if (error instanceof TypeError) return false;
    throw error;
  }
}

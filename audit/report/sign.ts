import { createHash, createPublicKey, type KeyObject, sign as signBytes, verify as verifyBytes } from 'node:crypto';
import { z } from 'zod';
import { canonicalJson } from '../../encoding/canonical-json.ts';
import type { AuditReport } from './report.ts';
import type { LineFile } from './sealed-lines.ts';

/** Ed25519 over the UTF-8 bytes of the canonical JSON of everything but `signature`. */
export interface ReportSignature {
  readonly algorithm: 'Ed25519';
  /** SPKI (RFC 8410), base64. */
  readonly publicKey: string;
  readonly keyId: string;
  readonly value: string;
}

/** What is signed: the report, and what binds the page for people and the key to it. */
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
  /** True: the key was made by the machine that audited, and anybody on it could sign the same. */
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

/** The whole sha256 of the public key in SPKI: what two people compare. */
export const fingerprintOf = (publicKey: KeyObject): string =>
  createHash('sha256').update(spki(publicKey)).digest('hex');

/** The first 16 digits of the fingerprint. */
export const keyIdOf = (publicKey: KeyObject): string => fingerprintOf(publicKey).slice(0, 16);

/** Throws `TypeError` when the report holds what canonical JSON has no text for. */
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

/** Why a report is not to be relied on. */
export type SignatureFault = 'not_signed' | 'not_a_key' | 'other_key' | 'changed';

export type ReportVerdict =
  | { readonly ok: true; readonly isPinned: boolean; readonly keyId: string; readonly fingerprint: string }
  | { readonly ok: false; readonly fault: SignatureFault; readonly fingerprint: string | null };

/** Base64 has several spellings for the same bytes; only the usual one is taken, so that every byte counts. */
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
 * Whether the report is the one that was signed. With `pinned`: and signed by that key. Without it only that nobody
 * changed it since somebody signed it; whoever it was is for the reader to find out, by the fingerprint.
 */
export function verify(report: unknown, pinned: KeyObject | null = null): ReportVerdict {
  const parsed = signed.safeParse(report);
  if (!parsed.success) return { ok: false, fault: 'not_signed', fingerprint: null };
  // Not what was parsed: a schema may leave out what it does not know, and everything was signed.
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
    // No text for it: then it is not what we signed.
    if (error instanceof TypeError) return false;
    throw error;
  }
}

import { createHash, createPublicKey, type KeyObject } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { z } from 'zod';
import { UsageError } from '../../config/command-line.ts';
import { fileJson } from '../../encoding/canonical-json.ts';
import type { AuditReport } from './report.ts';
import { type LineFile, lineFaults } from './chained-lines.ts';
import { fingerprintOf, type ReportVerdict, type SignatureFault, type SignedReport, verify } from './sign.ts';
import { visible } from '../../encoding/visible.ts';

/** 0: genuine; 1: not genuine; 2: there was nothing to verify. */
export type VerifyExit = 0 | 1 | 2;

export interface VerifyOptions {
  /** The only accepted key; null: any key, so the signer is not known. */
  readonly pinned: KeyObject | null;
  readonly say: (line: string) => void;
}

const hash = z.string().regex(/^[0-9a-f]{64}$/);
const lineFile = z.strictObject({
  file: z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]*\.(csv|jsonl)$/),
  form: z.enum(['csv', 'jsonl']),
  columns: z.array(z.string()),
  rows: z.int(),
  head: hash,
  sha256: hash,
}) satisfies z.ZodType<LineFile>;

/** The fields that are read before the signature is verified; the signature covers the rest. */
const shape = z.looseObject({
  version: z.literal(1),
  audit: z.looseObject({ startedAt: z.string(), finishedAt: z.string() }),
  unexplained: z.int(),
  html: z.strictObject({ file: z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]*\.html$/), sha256: z.string() }),
  /** Older reports have none. */
  files: z.array(lineFile).default([]),
});

const FAULTS: Readonly<Record<SignatureFault, string>> = {
  not_signed: 'It carries no signature of the form that we write.',
  not_a_key: 'The public key in it is not an Ed25519 key.',
  other_key: 'It was signed with another key than AUDIT_PUBLIC_KEY.',
  changed: 'It is not what was signed: something in it was changed.',
};

/**
 * `verify REPORT.json`: the signature, every byte of the file, the page for people beside it, and every line of the
 * schedule and of the wallets. Prints the result in words; it prints no content of a report that is not genuine.
 */
export async function verifyReport(path: string | undefined, { pinned, say }: VerifyOptions): Promise<VerifyExit> {
  if (path === undefined || path === '') {
    say('Usage: npm run audit -- verify REPORT.json');
    return 2;
  }
  return verifyBytes(readOrNull(path), path, { pinned, say });
}

/** Verifies the bytes of a file that was read already; null: the file cannot be read. */
export async function verifyBytes(
  bytes: Buffer | null,
  path: string,
  { pinned, say }: VerifyOptions,
): Promise<VerifyExit> {
  if (bytes === null) {
    say(`${visible(path)} cannot be read. Usage: npm run audit -- verify REPORT.json`);
    return 2;
  }
  const faults = await faultsOf(bytes, dirname(path), { pinned, say });
  if (faults.length === 0) return 0;
  say(`NOT GENUINE: ${visible(basename(path))}`);
  for (const fault of faults) say(`  ${fault}`);
  return 1;
}

async function faultsOf(bytes: Buffer, directory: string, { pinned, say }: VerifyOptions): Promise<string[]> {
  const report = parseJson(bytes);
  const parsed = shape.safeParse(report);
  if (!parsed.success) return ['It is not an audit report of version 1.'];
  const verified = verify(report, pinned);
  if (!verified.ok) return [FAULTS[verified.fault], ...fingerprints(verified.fingerprint, pinned)];
  const { html, audit, unexplained, files } = parsed.data;
  // The signature does not cover white space, order and spelling, but a file that differs in them is not the one we
  // wrote.
  if (!bytes.equals(Buffer.from(fileJson(report))))
    return [
      'The facts in it are the signed ones, but the file was rewritten since: its bytes are not as we wrote them.',
    ];
  const page = pageFault(join(directory, html.file), html.sha256);
  const beside = page === null ? [] : [page];
  for (const file of files) beside.push(...(await linesFaults(directory, file)));
  if (beside.length > 0) return beside;
  say('GENUINE: the report and its page are as they were signed.');
  for (const { file, rows } of files) say(`  ${file}: ${rows} lines, each as it was signed.`);
  say(`  Audited ${visible(audit.startedAt)} to ${visible(audit.finishedAt)}.`);
  say(unexplained === 0 ? '  It says: nothing is unexplained.' : `  It says: ${unexplained} unexplained.`);
  for (const line of originOf(verified, parsed.data)) say(`  ${line}`);
  return [];
}

const fingerprints = (found: string | null, pinned: KeyObject | null): string[] => [
  ...(found === null ? [] : [`Key in the report:  ${found}`]),
  ...(found === null || pinned === null ? [] : [`AUDIT_PUBLIC_KEY:   ${fingerprintOf(pinned)}`]),
];

function pageFault(path: string, sha256: string): string | null {
  const name = basename(path);
  const page = readOrNull(path);
  if (page === null) return `The page ${name} is not beside it or cannot be read, so it could not be compared.`;
  return createHash('sha256').update(page).digest('hex') === sha256
    ? null
    : `The page ${name} is not the one that was signed: something in it was changed.`;
}

async function linesFaults(directory: string, signed: LineFile & { readonly file: string }): Promise<string[]> {
  try {
    const faults = await lineFaults(join(directory, signed.file), signed);
    return faults.map((fault) => `${signed.file}: ${fault}.`);
  } catch {
    return [`${signed.file} is not beside it or cannot be read, so its lines could not be compared.`];
  }
}

function originOf({ isPinned, fingerprint }: Extract<ReportVerdict, { ok: true }>, report: object): string[] {
  const isMachineOwn = (report as { signedBy?: { isMachineOwn?: boolean } }).signedBy?.isMachineOwn === true;
  const own = isMachineOwn ? ['The key was made by the machine that audited, because none was set there.'] : [];
  if (isPinned) return [`Signed with the key AUDIT_PUBLIC_KEY, ${fingerprint}`, ...own];
  return [
    'Nobody changed it since it was signed; WHO signed it was not checked, because AUDIT_PUBLIC_KEY is not set.',
    'Compare this fingerprint with the one its owner gave you:',
    fingerprint,
    ...own,
  ];
}

function parseJson(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString('utf8'));
  } catch {
    return null;
  }
}

function readOrNull(path: string): Buffer | null {
  try {
    return readFileSync(path);
  } catch {
    return null;
  }
}

/**
 * The heads of an earlier report, and its signer: `the report of <time>, signed with <fingerprint>`. Throws
 * {@link UsageError} unless the signature is valid.
 */
export async function headsOf(
  path: string,
  pinned: KeyObject | null,
): Promise<{ readonly heads: AuditReport['heads']; readonly headsFrom: string }> {
  const said: string[] = [];
  // Read once: the verified bytes must be the used bytes.
  const bytes = existsSync(path) ? readFileSync(path) : null;
  if ((await verifyBytes(bytes, path, { pinned, say: (line) => said.push(line) })) !== 0) {
    throw new UsageError(`--after: ${path} is not a report to rely on: ${said.join(' ')}`);
  }
  const report = JSON.parse(bytes!.toString('utf8')) as SignedReport;
  const { publicKey } = report.signature;
  const key = fingerprintOf(createPublicKey({ key: Buffer.from(publicKey, 'base64'), format: 'der', type: 'spki' }));
  const whose =
    pinned === null ? `${key}; whose key that is was not checked, because AUDIT_PUBLIC_KEY is not set` : key;
  return { heads: report.heads, headsFrom: `the report of ${report.audit.finishedAt}, signed with ${whose}` };
}

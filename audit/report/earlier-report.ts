import { createPublicKey, type KeyObject } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { UsageError } from '../../config/command-line.ts';
import type { AuditReport } from './report.ts';
import { fingerprintOf, type SignedReport } from './sign.ts';
import { verifyBytes } from './verify.ts';

/**
 * The heads of an earlier report, and its signer: `the report of <time>, signed with <fingerprint>`. Throws
 * {@link Misused} unless the signature is valid.
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

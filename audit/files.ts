import { createHash, createPublicKey } from 'node:crypto';
import { linkSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileJson } from './canonical-json.ts';
import { reportPage } from './html.ts';
import type { AuditReport } from './report.ts';
import { fingerprintOf, type SignedReport, type Signer, sign } from './sign.ts';

/** Where reports go unless another folder is named; git does not see it. */
export const REPORT_DIRECTORY = 'audit-reports';

export interface WrittenReport {
  /** Paths of the two files. */
  readonly json: string;
  readonly html: string;
  readonly report: SignedReport;
}

/**
 * Signs a report and writes it twice, for programs and for people, as `report-<time>.json` and `.html`. Each file is
 * there whole or not at all, the signed one last; none is ever written over.
 */
export function writeReport(report: AuditReport, signer: Signer, directory: string = REPORT_DIRECTORY): WrittenReport {
  const name = `report-${report.audit.finishedAt.replace(/[^0-9TZ.]/g, '')}`;
  const { keyId, isMachineOwn } = signer;
  const signedBy = { keyId, isMachineOwn };
  const fingerprint = fingerprintOf(createPublicKey(signer.key));
  const page = reportPage(report, { jsonFile: `${name}.json`, signedBy, fingerprint });
  const sha256 = createHash('sha256').update(page).digest('hex');
  const signed = sign({ ...report, html: { file: `${name}.html`, sha256 }, signedBy }, signer);
  const paths = { json: join(directory, `${name}.json`), html: join(directory, `${name}.html`) };
  mkdirSync(directory, { recursive: true });
  writeOnce(paths.html, page);
  writeOnce(paths.json, fileJson(signed));
  return { ...paths, report: signed };
}

/** A link is made whole, and not where something is already: throws `EEXIST` then. */
function writeOnce(path: string, text: string): void {
  const fresh = `${path}.${process.pid}.new`;
  writeFileSync(fresh, text, { mode: 0o640, flush: true });
  try {
    linkSync(fresh, path);
  } finally {
    rmSync(fresh);
  }
}

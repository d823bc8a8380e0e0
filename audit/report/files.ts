import { createHash, createPublicKey } from 'node:crypto';
import { linkSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileJson } from '../../encoding/canonical-json.ts';
import { reportPage } from '../page/page.ts';
import type { AuditReport } from './report.ts';
import { WALLET_COLUMNS } from './roll-forward.ts';
import { type BookFiles, SCHEDULE_COLUMNS } from './schedule.ts';
import { type Form, LineWriter } from './chained-lines.ts';
import { fingerprintOf, type NamedLineFile, type SignedReport, type ReportSigningKey, signReport } from './sign.ts';
import { workingPaper } from './working-paper.ts';

/** The default folder of reports; git ignores it. */
const REPORT_DIRECTORY = 'audit-reports';

export interface WrittenReport {
  /** Paths of the two files. */
  readonly json: string;
  readonly html: string;
  /** Paths of the files beside them. */
  readonly beside: readonly string[];
  readonly report: SignedReport;
}

/** The suffix of each file of lines after the report's name. */
const LINE_FILES: readonly { readonly of: keyof BookFiles; readonly suffix: string; readonly form: Form }[] = [
  { of: 'line', suffix: 'schedule.csv', form: 'csv' },
  { of: 'line', suffix: 'schedule.jsonl', form: 'jsonl' },
  { of: 'wallet', suffix: 'wallets.csv', form: 'csv' },
];

/** Files of lines that are written during the audit, and get their names with the report. */
export interface OpenFiles extends BookFiles {
  /** Names the files after a report, atomically each; throws `EEXIST` where one of the name exists. Call once. */
  keep(name: string): readonly NamedLineFile[];
  /** Deletes the files that were not kept. */
  drop(): void;
}

export function openFiles(directory: string): OpenFiles {
  mkdirSync(directory, { recursive: true });
  const open = LINE_FILES.map(({ of, suffix, form }) => {
    const path = join(directory, `.${process.pid}-${suffix}.new`);
    rmSync(path, { force: true });
    const columns = of === 'wallet' ? WALLET_COLUMNS : SCHEDULE_COLUMNS;
    return { of, suffix, path, writer: new LineWriter(path, form, columns) };
  });
  const put = (which: keyof BookFiles): BookFiles['line'] => {
    const writers = open.filter(({ of }) => of === which).map(({ writer }) => writer);
    return (cells) => {
      for (const writer of writers) writer.line(cells);
    };
  };
  return {
    line: put('line'),
    wallet: put('wallet'),
    keep: (name) =>
      open.map(({ suffix, path, writer }) => {
        const closed = writer.close();
        const file = `${name}-${suffix}`;
        linkSync(path, join(directory, file));
        return { ...closed, file };
      }),
    drop: () => {
      for (const { path } of open) rmSync(path, { force: true });
    },
  };
}

/**
 * Signs a report and writes it for programs and for people, as `report-<time>.json` and `.html`, with its files of
 * lines and the sample. Each file is written atomically, the signed one last; none is ever overwritten.
 */
export function writeReport(
  report: AuditReport,
  signer: ReportSigningKey,
  directory: string = REPORT_DIRECTORY,
  open: OpenFiles | null = null,
): WrittenReport {
  const name = `report-${report.audit.finishedAt.replace(/[^0-9TZ.]/g, '')}`;
  const { keyId, isMachineOwn } = signer;
  const signedBy = { keyId, isMachineOwn };
  const fingerprint = fingerprintOf(createPublicKey(signer.key));
  mkdirSync(directory, { recursive: true });
  const drawn = report.books?.drawn ?? null;
  const files = open === null || report.books === null ? [] : open.keep(name);
  const paper = drawn === null ? null : `${name}-sample.csv`;
  const page = reportPage(report, { jsonFile: `${name}.json`, files, paper, signedBy, fingerprint });
  const sha256 = createHash('sha256').update(page).digest('hex');
  const signed = signReport({ ...report, html: { file: `${name}.html`, sha256 }, files, signedBy }, signer);
  const paths = { json: join(directory, `${name}.json`), html: join(directory, `${name}.html`) };
  writeOnce(paths.html, page);
  if (drawn !== null && paper !== null) writeOnce(join(directory, paper), workingPaper(drawn));
  writeOnce(paths.json, fileJson(signed));
  const beside = [...files.map(({ file }) => file), ...(paper === null ? [] : [paper])];
  return { ...paths, beside: beside.map((file) => join(directory, file)), report: signed };
}

/** Writes a file atomically by a link; throws `EEXIST` if it exists. */
function writeOnce(path: string, text: string): void {
  const fresh = `${path}.${process.pid}.new`;
  writeFileSync(fresh, text, { mode: 0o640, flush: true, flag: 'wx' });
  try {
    linkSync(fresh, path);
  } finally {
    rmSync(fresh);
  }
}

import type { Drawn, ScheduleLine } from './report.ts';
import { evidenceWord } from './schedule.ts';
import { type Cell, csvCell } from './chained-lines.ts';

/** The items that an auditor examines for each drawn line; the statement is the provider’s. */
export const TO_SEE = ['callback', 'history', 'statement', 'decision'] as const;

const COLUMNS: Readonly<Record<string, (line: ScheduleLine) => string | null>> = {
  line: ({ line }) => String(line),
  posting: ({ posting }) => posting,
  at: ({ at }) => at,
  deposit: ({ deposit }) => deposit,
  wallet: ({ wallet }) => wallet,
  amount: ({ amount }) => amount,
  currency: ({ currency }) => currency,
  paid: ({ paid }) => paid,
  transaction_code: ({ code }) => code,
  evidence: ({ evidence }) => evidenceWord(evidence),
  findings: ({ findings }) => findings.join(' '),
  callback: ({ callback }) => callback,
  archive_row: ({ archiveRow }) => archiveRow,
  block: ({ block }) => block,
  decided_by: ({ decidedBy }) => decidedBy,
};
const NUMBERS = new Set(['line', 'posting', 'amount', 'paid', 'callback', 'archive_row', 'block']);
const TO_FILL = [...TO_SEE.map((one) => `${one.replaceAll(' ', '_')}_seen`), 'initials', 'date', 'remark'];

/**
 * The sample as CSV, with columns to fill in. It is no evidence: the signed report has the sample, and nobody verifies
 * this file.
 */
export function workingPaper({ lines }: Drawn): string {
  const cells = (line: ScheduleLine): Cell[] =>
    Object.entries(COLUMNS).map(([name, of]) => ({ name, text: of(line), isNumber: NUMBERS.has(name) }));
  const rows = lines.map((line) => [...cells(line).map(csvCell), ...TO_FILL.map(() => '')].join(','));
  return [[...Object.keys(COLUMNS), ...TO_FILL].join(','), ...rows].map((row) => `${row}\r\n`).join('');
}

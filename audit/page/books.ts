import { grouped } from '../../domain/money.ts';
import { amountText, type Column, code, leftOut, many, moment, momentCell, table, whole } from './parts.ts';
import { type Html, visibleHtml } from '../../encoding/html.ts';
import type { AccountMovement, AuditReport, Books, Drawn, ScheduleLine } from '../report/report.ts';
import { evidenceWord } from '../report/schedule.ts';
import type { NamedLineFile } from '../report/sign.ts';
import { TO_SEE } from '../report/working-paper.ts';

/** The parts for an auditor: the trial balance with its roll-forward, the schedule of credits, and the sample. */

const NONE = visibleHtml`<p>Of a single deposit there is none.</p>`;

/** `from 2026-01-01 00:00:00 UTC, before 2027-01-01 00:00:00 UTC`. */
export function periodText({ from, to }: AuditReport['audit']['scope']): string {
  if (from === null && to === null) return 'from the first posting to the moment of the audit';
  const begin = from === null ? 'from the first posting' : `from ${moment(from)}`;
  return to === null ? `${begin} to the moment of the audit` : `${begin}, before ${moment(to)}`;
}

const KINDS: Readonly<Record<string, string>> = {
  wallets: 'owed to customers',
  clearing: 'claimed from the provider',
  suspense: 'undecided, with people',
  fees: 'earned',
};

export function trialBalance({ audit, books }: AuditReport): Html {
  if (books === null) return NONE;
  const signed =
    (cell: (row: AccountMovement) => string): Column<AccountMovement>['cell'] =>
    (row) =>
      grouped(cell(row));
  return visibleHtml`<p>The period is ${periodText(audit.scope)}; a posting belongs to the period in which its block was sealed. Sums of the entries, in MTC.</p>
${table<AccountMovement>({
  caption: null,
  label: 'Trial balance and roll-forward',
  rows: books.accounts,
  style: 'wide',
  columns: [
    {
      head: 'Account',
      cell: ({ account, kind }) =>
        visibleHtml`${account}<br><span class="soft">${KINDS[account.split(':')[0] ?? ''] ?? kind}, ${isDebit(kind) ? 'debit' : 'credit'}</span>`,
      style: 'long',
    },
    { head: 'Opening', cell: signed(({ opening }) => opening), style: 'number' },
    { head: 'In', cell: signed(({ came }) => came), style: 'number' },
    { head: 'Out', cell: signed(({ went }) => went), style: 'number' },
    { head: 'Closing', cell: signed(({ closing }) => closing), style: 'number' },
    { head: 'Kept balance', cell: (row) => kept(row), style: 'number' },
  ],
})}
<ul>
${books.differences.map(({ asset, difference }) => visibleHtml`<li>${mark(difference === '0')} Debits less credits at the end of the period: ${amountText(difference, asset)}.</li>\n`)}<li>${mark(books.schedule.agrees)} ${
    books.schedule.agrees
      ? 'The lines of the schedule add up to what the accounts moved by.'
      : visibleHtml`<strong>The lines of the schedule do not add up to what the accounts moved by.</strong>`
  } ${sums(books)}</li>
</ul>`;
}

const isDebit = (kind: AccountMovement['kind']): boolean => kind === 'asset' || kind === 'expense';
const kept = ({ kept: is, closing }: AccountMovement): string =>
  is === null ? 'not of then' : is === closing ? grouped(is) : `${grouped(is)} (differs)`;
const mark = (isRight: boolean): Html =>
  isRight ? visibleHtml`<span class="outcome ok">✓</span>` : visibleHtml`<span class="outcome no">✗</span>`;
const sums = ({ schedule: { wallets, suspense, fees, clearing } }: Books): string =>
  `Wallets ${grouped(wallets)}, suspense ${grouped(suspense)}, fees ${grouped(fees)}, clearing ${grouped(clearing)}.`;

const evidenceCell = ({ evidence, findings }: ScheduleLine): Html =>
  evidence === 'finding'
    ? visibleHtml`<span class="outcome no">✗ finding</span><br>${findings.join(', ')}`
    : visibleHtml`${evidenceWord(evidence)}`;

/** References of a line: callback, archive row, block. */
const references = ({ callback, archiveRow, block, code: transaction }: ScheduleLine): string =>
  [
    ['code', transaction],
    ['callback', callback],
    ['archive row', archiveRow],
    ['block', block],
  ]
    .flatMap(([what, id]) => (id === null ? [] : [`${what} ${id}`]))
    .join(', ');

const LINE: readonly Column<ScheduleLine>[] = [
  { head: 'Line', cell: ({ line }) => whole(line), style: 'number' },
  {
    head: 'Deposit, wallet',
    cell: ({ deposit, wallet }) =>
      visibleHtml`${deposit ?? 'no deposit'}<br><span class="soft">${wallet === null ? 'no wallet' : wallet}</span>`,
    style: 'id',
  },
  {
    head: 'MTC, paid',
    cell: (line) =>
      visibleHtml`${grouped(line.amount)}<br><span class="soft">${line.paid === null ? '' : amountText(line.paid, line.currency ?? '')}</span>`,
    style: 'number',
  },
  {
    head: 'When, what',
    cell: ({ at, kind, posting }) =>
      visibleHtml`${momentCell(at)}<br><span class="soft">${kind}, <span class="${posting.length < 20 ? 'short' : 'id'}">posting ${posting}</span></span>`,
    style: 'id',
  },
  {
    head: 'Evidence',
    cell: (line) =>
      visibleHtml`${evidenceCell(line)}${line.decidedBy === null ? null : visibleHtml` by ${line.decidedBy}`}<br><span class="soft">${references(line)}</span>`,
    style: 'long',
  },
];

export function scheduleSection({ books }: AuditReport, files: readonly NamedLineFile[]): Html {
  if (books === null) return NONE;
  const { lines, flagged } = books.schedule;
  return visibleHtml`<p>Every posting of the period, in the order of the ledger’s chain; what takes money back is negative. ${
    flagged.lines === 0
      ? 'Nothing was found about any of them.'
      : visibleHtml`<strong>About ${many(flagged.lines, 'line')}, ${amountText(flagged.wallets)} of the wallets, something was found.</strong>`
  }</p>
${files.length === 0 ? null : visibleHtml`<ul>\n${files.map(({ file, rows, head }) => visibleHtml`<li>${code(file)}: ${many(rows, 'line')}, the last with the chain hash ${code(head)}</li>\n`)}</ul>\n`}${
  lines === 0
    ? visibleHtml`<p>There are none.</p>`
    : table<ScheduleLine>({
        caption: null,
        label: 'Schedule of credits',
        rows: books.lines,
        columns: LINE,
        style: 'wide',
      })
}${leftOut(books.lines.length, lines, 'lines')}`;
}

export function drawnSection({ books }: AuditReport, paper: string | null): Html {
  const drawn = books?.drawn ?? null;
  if (drawn === null)
    return visibleHtml`<p>None was asked for. <code>--list N --seed S</code> draws one, <code>--by amount</code> by monetary units.</p>`;
  return visibleHtml`<p>${howDrawn(drawn)}${paper === null ? null : visibleHtml` ${code(paper)} has the same lines, to be filled in.`}</p>
${
  drawn.lines.length === 0
    ? visibleHtml`<p>There was nothing to draw from.</p>`
    : table<ScheduleLine>({
        caption: null,
        label: 'Sample to look at',
        rows: drawn.lines,
        columns: [...LINE, { head: 'Seen', cell: toTick, style: 'id' }],
        style: 'wide',
      })
}`;
}

const howDrawn = ({ by, seed, asked, ofLines, ofAmount, interval, start, lines }: Drawn): string => {
  const from = `${many(lines.length, 'credit')} of ${whole(ofLines)}, ${amountText(ofAmount)}, drawn with seed ${seed}`;
  return by === 'line'
    ? `${from}: those with the lowest sha256 of “${seed}|posting”.`
    : `${from} by monetary units: a cut each ${amountText(interval ?? '0')} from ${amountText(start ?? '0')} on, ${many(asked, 'cut')}; a credit that is cut more than once is listed once.`;
};

const toTick = ({ line }: ScheduleLine): Html =>
  visibleHtml`${TO_SEE.map(
    (what, at) =>
      visibleHtml`<label class="tick" for="seen-${line}-${at}"><input type="checkbox" id="seen-${line}-${at}"> ${what}</label>`,
  )}<span class="initials">by</span>`;

import { grouped } from '../../domain/money.ts';
import { stateMeaning } from './charts.ts';
import { amountText, code, leftOut, momentCell, table, whole } from './parts.ts';
import { type Html, visibleHtml } from '../../encoding/html.ts';
import type { AuditReport, DecisionFact, OpenWork, Person } from '../report/report.ts';

/** Decisions of operators, and open work. */

export const peopleTable = ({ people }: AuditReport): Html =>
  people.length === 0
    ? visibleHtml`<p>Nothing had to be decided by people.</p>`
    : table<Person>({
        caption:
          'By name of their personal key. “Alone” counts what one person both proposed and confirmed: allowed up to the limit that was frozen in the deposit.',
        label: 'People who decided',
        rows: people,
        columns: [
          { head: 'Name', cell: ({ name }) => name, style: 'id' },
          { head: 'Proposed', cell: ({ proposed }) => whole(proposed), style: 'number' },
          { head: 'Confirmed', cell: ({ confirmed }) => whole(confirmed), style: 'number' },
          { head: 'Alone', cell: ({ alone }) => whole(alone), style: 'number' },
        ],
      });

const DECIDED: Readonly<Record<string, string>> = {
  credit: 'credit it',
  reject: 'do not credit it',
  reverse: 'take the credit back',
  restore: 'put it back where it was',
};

export const decisionsTable = ({ decisions, counts }: AuditReport): Html =>
  decisions.length === 0
    ? visibleHtml``
    : visibleHtml`<h3>Each decision</h3>
${table<DecisionFact>({
  caption:
    'Oldest first. Who proposed stands above who confirmed. “Two needed” by the limit that was frozen in the deposit, beside another payment, and for what cannot be read.',
  label: 'Decisions',
  rows: decisions,
  style: 'wide',
  columns: [
    { head: 'Case', cell: ({ workflowId }) => workflowId, style: 'id' },
    { head: 'Decided', cell: decided, style: 'id' },
    {
      head: 'MTC',
      cell: (one) => (one.amount === null ? 'not known' : grouped(one.amount)),
      style: 'number',
    },
    { head: 'Proposed, confirmed by', cell: by, style: 'id' },
    { head: 'Reason', cell: ({ reason }) => reason, style: 'long' },
    { head: 'When', cell: ({ decidedAt }) => momentCell(decidedAt), style: 'id' },
  ],
})}${leftOut(decisions.length, counts.decisions, 'decisions')}`;

const decided = ({ decision, wallet, posting }: DecisionFact): Html =>
  visibleHtml`${DECIDED[decision] ?? decision}${wallet === null ? null : visibleHtml`<br>wallet ${wallet}`}${posting === null ? visibleHtml`<br><span class="soft">no posting</span>` : visibleHtml`<br><span class="soft">posting ${posting}</span>`}`;

const by = ({ proposedBy, confirmedBy, needsTwo }: DecisionFact): Html =>
  visibleHtml`${proposedBy === confirmedBy ? `${proposedBy} alone` : visibleHtml`${proposedBy}<br>${confirmedBy}`}<br><span class="soft">${needsTwo ? 'two needed' : 'one is enough'}</span>`;

export const openTable = ({ open, counts }: AuditReport): Html =>
  open.length === 0
    ? visibleHtml`<p>Nothing: every deposit is closed and every case is decided.</p>`
    : visibleHtml`${table<OpenWork>({
        caption: 'Oldest first. Open work was audited as far as it has come, from its history in Temporal.',
        label: 'Open deposits and cases',
        rows: open,
        style: 'wide',
        columns: [
          { head: 'Deposit or case', cell: ({ workflowId }) => workflowId, style: 'id' },
          { head: 'Waits', cell: ({ isCase, state }) => waits(isCase, state), style: 'words' },
          { head: 'Wallet', cell: ({ wallet }) => wallet ?? 'none', style: 'id' },
          {
            head: 'At stake',
            cell: ({ asked }) => (asked === null ? 'not known' : amountText(asked.amount, asked.unit)),
            style: 'number',
          },
          { head: 'Since', cell: ({ since }) => momentCell(since), style: 'id' },
          {
            head: 'Closes by',
            cell: ({ until }) => (until === null ? 'a decision' : momentCell(until)),
            style: 'words',
          },
        ],
      })}${leftOut(open.length, counts.openDeposits + counts.openCases, 'open deposits and cases')}`;

const waits = (isCase: boolean, state: string): Html =>
  isCase
    ? visibleHtml`for people:<br>${code(state)}`
    : visibleHtml`${code(state)}<br><span class="soft">${stateMeaning(state)}</span>`;

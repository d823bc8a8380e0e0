import { FINDINGS, type FindingKind } from '../report/findings.ts';
import { amountText, leftOut, many, momentCell, table, whole } from './parts.ts';
import { type Html, visibleHtml } from '../../encoding/html.ts';
import type { AuditCheck, Finding, FindingAbout } from '../report/report.ts';

/** Each check: its meaning, the number of items, and the findings, each with its meaning and remedy. */

export const checksTable = (checks: readonly AuditCheck[]): Html =>
  table<AuditCheck>({
    caption: 'A check is passed when nothing was found.',
    label: 'The checks',
    rows: checks,
    columns: [
      { head: 'Check', cell: ({ id, title }) => visibleHtml`<a href="#check-${id}">${title}</a>`, style: 'long' },
      { head: 'Outcome', cell: outcome },
      { head: 'Looked at', cell: ({ checked, unit }) => `${whole(checked)} ${unit}`, style: 'id' },
      { head: 'Found', cell: ({ found }) => whole(found), style: 'number' },
    ],
  });

/** Words, not colors alone. A check without items has not passed. */
function outcome({ checked, found }: AuditCheck): Html {
  if (found > 0) return visibleHtml`<span class="outcome no">✗ not passed</span>`;
  if (checked === 0) return visibleHtml`<span class="outcome">nothing to check</span>`;
  return visibleHtml`<span class="outcome ok">✓ passed</span>`;
}

export const checksInDetail = (checks: readonly AuditCheck[]): Html =>
  visibleHtml`${checks.map(
    (check, at) => visibleHtml`<h3 id="check-${check.id}">${at + 1}. ${check.title}</h3>
<p>${check.meaning}</p>
<p>${outcome(check)} ${whole(check.checked)} ${check.unit}, ${check.found === 0 ? 'nothing found' : `${whole(check.found)} found`}.</p>
${check.kinds.map(({ kind, found }) => kindOf(check, kind, found))}`,
  )}`;

function kindOf({ id, findings }: AuditCheck, kind: FindingKind, found: number): Html {
  const { title, means, todo } = FINDINGS[kind];
  const rows = findings.filter((finding) => finding.kind === kind);
  return visibleHtml`<div class="kind" id="${id}-${kind}">
<h4>${whole(found)} × ${title} <code>${kind}</code></h4>
<p><strong>What this means:</strong> ${means}</p>
<p><strong>What to do:</strong> ${todo}</p>
</div>
${
  rows.length === 0
    ? visibleHtml`<p class="soft">None of them is among the listed findings of this check.</p>`
    : table<Finding>({
        caption: null,
        label: `${title}: ${many(rows.length, 'finding')}`,
        rows,
        columns: [
          { head: 'Where', cell: ({ where }) => where, style: 'id' },
          { head: 'About', cell: ({ about }) => aboutCell(about ?? null), style: 'id' },
          { head: 'Expected and found', cell: ({ detail }) => detail, style: 'long' },
        ],
      })
}${leftOut(rows.length, found, 'findings of this kind')}`;
}

const aboutCell = (about: FindingAbout | null): Html =>
  about === null
    ? visibleHtml`no payment`
    : visibleHtml`${aboutText(about)}${about.at === null ? null : visibleHtml`<br><span class="soft">${momentCell(about.at)}</span>`}`;

/** `deposit order-1, 5,000 MTC paid to wallet w-1`. */
export function aboutText({ deposit, wallet, isPaid, amount: moved }: FindingAbout): string {
  const money = moved === null ? [] : [amountText(moved)];
  const whose = wallet === null ? ['no wallet'] : [`${isPaid ? 'paid to' : 'not paid, of'} wallet ${wallet}`];
  return [...(deposit === null ? [] : [`deposit ${deposit}`]), [...money, ...whose].join(' ')].join(', ');
}

import { createHash } from 'node:crypto';
import { depositsByState, depositsOverTime } from './charts.ts';
import { drawnSection, periodText, scheduleSection, trialBalance } from './books.ts';
import { checksInDetail, checksTable } from './checks.ts';
import { glance, verdict } from './glance.ts';
import { amountText, code, many, moment, table, whole } from './parts.ts';
import { howToCheck, notProved } from './proof.ts';
import { styleOf } from './style.ts';
import { decisionsTable, openTable, peopleTable } from './work.ts';
import { Html, visibleHtml } from '../../encoding/html.ts';
import type { AuditReport, AuditScope, Total } from '../report/report.ts';
import type { NamedLineFile, ReportSigner } from '../report/sign.ts';

/** The page's facts about itself and about the files beside it. */
export interface PageFacts {
  /** The name of the signed JSON file. */
  readonly jsonFile: string;
  /** The files of lines beside it, and that of the sample. */
  readonly files: readonly NamedLineFile[];
  readonly paper: string | null;
  readonly signedBy: ReportSigner;
  /** The whole fingerprint of the key. */
  readonly fingerprint: string;
}

/** The report as one self-contained page for readers, without scripts and without requests. */
export function reportPage(report: AuditReport, facts: PageFacts): string {
  const style = styleOf(`Audit of the deposit engine, ${moment(report.audit.finishedAt)}`);
  return visibleHtml`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'sha256-${hashOf(style)}'; img-src data:">
<meta name="referrer" content="no-referrer">
<title>Audit of the deposit engine, ${moment(report.audit.finishedAt)}: ${report.unexplained === 0 ? 'nothing is unexplained' : `${whole(report.unexplained)} unexplained`}</title>
<link rel="icon" href="data:,">
<style>${asStyle(style)}</style>
</head>
<body>
<div class="first">
<header>
<h1>Audit of the deposit engine</h1>
${parties(report.audit.scope)}<p>${scopeText(report.audit.scope)} Made ${moment(report.audit.startedAt)} to ${moment(report.audit.finishedAt)}.</p>
</header>
${verdict(report)}
${glance(report)}
${heads(report)}
${signedBy(facts)}
${contents}
</div>
<main>
${part('totals', 'Totals', 'page', totalsTable(report.totals))}
${part('states', 'Deposits by state', '', depositsByState(report.states))}
${part('time', 'Deposits over time', 'page', depositsOverTime(report.days))}
${part('balance', 'Trial balance and roll-forward', '', trialBalance(report))}
${part('checks', 'The checks', 'page', visibleHtml`${checksTable(report.checks)}${checksInDetail(report.checks)}`)}
${part('decisions', 'What people decided', 'page', visibleHtml`${peopleTable(report)}${decisionsTable(report)}`)}
${part('open', 'What is open', '', openTable(report))}
${part('schedule', 'Schedule of credits', 'page', scheduleSection(report, facts.files))}
${part('sample', 'Sample to look at', 'page', drawnSection(report, facts.paper))}
${part('notes', 'Explained, and worth knowing', '', notes(report.notes))}
${part('code', 'The code that decided', '', codeOf(report))}
${part('limits', 'What this report does not prove', 'page', notProved)}
${part('signature', 'The signature, and how to check it without our code', '', howToCheck(report, facts))}
</main>
</body>
</html>
`.text;
}

const hashOf = (style: string) => createHash('sha256').update(style).digest('base64');

/** Only for our own style, which contains nothing that ends the element. */
const asStyle = (style: string): Html => new Html(style);

const CONTENTS = [
  ['totals', 'Totals'],
  ['states', 'Deposits by state'],
  ['time', 'Deposits over time'],
  ['balance', 'Trial balance and roll-forward'],
  ['checks', 'The checks'],
  ['decisions', 'What people decided'],
  ['open', 'What is open'],
  ['schedule', 'Schedule of credits'],
  ['sample', 'Sample to look at'],
  ['notes', 'Explained, and worth knowing'],
  ['code', 'The code that decided'],
  ['limits', 'What this report does not prove'],
  ['signature', 'The signature'],
] as const;

const contents = visibleHtml`<nav aria-label="Contents">
<h2>Contents</h2>
<ol>
${CONTENTS.map(([id, title]) => visibleHtml`<li><a href="#${id}">${title}</a></li>\n`)}</ol>
</nav>`;

const part = (id: string, title: string, style: string, body: Html): Html =>
  visibleHtml`<section class="part ${style}" id="${id}" aria-labelledby="${id}-title">
<h2 id="${id}-title">${title}</h2>
${body}
</section>`;

/** The owner of the books, the period, and the preparer of the report. */
const parties = (scope: AuditScope): Html => {
  const said = [
    ...(scope.entity === null ? [] : [`Entity: ${scope.entity}`]),
    ...(scope.from === null && scope.to === null ? [] : [`Period: ${periodText(scope)}`]),
    ...(scope.preparer === null ? [] : [`Prepared by ${scope.preparer}`]),
  ];
  return said.length === 0 ? visibleHtml`` : visibleHtml`<p>${said.join(' · ')}</p>\n`;
};

/** The scope of the audit, as a sentence. */
export function scopeText({ since, sample, deposit }: AuditScope): string {
  if (deposit !== null) return `The deposit ${deposit} alone was audited.`;
  const from =
    since === null
      ? 'Everything since the first deposit'
      : `What closed since ${moment(since)}, and what is still open,`;
  return sample === null ? `${from} was audited.` : `${from} was audited by a sample: ${sample}.`;
}

const heads = ({ heads: { ledger, archive } }: AuditReport): Html =>
  visibleHtml`<section id="heads" aria-labelledby="heads-title">
<h2 id="heads-title">Heads of the chains</h2>
<p>Each hash stands for everything before it. Keep this page: the chains of every later report have to pass through these two.</p>
${table<readonly [string, { readonly n: number; readonly hash: string } | null]>({
  caption: null,
  label: 'Heads of the chains',
  rows: [
    ['Ledger, last block', ledger],
    ['Archive, last row', archive],
  ],
  columns: [
    { head: 'Chain', cell: ([name]) => name },
    { head: 'Number', cell: ([, head]) => (head === null ? 'empty' : whole(head.n)), style: 'number' },
    { head: 'Hash', cell: ([, head]) => (head === null ? '' : code(head.hash)), style: 'long' },
  ],
})}</section>`;

const signedBy = ({ jsonFile, signedBy: { keyId, isMachineOwn } }: PageFacts): Html =>
  visibleHtml`<section id="signed" aria-labelledby="signed-title">
<h2 id="signed-title">Signed</h2>
<p>${code(jsonFile)} holds the same facts and the hash of this page, and is signed with the Ed25519 key ${code(keyId)}. ${
    isMachineOwn
      ? visibleHtml`<strong>That key is this machine’s own:</strong> no key was set, so one was made here. It shows that nothing was changed since, not who signed.`
      : 'Compare the key with the one you were given by its owner.'
  } <a href="#signature">How to check it</a>.</p>
</section>`;

const totalsTable = (totals: readonly Total[]): Html =>
  totals.length === 0
    ? visibleHtml`<p>There were no deposits.</p>`
    : table<Total>({
        caption:
          'Per currency and mode. “MtcAmount” orders fix the MTC, “PaymentPrice” orders the price. Credited is what stands in wallets after reversals; paid is what customers paid for it.',
        label: 'Totals per currency and mode',
        rows: totals,
        style: 'wide',
        columns: [
          { head: 'Currency and mode', cell: ({ currency, mode }) => `${currency}, ${mode}` },
          { head: 'Deposits', cell: ({ deposits }) => whole(deposits), style: 'number' },
          { head: 'Credits', cell: ({ credits }) => whole(credits), style: 'number' },
          { head: 'Credited', cell: ({ credited }) => amountText(credited), style: 'number' },
          { head: 'Paid', cell: ({ fiat, currency }) => amountText(fiat, currency), style: 'number' },
        ],
      });

const notes = (sentences: readonly string[]): Html =>
  sentences.length === 0
    ? visibleHtml`<p>Nothing.</p>`
    : visibleHtml`<ul>\n${sentences.map((sentence) => visibleHtml`<li>${sentence}</li>\n`)}</ul>`;

const codeOf = ({ audit, bundles }: AuditReport): Html => visibleHtml`<p>Audited by version ${code(audit.codeVersion)}.
Histories were replayed on the workflow code with the sha256 ${code(audit.bundleHash)}, unless the table says otherwise.</p>
${table<AuditReport['bundles'][number]>({
  caption: `${many(bundles.length, 'bundle')} of workflow code decided what was audited. A bundle is named by its sha256, which stands in each history.`,
  label: 'Bundles of workflow code',
  rows: bundles,
  style: 'wide',
  columns: [
    { head: 'Bundle', cell: ({ hash }) => code(hash), style: 'long' },
    { head: 'Version', cell: ({ version }) => version, style: 'id' },
    { head: 'Temporal SDK', cell: ({ sdk }) => sdk, style: 'id' },
    { head: 'Histories', cell: ({ histories }) => whole(histories), style: 'number' },
    { head: 'Replayed on', cell: ({ replayedOn }) => (replayedOn === 'today' ? 'the code of today' : 'itself') },
    { head: 'Kept', cell: ({ kept }) => (kept ? 'yes' : 'no') },
  ],
})}`;

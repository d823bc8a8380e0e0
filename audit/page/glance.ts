import { FINDINGS, type FindingKind } from '../report/findings.ts';
import { aboutText } from './checks.ts';
import { amountText, listing, many, moment, totalText, whole } from './parts.ts';
import { type Html, visibleHtml } from '../../encoding/html.ts';
import type { AuditCheck, AuditReport, Basis } from '../report/report.ts';

/** The first page: is anything unexplained, and who, how much, when, on what evidence, and what is open. */

const MAX_KINDS = 8;

export function verdict(report: AuditReport): Html {
  const {
    unexplained,
    checks,
    audit: { scope },
  } = report;
  const looked = checks.map(({ checked, unit }) => `${whole(checked)} ${unit}`);
  const extent = `${many(checks.length, 'check')} looked at ${listing(looked)}.`;
  const isPart = [scope.since, scope.sample, scope.deposit].some((limit) => limit !== null);
  const within = isPart ? ' in the part that was audited' : '';
  if (unexplained === 0) {
    return visibleHtml`<section class="verdict good" id="verdict" aria-labelledby="verdict-title">
<h2 id="verdict-title">✓ Nothing is unexplained${within}</h2>
<p>This report is not qualified by a finding. ${extent}</p>
</section>`;
  }
  const kinds = checks.flatMap((check) => check.kinds.map((one) => ({ check, ...one })));
  const more = kinds.length - MAX_KINDS;
  return visibleHtml`<section class="verdict bad" id="verdict" aria-labelledby="verdict-title">
<h2 id="verdict-title">✗ ${unexplained === 1 ? 'One thing is' : `${whole(unexplained)} things are`} unexplained${within}</h2>
<p><strong>${qualified(report)}</strong></p>
<ul>
${kinds.slice(0, MAX_KINDS).map(({ check, kind, found }) => visibleHtml`<li><a href="#${check.id}-${kind}">${whole(found)} × ${FINDINGS[kind].title}</a>${firstOf(check, kind, found)}</li>\n`)}${more > 0 ? visibleHtml`<li><a href="#checks">and ${many(more, 'other kind')}</a></li>\n` : null}</ul>
<p>${extent}</p>
</section>`;
}

/** The qualification: the statements below do not hold for items with findings. */
function qualified({ unexplained, checks, evidence, books }: AuditReport): string {
  const by = checks.filter(({ found }) => found > 0).map(({ title, found }) => `${whole(found)} under “${title}”`);
  const about = evidence.find(({ basis }) => basis === 'finding');
  const credits =
    about === undefined
      ? 'None of the credits that stand in wallets is among them by name.'
      : `${many(about.credits, 'credit')}, ${amountText(about.credited)}, ${about.credits === 1 ? 'is' : 'are'} not confirmed by this report.`;
  const sums = books === null || books.schedule.agrees ? '' : ' The schedule does not add up to the ledger.';
  return `Qualified: ${many(unexplained, 'finding')}, of which ${listing(by)}. ${credits}${sums}`;
}

/** The first of a kind with its deposit, wallet, amount and time. */
function firstOf({ findings }: AuditCheck, kind: FindingKind, found: number): Html {
  const own = findings.filter((finding) => finding.kind === kind);
  const first = own.find(({ about }) => (about ?? null) !== null) ?? own[0];
  if (first === undefined) return visibleHtml``;
  const { about, where } = first;
  const said =
    about === null || about === undefined
      ? where
      : `${aboutText(about)}${about.at === null ? '' : `, ${moment(about.at)}`}`;
  return visibleHtml`<br><span class="soft">${said}${found > 1 ? `, and ${whole(found - 1)} more` : ''}</span>`;
}

export const glance = (report: AuditReport): Html => visibleHtml`<section id="glance" aria-labelledby="glance-title">
<h2 id="glance-title">At a glance</h2>
<dl class="glance">
${answer('How much', howMuch(report))}
${answer('Who', who(report))}
${answer('When', when(report))}
${answer('On what evidence', onWhat(report))}
${answer('What is open', whatIsOpen(report))}
</dl>
</section>`;

const answer = (question: string, sentences: readonly string[]): Html =>
  visibleHtml`<div><dt>${question}</dt><dd>${sentences.map((sentence) => visibleHtml`<p>${sentence}</p>`)}</dd></div>`;

function howMuch({ totals, counts, evidence }: AuditReport): string[] {
  if (counts.deposits === 0) return ['There were no deposits.'];
  const credits = totals.reduce((sum, total) => sum + total.credits, 0);
  const credited = totalText(totals.map((total) => total.credited));
  const currencies = [...new Set(totals.map(({ currency }) => currency))];
  const paid = currencies.map((currency) => {
    const fiat = totals.filter((total) => total.currency === currency).map((total) => total.fiat);
    return amountText(totalText(fiat), currency);
  });
  return [
    `${amountText(credited)} stand in wallets: ${many(credits, 'credit')} for ${many(counts.deposits, 'deposit')}.`,
    `Customers paid ${listing(paid)} for that.`,
    ...evidence
      .filter(({ basis }) => basis === 'finding')
      .map(
        ({ credits: many_, credited: sum }) =>
          `✗ Of that, ${many(many_, 'credit')} with ${amountText(sum)} ${many_ === 1 ? 'has' : 'have'} findings: these are the sums of the books, and this report does not confirm them.`,
      ),
  ];
}

function who({ counts, people }: AuditReport): string[] {
  const names = people.slice(0, 12).map(({ name }) => name);
  const more = people.length - names.length;
  const deciders = listing(more === 0 ? names : [...names, `${whole(more)} more`]);
  return [
    `The credits went to ${many(counts.wallets, 'wallet')}.`,
    people.length === 0 ? 'Nobody had to decide anything.' : `${deciders} decided ${many(counts.decisions, 'case')}.`,
  ];
}

function when({ days, audit }: AuditReport): string[] {
  const [first, last] = [days[0]?.day, days.at(-1)?.day];
  if (first === undefined || last === undefined) return [`Audited ${moment(audit.finishedAt)}.`];
  return [
    first === last ? `The deposits were created on ${first}.` : `The deposits were created from ${first} to ${last}.`,
  ];
}

const RESTS: Readonly<Record<Basis, string>> = {
  callback: 'on an authentic callback of the provider alone',
  two_people: 'on a callback and the decision of two people',
  one_person: 'on a callback and the decision of one person, where the frozen limit allows that',
  unsealed: 'on a callback from before seals, of which nothing proves who wrote it',
  on_its_way: 'of a workflow that is not archived yet, compared as far as it has come',
  finding: '✗ something was found about them, and they are counted on no evidence',
};

function onWhat({ evidence, counts }: AuditReport): string[] {
  const proofs = `${many(counts.histories, 'recorded history', 'recorded histories')}, ${many(counts.callbacks, 'callback')} and ${many(counts.postings, 'posting')} were compared with each other.`;
  if (evidence.length === 0) return ['There were no credits.', proofs];
  return [
    ...evidence.map(
      ({ basis, credits, credited }) =>
        `${many(credits, 'credit')}, ${amountText(credited)}: ${RESTS[basis] ?? basis}.`,
    ),
    proofs,
  ];
}

function whatIsOpen({ counts, open }: AuditReport): string[] {
  if (counts.openDeposits + counts.openCases === 0) return ['Nothing.'];
  const oldest = open[0];
  return [
    `${many(counts.openDeposits, 'deposit')} not closed; ${many(counts.openCases, 'case')} for people to decide.`,
    ...(oldest === undefined
      ? []
      : [`The oldest is ${oldest.workflowId}, ${oldest.state}, since ${moment(oldest.since)}.`]),
  ];
}

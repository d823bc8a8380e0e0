import { FINDINGS } from './findings.ts';
import { amount, listing, many, moment, sumOf, whole } from './html-parts.ts';
import { type Markup, markup } from './markup.ts';
import type { AuditReport, Basis } from './report.ts';

/** The first page: is anything unexplained, and who, how much, when, on what evidence, and what is open. */

const MAX_KINDS = 8;

export function verdict({ unexplained, checks, audit: { scope } }: AuditReport): Markup {
  const looked = checks.map(({ checked, unit }) => `${whole(checked)} ${unit}`);
  const extent = `${many(checks.length, 'check')} looked at ${listing(looked)}.`;
  const isPart = [scope.since, scope.sample, scope.deposit].some((limit) => limit !== null);
  const within = isPart ? ' in the part that was audited' : '';
  if (unexplained === 0) {
    return markup`<section class="verdict good" id="verdict" aria-labelledby="verdict-title">
<h2 id="verdict-title">✓ Nothing is unexplained${within}</h2>
<p>${extent}</p>
</section>`;
  }
  const kinds = checks.flatMap(({ id, kinds: own }) => own.map((one) => ({ id, ...one })));
  const more = kinds.length - MAX_KINDS;
  return markup`<section class="verdict bad" id="verdict" aria-labelledby="verdict-title">
<h2 id="verdict-title">✗ ${unexplained === 1 ? 'One thing is' : `${whole(unexplained)} things are`} unexplained${within}</h2>
<ul>
${kinds.slice(0, MAX_KINDS).map(({ id, kind, found }) => markup`<li><a href="#${id}-${kind}">${whole(found)} × ${FINDINGS[kind].title}</a></li>\n`)}${more > 0 ? markup`<li><a href="#checks">and ${many(more, 'other kind')}</a></li>\n` : null}</ul>
<p>${extent}</p>
</section>`;
}

export const glance = (report: AuditReport): Markup => markup`<section id="glance" aria-labelledby="glance-title">
<h2 id="glance-title">At a glance</h2>
<dl class="glance">
${answer('How much', howMuch(report))}
${answer('Who', who(report))}
${answer('When', when(report))}
${answer('On what evidence', onWhat(report))}
${answer('What is open', whatIsOpen(report))}
</dl>
</section>`;

const answer = (question: string, sentences: readonly string[]): Markup =>
  markup`<div><dt>${question}</dt><dd>${sentences.map((sentence) => markup`<p>${sentence}</p>`)}</dd></div>`;

function howMuch({ totals, counts }: AuditReport): string[] {
  if (counts.deposits === 0) return ['There were no deposits.'];
  const credits = totals.reduce((sum, total) => sum + total.credits, 0);
  const credited = sumOf(totals.map((total) => total.credited));
  const currencies = [...new Set(totals.map(({ currency }) => currency))];
  const paid = currencies.map((currency) => {
    const fiat = totals.filter((total) => total.currency === currency).map((total) => total.fiat);
    return amount(sumOf(fiat), currency);
  });
  return [
    `${amount(credited)} stand in wallets: ${many(credits, 'credit')} for ${many(counts.deposits, 'deposit')}.`,
    `Customers paid ${listing(paid)} for that.`,
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

const BASES: Readonly<Record<Basis, string>> = {
  callback: 'on an authentic callback of the provider alone',
  two_people: 'on a callback and the decision of two people',
  one_person: 'on a callback and the decision of one person, where the frozen limit allows that',
};

function onWhat({ evidence, counts }: AuditReport): string[] {
  const proofs = `${many(counts.histories, 'recorded history', 'recorded histories')}, ${many(counts.callbacks, 'callback')} and ${many(counts.postings, 'posting')} were compared with each other.`;
  if (evidence.length === 0) return ['There were no credits.', proofs];
  return [
    ...evidence.map(
      ({ basis, credits, credited }) => `${many(credits, 'credit')}, ${amount(credited)}: ${BASES[basis] ?? basis}.`,
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

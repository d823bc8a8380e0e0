import { execFileSync } from 'node:child_process';
import os from 'node:os';
import { root } from '../../local/servers/paths.ts';
import type { AttackReport } from './run.ts';
import type { ClassReport } from './series.ts';

/** The report as JSON and as a page; the page is made from the same figures. */
export function writeReport(report: AttackReport): { json: string; markdown: string; summary: string } {
  const facts = { commit: commit(), at: new Date().toISOString(), machine: machine() };
  return {
    json: `${JSON.stringify({ ...facts, bound95: 3 / report.attempts, ...report }, null, 2)}\n`,
    markdown: page(report, facts),
    summary: summaryOf(report),
  };
}

interface Facts {
  readonly commit: string;
  readonly at: string;
  readonly machine: string;
}

function commit(): string {
  try {
    return execFileSync('git', ['rev-parse', '--short', 'HEAD'], { cwd: root, encoding: 'utf8', stdio: 'pipe' }).trim();
  } catch {
    return 'no commit';
  }
}

const machine = (): string =>
  `${os.cpus().length} × ${os.cpus()[0]?.model ?? 'unknown'}, ${Math.round(os.totalmem() / 2 ** 30)} GB, Node ${process.version}`;

/** The rule of three: with zero in n, at most 3/n in 95 of 100 cases. */
const bound = (attempts: number): string => (3 / attempts).toExponential(1);

const genuineCallbacks = ({ genuine }: AttackReport): number =>
  Object.values(genuine.sent).reduce((sum, sent) => sum + sent, 0);

function summaryOf(report: AttackReport): string {
  const { attempts, classes, accepted, genuine, failures, seconds } = report;
  return [
    `${attempts} attempts in ${classes.length} classes, ${Math.round(seconds)} s: ${accepted} accepted${accepted === 0 ? ` (95 % bound ${bound(attempts)})` : ''}`,
    `${genuineCallbacks(report)} genuine callbacks of ${genuine.deposits} deposits beside them: ${genuine.rejected.length} rejected`,
    ...failures.map((failure) => `FAILED ${failure}`),
    failures.length === 0
      ? 'every attack was turned away, everything genuine was taken'
      : `${failures.length} failures`,
  ].join('\n');
}

function page(report: AttackReport, facts: Facts): string {
  const { genuine } = report;
  return `# Attack report

Seed ${report.seed}, commit ${facts.commit}, ${facts.at}, ${facts.machine}.

${summaryOf(report).split('\n').join('\n\n')}

Honest traffic: ${Object.entries(genuine.sent)
    .map(([kind, sent]) => `${kind} ${sent}`)
    .join(', ')}; ${genuine.credited} deposits credited exactly once; ${genuine.delayed} callbacks delayed because
their stamp was one of ours.

| series | class | rows | attempts | answers | accepted | 95 % bound | control |
| --- | --- | --- | --- | --- | --- | --- | --- |
${report.classes.map(line).join('\n')}
`;
}

function line({ series, name, rows, attempts, answers, accepted, control, found }: ClassReport): string {
  const told = Object.entries(answers)
    .map(([status, count]) => `${status === '0' ? 'closed' : status}: ${count}`)
    .join(', ');
  const outcome = accepted === 0 && found.length === 0 ? '0' : `**${accepted}** ${[...new Set(found)].join('; ')}`;
  return `| ${series} | ${name} | ${rows.join(' ')} | ${attempts} | ${told} | ${outcome} | ${bound(attempts)} | ${control ? 'accepted' : '**refused**'} |`;
}

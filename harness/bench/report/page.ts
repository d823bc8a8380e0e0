import type { BenchRun } from '../figures/result.ts';
import { REASONS } from '../reasons.ts';
import { TARGETS } from '../targets.ts';
import { isReached, markdownTable, shown } from './format.ts';
import { figuresOf, groundLine, sectionsOf } from './markdown.ts';

const HEAD = `# Benchmarks

<!-- Made by \`npm run bench:page -- RESULT.json\` from benchmarks.json; a test compares the two. -->

\`npm run bench\` measures the engine against floors and rivals: how much of what is possible it reaches, and at what cost. Every figure of this page is from one
run, whose JSON is [benchmarks.json](benchmarks.json).`;

const METHOD = `## How it is measured

- **In turns.** Ours and what it is compared with share machine, servers and run: A B C, C B A, and so on. The first round warms up and is dropped.
  A ratio is the median of the rounds' own ratios; beside it are the least and the greatest. Absolute figures are of this machine.
- **As in production.** API, worker, floors and rivals are processes of their own, built as \`npm run build\` does, on analyzed tables. The provider answers at once
  and keeps nothing: what a provider takes is not the engine's. Histories are not archived meanwhile.
- **The floors** do as little as the shape allows, by a worker with the engine's own settings (\`worker/tuning.ts\`): an empty workflow that is started and gets one signal after its first
  task; the naive flow, with two activities and a timer; an update-with-start that is answered at once; Express with one INSERT.
- **Both are waited for alike**: until the workflow's result is there. Of ours each deposit has then been posted, projected and announced.
- **Latency under load** is open-model: a callback is sent when it is due, whatever became of those before it, and its latency counts from then (HDR histogram).
- **CPU** is the kernel's, by process, for fixed work; what the idle engine needs in the same time is taken off in P14. It moves less than throughput on a shared machine.
- **Statements** are counted by PostgreSQL (\`pg_stat_statements\`): one that comes from outside is a round trip.
- **Servers of its own**: the bench starts PostgreSQL and Temporal on loopback, refuses any that was there before, and ends them, also at Ctrl-C. A flush of the log costs nothing except
  where P6 says so: the disk of a shared machine is noise. Temporal is the dev server, on a file, unless it is said otherwise below.`;

const LIMITS = `## What it does not say

- How fast it is on other machines. Everything shares the cores, the load generator too: with more of them the parts stop waiting for each other.
- What a Temporal cluster costs. The dev server writes to SQLite in its own process; \`--temporal postgres\` measures one server on a PostgreSQL of its own.
- Anything about networks: all of it is loopback.
- How a real provider behaves: ours answers within a millisecond.
- P9 has one round for each size, and P11 one for a fresh clone. P7 and P14's counts are asserted in tests as well; times never are.
- P13 reads generated rows. Relay queries, pruning and indexes at size are in [growth.md](../internals/growth.md).

## What each rival lacks

Both are written for this bench (\`harness/bench/rivals/\`), with the engine's checks of address, signature, time, amount, currency and rate, an inbox, a ledger with both sides, and an event.`;

const RIVALS = {
  columns: ['', 'engine', 'state machine in PostgreSQL', 'DBOS'],
  rows: [
    [
      'an order whose answer was lost',
      'settled as unknown, never placed twice, still listened for',
      'stays in PLACING; a repeat places it again',
      'the step runs again: placed twice',
    ],
    [
      'payment windows, late payments',
      'timers for 30 minutes and 73 hours',
      'nothing happens until somebody writes a sweeper',
      'one timer; then the workflow is over',
    ],
    ['what no machine may credit', 'a case that two people decide', 'HTTP 500, for ever', 'the workflow fails'],
    [
      'a burst beyond what the database takes',
      'acknowledged, credited in batches',
      'one transaction a payment',
      'acknowledged, one transaction a payment',
    ],
    ['a second, changed callback', 'kept, bound to nothing, for people', 'lost in an error', 'read by nobody'],
    [
      'proof of every credit',
      'the history replays, the ledger is chained, the audit compares both',
      'rows',
      'step outputs, which anybody with SQL can change',
    ],
    ['roles', 'five, each with the least', 'one', 'one'],
    ['seeing what a deposit does', 'Temporal’s Web UI', 'SQL', 'SQL, or a console of its own'],
    ['servers to run', 'PostgreSQL and Temporal', 'PostgreSQL', 'PostgreSQL'],
  ],
};

const RUN = `## Run it

\`\`\`sh
npm run bench                                # everything: about two hours
npm run bench -- --quick                     # at most six minutes, without what takes long
npm run bench -- --only P3,P4 --compare docs/reference/benchmarks.json
npm run bench -- --temporal postgres         # Temporal's server on PostgreSQL, built with Go once
npm run bench:page -- test-output/bench/result.json     # makes this page of that run
\`\`\`

It writes \`result.json\`, \`report.md\` and the charts to \`test-output/bench\`, or to \`--out DIR\`. A part that fails is named in the report and stops no other.`;

/** What the run misses, with the reason and the next step. */
function missedOf(result: BenchRun): string {
  const rows = TARGETS.flatMap((target) => {
    const missed = Object.entries(figuresOf(result, target.id) ?? {}).filter(
      ([point, figure]) => isReached(target, point, figure) === false,
    );
    if (missed.length === 0) return [];
    const by = missed.map(
      ([point, figure]) => `${point}: ${shown(target.of === 'ratio' ? figure.ratio : figure.ours)}`,
    );
    const { why = '', next = '' } = REASONS[target.id] ?? {};
    return [[target.id, by.join(', '), why, next]];
  });
  const columns = ['row', 'missed', 'because', 'next'];
  return `## What is missed, and why\n\n${rows.length === 0 ? 'Nothing.' : markdownTable({ columns, rows })}`;
}

/** Returns the text of `docs/reference/benchmarks.md` for a run. */
export function pageOf(result: BenchRun): string {
  const sections = sectionsOf(result).replaceAll(/\]\((P\d+)\.svg\)/g, '](../pictures/bench-$1.svg)');
  const ground = `## On what\n\n${groundLine(result.ground)}.`;
  return `${[HEAD, METHOD, ground, missedOf(result), sections, LIMITS, markdownTable(RIVALS), RUN].join('\n\n')}\n`;
}

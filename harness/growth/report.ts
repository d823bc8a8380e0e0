import { markdownTable, shown } from '../bench/report/format.ts';
import { groundLine } from '../bench/report/markdown.ts';
import { rounded } from '../bench/figures/statistics.ts';
import { type Group, GROUPS, type GrowthRun, markOf, type ReadFigure, type SizeFigures } from './figures.ts';

const HEAD = `# Growth, measured

<!-- Made by \`npm run growth:page -- RESULT.json\` from growth-measured.json; a test compares the two. -->

\`npm run growth\` measures whether everything stays as fast as deposits accumulate. Every figure of this page is from one run, whose JSON is [growth-measured.json](growth-measured.json).
[growth.md](../internals/growth.md) says why it should.`;

const METHOD = `## How it is measured

- **Sizes.** Each is a database of its own on one PostgreSQL, with the generated rows of so many deposits over a year, analyzed. One deposit in a hundred has a second payment
  that operators decided about. \`lean\`: long values outside of indexes are short; the number of rows and every index are the same.
- **In turns.** A read at one size takes turns with the same read at the smallest one: A B, B A, and so on. The first round warms up and is dropped. p50 and p95 are medians of the rounds;
  a ratio is the median of the rounds' own ratios of p95.
- **The engine itself** serves the endpoints: API and worker are processes of their own, built as \`npm run build\` does. The queries of relay, archive and audit are the engine's functions, with its
  logins, in the command's process. Requests for one deposit take turns on 30 of the whole year, which the warm-up has read.
- **Pages** of 8 kB are counted by PostgreSQL (\`pg_stat_statements\`) in one call of each. They are the better guide: a busy machine changes no page.
- **The log** is that of deposits which the engine makes, credits and archives on that database, without full-page images.`;

const TITLES: Readonly<Record<Group, string>> = {
  endpoints: 'Endpoints',
  deposits: 'Creating and crediting',
  relay: 'Queries of the relay',
  archive: 'Claims of the archive',
  audit: 'The start of an audit',
};

const named = ({ deposits, lean }: SizeFigures): string => `${shown(deposits)}${lean ? ', lean' : ''}`;

/** Whether the ratio of p95 reaches its mark; null at the smallest size. */
const isReached = ({ deposits }: SizeFigures, { ratio }: ReadFigure): boolean | null =>
  ratio === null ? null : ratio <= markOf(deposits);

/** The read whose pages grew most since the smallest size, and how much; 0: pages were not counted. */
const widestOf = ({ reads }: SizeFigures, least: SizeFigures): readonly [name: string, times: number] =>
  Object.entries(reads)
    .map(([name, { pages }]) => [name, (pages ?? 0) / Math.max(1, least.reads[name]?.pages ?? 1)] as const)
    .reduce((most, one) => (one[1] > most[1] ? one : most));

function summary({ sizes }: GrowthRun): string {
  const rows = sizes.slice(1).map((size) => {
    const missed = Object.entries(size.reads).filter(([, figure]) => isReached(size, figure) === false);
    const [widest, times] = widestOf(size, sizes[0]!);
    const names = missed.map(([name, { ratio }]) => `${name} ${ratio} ×`).join(', ');
    return [
      named(size),
      `${markOf(size.deposits)} ×`,
      Object.keys(size.reads).length - missed.length,
      missed.length === 0 ? 'none' : `**${missed.length}**: ${names}`,
      times === 0 ? '–' : `${widest} ${rounded(times)} ×`,
    ];
  });
  const text = `## P13: reached and missed

p95 by that at ${named(sizes[0]!)} deposits: at most 1.5 × up to a million, 2 × beyond.`;
  return `${text}\n\n${markdownTable({ columns: ['deposits', 'mark', 'reached', 'missed', 'pages grew most'], rows })}`;
}

function groupSection({ sizes }: GrowthRun, group: Group): string {
  const [least] = sizes;
  const names = Object.keys(least!.reads).filter((name) => least!.reads[name]!.group === group);
  const cell = (size: SizeFigures, name: string): string => {
    const figure = size.reads[name];
    if (figure === undefined) return '–';
    const { p50Ms, p95Ms, pages, ratio } = figure;
    const times = ratio === null ? '' : isReached(size, figure) === true ? `; ${ratio} ×` : `; **${ratio} ×**`;
    return `${shown(p50Ms)}, ${shown(p95Ms)}; ${shown(pages)}${times}`;
  };
  const rows = names.map((name) => [name, ...sizes.map((size) => cell(size, name))]);
  const columns = ['', ...sizes.map((size) => named(size))];
  return `## ${TITLES[group]}\n\np50, p95 in ms; pages; p95 by that of the smallest.\n\n${markdownTable({ columns, rows })}`;
}

const bytesOf = (size: SizeFigures): number =>
  size.tables.reduce((sum, { bytes, indexes }) => sum + bytes + sumOf(indexes), 0);
const sumOf = (of: Readonly<Record<string, number>>): number => Object.values(of).reduce((sum, n) => sum + n, 0);
const short = (name: string): string => name.replace(/^\w+\./, '');

/** `pruned`: for each table what deletes its rows, in words (docs/internals/growth.md). */
function bytesSection({ sizes }: GrowthRun, pruned: ReadonlyMap<string, string>): string {
  const largest = sizes.at(-1)!;
  const each = (size: SizeFigures, bytes: number) => Math.round(bytes / size.deposits);
  const rows = largest.tables.map(({ table, bytes, indexes }) => {
    const list = Object.entries(indexes).map(([name, size]) => `${short(name)} ${each(largest, size)}`);
    return [
      `\`${table}\``,
      each(largest, bytes),
      each(largest, sumOf(indexes)),
      list.join(', '),
      pruned.get(table) ?? '',
    ];
  });
  rows.push(['all', '', each(largest, bytesOf(largest)), '', '']);
  const columns = ['table', 'bytes of rows', 'of indexes', 'each index', 'pruned'];
  return `## Bytes for each deposit

At ${named(largest)} deposits, as generated; "all" has rows and indexes. Histories are extra, about 3.2 kB each. No table is partitioned;
[scaling.md](../internals/scaling.md#1000-depositss) says which would be first.

${markdownTable({ columns, rows })}`;
}

function costSection({ sizes }: GrowthRun): string {
  const gb = (bytes: number) => rounded(bytes / 1e9);
  const rows = sizes.map((size) => {
    const { cost, pruning, loadSeconds } = size;
    return [
      named(size),
      shown(cost.logBytes),
      rounded(cost.updates),
      rounded(cost.hotUpdates),
      gb((bytesOf(size) / size.deposits) * 1e6),
      gb(cost.logBytes * 1e6),
      pruning.rows === 0 ? '–' : shown(pruning.perSecond),
      pruning.rows === 0 ? '–' : shown(pruning.slowestBatchMs),
      shown(loadSeconds),
    ];
  });
  const columns = [
    'deposits',
    'log, bytes each',
    'updates each',
    'of them HOT',
    'disk of a million, GB',
    'log of a million, GB',
    'rows pruned a second',
    'slowest batch, ms',
    'generated in, s',
  ];
  return `## Cost of a deposit, and of a million\n\n${markdownTable({ columns, rows })}`;
}

const LIMITS = `## What it does not say

- Open rows are few here, because the relay adopts each row without a workflow. What piles up is counted in tests, in rows: [growth.md](../internals/growth.md#what-is-looked-up).
- Whether a cold cache is as fast: the warm-up has read the pages.
- Relay queries of less than a millisecond have a p95 that a busy machine makes. Their pages say more.
- A full audit reads whole tables, and is measured as P8 ([benchmarks.md](benchmarks.md)).`;

const RUN = `## Run it

\`\`\`sh
npm run growth -- --deposits 1000,100000                            # some minutes
npm run growth -- --deposits 1000,100000,1000000,10000000 --lean    # more than an hour, and 40 GB
npm run growth:page -- test-output/growth.json                      # makes this page of that run
npm run growth:plans -- --deposits 300000                           # no statement scans a growing table as a whole
\`\`\`

The command refuses servers that it has not started, listens on loopback only, and ends its servers at Ctrl-C. The JSON is written after each size.`;

/** Returns the text of `docs/reference/growth-measured.md` for a run. */
export function growthPage(run: GrowthRun, pruned: ReadonlyMap<string, string>): string {
  const ground = `## On what\n\n${groundLine(run.ground)}. ${run.rounds} rounds of ${run.requests} requests, fewer where one takes long.`;
  const groups = GROUPS.map((group) => groupSection(run, group));
  const sections = [summary(run), ...groups, bytesSection(run, pruned), costSection(run)];
  return `${[HEAD, METHOD, ground, ...sections, LIMITS, RUN].join('\n\n')}\n`;
}

/** Reads the table of docs/internals/growth.md: what prunes each table, with links as seen from docs/reference. */
export function prunedBy(page: string): ReadonlyMap<string, string> {
  const rows = [...page.matchAll(/^\| (`(?:engine|ledger)\.[^|]*?) +\| [^|]*\| ([^|]*?) *\|$/gm)];
  return new Map(
    rows.flatMap(([, names = '', words = '']) => {
      const schema = /^`(\w+)\./.exec(names)![1]!;
      const tables = [...names.matchAll(/`(?:\w+\.)?(\w+)`/g)].map(([, table]) => `${schema}.${table}`);
      return tables.map((table) => [table, words.replaceAll('../reference/', '')] as const);
    }),
  );
}

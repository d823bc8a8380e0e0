/** The rows of the report: measurement, baseline and mark. One for each part of the bench. */

export interface Target {
  readonly id: string;
  readonly title: string;
  readonly baseline: string;
  /** The next mark, with the final goal in brackets. */
  readonly mark: string;
  /** Whether more or less is better. */
  readonly better: 'more' | 'less';
  /** The numbers of `mark` by point; a point without one is shown without a verdict. */
  readonly marks: Readonly<Record<string, number>>;
  /** The value to compare with the mark. */
  readonly of: 'ratio' | 'ours';
}

const target = (
  id: string,
  title: string,
  baseline: string,
  mark: string,
  better: Target['better'],
  of: Target['of'],
  marks: Target['marks'],
): Target => ({ id, title, baseline, mark, better, of, marks });

const NOTHING = 'nothing: a figure of its own';
const each = (points: readonly string[], mark: number) => Object.fromEntries(points.map((point) => [point, mark]));
const IN_FLIGHT = ['8', '16', '32', '64'];

export const TARGETS: readonly Target[] = [
  target(
    'P1',
    'Deposits per second of the complete engine, by deposits in flight',
    'an empty workflow: start, and one signal after the first task',
    '≥ 0.65 (0.75)',
    'more',
    'ratio',
    each(IN_FLIGHT, 0.65),
  ),
  target(
    'P2',
    'Deposits per second of the complete engine, by deposits in flight',
    'the naive flow: start, two activities, timer, signal, and nothing else',
    '≥ 1.15 (1.3)',
    'more',
    'ratio',
    each(IN_FLIGHT, 1.15),
  ),
  target(
    'P3',
    'Acknowledgement of a callback under open load',
    'bare Express and one INSERT, same pool',
    'p50 ≤ 2.7 ×, p99 ≤ 2 × (1.5, 2)',
    'less',
    'ratio',
    { p50: 2.7, p99: 2 },
  ),
  target(
    'P4',
    'Callbacks acknowledged per second in a burst, 64 in flight',
    'the same bare endpoint',
    '≥ 0.7 both (0.9); all drained, none lost',
    'more',
    'ratio',
    { 'Temporal up': 0.7, 'Temporal stopped': 0.7 },
  ),
  target(
    'P5',
    'Create to redirectUrl, one at a time',
    'update-with-start on a workflow that answers at once',
    '≤ 1.0 (0.65)',
    'less',
    'ratio',
    { p50: 1 },
  ),
  target(
    'P6',
    'Postings per second through the batcher, by callers',
    'one bare INSERT of a row per call; one posting per call',
    '≥ 0.6 and ≥ 8 × at 32; ≥ 0.8 and ≥ 13 × at 256',
    'more',
    'ratio',
    {
      '32, INSERT': 0.6,
      '32, single': 8,
      '256, INSERT': 0.8,
      '256, single': 13,
      '32, slow flush, INSERT': 0.6,
      '32, slow flush, single': 8,
      '256, slow flush, INSERT': 0.8,
      '256, slow flush, single': 13,
    },
  ),
  target(
    'P7',
    'History of a deposit that is paid in time',
    NOTHING,
    '≤ 16 events, ≤ 2 tasks, ≤ 7 actions',
    'less',
    'ours',
    { events: 16, tasks: 2, actions: 7 },
  ),
  target(
    'P8',
    'Audit: histories replayed and checked per second',
    'the SDK’s own replayer on empty workflows; two processes against one',
    '≥ 0.8; ≥ 1.9',
    'more',
    'ratio',
    { 'one process': 0.8, 'two processes': 1.9 },
  ),
  target(
    'P9',
    'Worker memory per open deposit; cost of a callback beyond the cache',
    'an empty workflow; a callback within the cache',
    '≤ 0.8; ≤ 1.3',
    'less',
    'ratio',
    { '500': 0.8, '1000': 0.8, '5000': 0.8, '20000': 0.8, 'beyond the cache': 1.3 },
  ),
  target(
    'P10',
    'Seconds from kill -9 under load to the first credit',
    NOTHING,
    'worker ≤ 4, API ≤ 2, PostgreSQL ≤ 5, Temporal ≤ 10; nothing lost',
    'less',
    'ours',
    { worker: 4, 'worker, a second one there': 4, api: 2, postgres: 5, temporal: 10 },
  ),
  target(
    'P11',
    'Seconds from a fresh clone to the first credited deposit',
    NOTHING,
    '≤ 30 with downloads, ≤ 8 warm',
    'less',
    'ours',
    { fresh: 30, warm: 8 },
  ),
  target(
    'P12',
    'Deposits per second of the complete engine, 16 in flight',
    'a state machine in PostgreSQL with equal checks; DBOS',
    'published, with what each lacks',
    'more',
    'ratio',
    {},
  ),
  target(
    'P13',
    'p95 of reading endpoints, by deposits in the database',
    'the same at the fewest',
    '≤ 1.5 × at 1,000,000, ≤ 2 × at 10,000,000',
    'less',
    'ratio',
    {},
  ),
  target(
    'P14',
    'What one deposit costs',
    'CPU: the empty workflow; everything else: nothing',
    '≤ 8 round trips, ≤ 8 transactions, ≤ 1 ms planning, ≤ 10 kB WAL, ≤ 25 ms CPU beyond the floor, ≤ 6 ms archiving',
    'less',
    'ours',
    {
      'round trips': 8,
      transactions: 8,
      'planning ms': 1,
      'WAL kB': 10,
      'CPU ms beyond the floor': 25,
      'archiving CPU ms': 6,
    },
  ),
  target('P15', 'CPU of a deposit with two workers and two APIs', 'one worker and one API', '≤ 1.1', 'less', 'ratio', {
    'CPU per deposit': 1.1,
  }),
  target(
    'P16',
    'Deposits per second of the complete engine, by deposits in flight',
    'the version that --before names',
    'at least as many',
    'more',
    'ratio',
    each(IN_FLIGHT, 1),
  ),
];

import { appliedAt, type SqlCheck } from './checks/table-checks.ts';

/**
 * The allowed difference between the clocks of two machines, the database's and Temporal's. It equals the slack of the
 * callback endpoint, and is far more than synchronized machines differ by. Within one machine there is no tolerance.
 */
export const CLOCKS_MS = 5 * 60_000;
const CLOCKS = `interval '${CLOCKS_MS} milliseconds'`;

/** All genuine times are within these limits. Infinite times and years beyond them cannot be compared. */
const WITHIN = `timestamptz '2000-01-01Z' and timestamptz '3000-01-01Z'`;

/**
 * A column that is always set, for display; a time outside the limits, which is a finding, is shown as their beginning.
 */
export const shownTime = (column: string): string =>
  `to_char(case when ${column} between ${WITHIN} then ${column} else timestamptz '2000-01-01Z' end, 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')`;

/** Pairs of times by the database's clock, in the order in which they have to be. */
const inOrder = (
  place: string,
  source: string,
  pairs: readonly (readonly [first: string, then: string])[],
): SqlCheck => ({
  kind: 'times_contradict',
  sql: `select ${place} as place, x.cause || ' ' || x.cause_at || ', ' || x.effect || ' before that, ' || x.effect_at as detail
          from ${source}
         cross join lateral (values ${pairs
           .map(([first, then]) => `('${first}', ${COLUMNS[first]}, '${then}', ${COLUMNS[then]})`)
           .join(', ')}) x(cause, cause_at, effect, effect_at)
         where x.cause_at > x.effect_at or not (x.cause_at between ${WITHIN}) or not (x.effect_at between ${WITHIN})`,
});

/** The name of each time in a finding. */
const COLUMNS: Readonly<Record<string, string>> = {
  'the deposit was made': 'd.created_at',
  'it was placed': 'd.placed_at',
  'the deposit was closed': 'd.closed_at',
  'an attempt was begun': 'p.started_at',
  'its deadline': 'p.deadline',
  'the callback came': 'c.received_at',
  'it came last': 'c.last_at',
  'its workflow was told': 'c.raised_at',
  'an attempt came': 'a.at',
  'the attempt before it': 'a.before_at',
  'the case was opened': 'v.opened_at',
  'the case was closed': 'v.closed_at',
  'a step was taken': 's.at',
  'a proposal was confirmed': 'k.at',
  'it was carried out': 'r.at',
  'the deposit’s workflow was told': 'd.told_at',
  'its proposal was made': 'o.at',
  'the posting was made': 't.posted_at',
  'the posting it follows was made': 'o.posted_at',
  'its block was sealed': 'b.at',
  'the block before it': 'b.before_at',
  'it was archived': 'h.archived_at',
  'the row before it': 'h.before_at',
};

/** One clock writes these times: nothing may be older than its cause, without tolerance. */
export const TIMES: readonly SqlCheck[] = [
  inOrder(`'deposit:' || d.external_order_number`, 'engine.deposit d', [
    ['the deposit was made', 'it was placed'],
    ['the deposit was made', 'the deposit was closed'],
    ['the deposit was closed', 'the deposit’s workflow was told'],
  ]),
  inOrder(
    `'deposit:' || d.external_order_number`,
    'engine.deposit d join engine.placement_attempt p on p.external_order_number = d.external_order_number',
    [['the deposit was made', 'an attempt was begun']],
  ),
  // An attempt that was closed unsent has no deadline: both times are of its row, a few microseconds apart.
  inOrder(
    `'deposit:' || d.external_order_number`,
    `engine.deposit d join engine.placement_attempt p on p.external_order_number = d.external_order_number
       and p.outcome is distinct from 'closed' and p.answer->>'cause' is distinct from 'RESTORED'`,
    [['an attempt was begun', 'its deadline']],
  ),
  // An order that a restore lost may have been paid before it was created again: then the callback came again
  // afterwards. So may a payment that operators credited to it.
  inOrder(
    `'callback ' || c.id`,
    'engine.callback c left join engine.deposit d on d.bound_callback = c.id and d.settled_by is null',
    [
      ['the callback came', 'it came last'],
      ['the callback came', 'its workflow was told'],
      ['the deposit was made', 'it came last'],
      ['the callback came', 'the deposit was closed'],
    ],
  ),
  // Only if a restore is recorded. Otherwise an attacker who may reserve deposits could claim a stored unknown message
  // as its payment, and pretend that it came again.
  inOrder(
    `'callback ' || c.id`,
    `engine.callback c join engine.deposit d on d.bound_callback = c.id and d.settled_by is null
        and (c.attempts = 1 or not exists (select from engine.restored r where r.at >= c.received_at))`,
    [['the deposit was made', 'the callback came']],
  ),
  inOrder(`'callback ' || c.id`, 'engine.callback c join engine.callback_attempt a on a.callback = c.id', [
    ['the callback came', 'an attempt came'],
  ]),
  {
    kind: 'times_contradict',
    sql: `select 'callback ' || c.id as place, 'came ' || c.received_at || ', and was noted ' || a.at as detail
            from engine.callback c join engine.callback_attempt a on a.callback = c.id and a.n = 1
           where a.at > c.received_at + ${CLOCKS}`,
  },
  // Attempts are stored one by one as they come; the time of the last is the row's.
  inOrder(
    `'callback ' || a.callback`,
    '(select callback, at, lag(at) over (partition by callback order by n) as before_at from engine.callback_attempt) a',
    [['the attempt before it', 'an attempt came']],
  ),
  {
    // An attempt is sent within ten minutes or not at all, and both times are of its row, a few microseconds apart.
    kind: 'times_contradict',
    sql: `select 'deposit:' || external_order_number as place, 'attempt ' || n || ' was begun ' || started_at || ', and might be sent until ' || deadline as detail
            from engine.placement_attempt where deadline > started_at + interval '601 seconds' and started_at > ${appliedAt('018-worker.sql')}`,
  },
  {
    kind: 'times_contradict',
    sql: `select 'callback ' || c.id as place, 'came last ' || c.last_at || ', and was noted ' || max(a.at) as detail
            from engine.callback c join engine.callback_attempt a on a.callback = c.id group by c.id
          having max(a.at) > c.last_at + ${CLOCKS} or count(*) = c.attempts and max(a.at) < c.last_at - ${CLOCKS}`,
  },
  inOrder(`v.workflow_id`, 'engine.review_case v join engine.callback c on c.id = v.callback', [
    ['the callback came', 'the case was opened'],
    ['the case was opened', 'the case was closed'],
  ]),
  inOrder(
    `'decision ' || s.id`,
    'engine.decision s join engine.review_case v on v.workflow_id = s.workflow_id left join engine.decision o on o.id = s.proposal',
    [
      ['the case was opened', 'a step was taken'],
      ['its proposal was made', 'a step was taken'],
    ],
  ),
  // Newer steps are refused under the lock of a closed case.
  inOrder(
    `'decision ' || s.id`,
    'engine.decision s join engine.review_case v on v.workflow_id = s.workflow_id and s.uid is not null',
    [['a step was taken', 'the case was closed']],
  ),
  inOrder(
    `'decision ' || r.proposal`,
    `engine.carried r join engine.decision k on k.id = r.confirmation
       left join ledger.transaction t on t.id = r.posting
       left join engine.review_case v on v.workflow_id = k.workflow_id and r.outcome = 'decided'`,
    [
      ['a proposal was confirmed', 'it was carried out'],
      ['the posting was made', 'it was carried out'],
      ['the case was closed', 'it was carried out'],
    ],
  ),
  inOrder(
    `'posting ' || t.id`,
    `ledger.transaction t left join ledger.transaction o on o.id = t.origin
       left join engine.deposit d on d.external_order_number = t.deposit
       left join engine.review_case v on v.workflow_id = t.workflow_id
       left join engine.callback c on c.id = case t.kind when 'credit' then d.bound_callback else v.callback end`,
    [
      ['the deposit was made', 'the posting was made'],
      ['the callback came', 'the posting was made'],
      ['the case was opened', 'the posting was made'],
      ['the posting it follows was made', 'the posting was made'],
      ['the posting was made', 'the case was closed'],
    ],
  ),
  inOrder(`'posting ' || t.id`, 'engine.deposit d join ledger.transaction t on t.id = d.posting_id', [
    ['the posting was made', 'the deposit was closed'],
  ]),
  inOrder(
    `'posting ' || t.id`,
    'ledger.block b cross join unnest(b.members) m(id) join ledger.transaction t on t.id = m.id',
    [['the posting was made', 'its block was sealed']],
  ),
  inOrder(`'block ' || b.n`, '(select n, at, lag(at) over (order by n) as before_at from ledger.block) b', [
    ['the block before it', 'its block was sealed'],
  ]),
  inOrder(
    `'archive row ' || h.n`,
    `(select n, workflow_id, archived_at, lag(archived_at) over (order by n) as before_at from engine.archive) h
       left join engine.deposit d on h.workflow_id = 'deposit:' || d.external_order_number
       left join engine.review_case v on v.workflow_id = h.workflow_id`,
    [
      ['the row before it', 'it was archived'],
      ['the deposit was closed', 'it was archived'],
      ['the case was closed', 'it was archived'],
    ],
  ),
  // Temporal's clock and the database's.
  {
    kind: 'times_contradict',
    sql: `select 'archive row ' || n as place, workflow_id || ' ended ' || closed_at || ', and was archived before, ' || archived_at as detail
            from engine.archive where closed_at > archived_at + ${CLOCKS}`,
  },
];

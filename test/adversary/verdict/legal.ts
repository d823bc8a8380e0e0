import type { Change } from './images.ts';
import type { Attempt } from '../statements/statement.ts';

/**
 * Changes that a login may make, one by one, with the reason why the audit need not find them: they change no one's
 * property, and no machine moves money because of them.
 */
interface Legal {
  readonly role: string;
  /** The function or table, as a statement names it. */
  readonly by: string;
  readonly reason: string;
  /** Whether the entry covers this change. */
  readonly covers: (change: Change) => boolean;
}

const updates =
  (table: string, ...columns: readonly string[]) =>
  (change: Change) =>
    change.kind === 'update' && change.table === table && change.columns.every((column) => columns.includes(column));
const inserts =
  (table: string, is: (row: Readonly<Record<string, string | null>>) => boolean = () => true) =>
  (change: Change) =>
    change.kind === 'insert' && change.table === table && is(change.after!);
const any =
  (...ways: readonly ((change: Change) => boolean)[]) =>
  (change: Change) =>
    ways.some((covers) => covers(change));

const counted = any(
  updates('engine.callback', 'attempts', 'last_at'),
  // The first attempt is the one that the seal covers.
  inserts('engine.callback_attempt', ({ n }) => n !== '1'),
);
const adopted = any(
  (change) =>
    updates('engine.deposit', 'state', 'expires_at', 'listening_until')(change) &&
    change.before!['state'] === 'PLACING' &&
    change.after!['state'] === 'PLACEMENT_UNKNOWN',
  inserts(
    'engine.placement_attempt',
    ({ outcome, answer }) => outcome === 'unknown' && answer!.includes('"cause": "ADOPTED"'),
  ),
);
const ADOPTED =
  'An order that is being placed is given up: it is never sent, and paid it would be credited. Until when its payment is in time its login may choose, and what is late goes by the policy.';

export const LEGAL: readonly Legal[] = [
  {
    role: 'app_api',
    by: 'insert engine.deposit',
    reason:
      'Reserving deposits is what the API does. Whose wallet it names gets what the provider says was paid for it.',
    covers: inserts('engine.deposit', ({ state, bound_callback }) => state === 'PLACING' && bound_callback === null),
  },
  {
    role: 'app_api',
    by: 'engine.count_attempt',
    reason: 'A message may come any number of times. Who says so falsely credits nothing.',
    covers: counted,
  },
  {
    role: 'app_api',
    by: 'engine.reroute',
    reason: 'What came again is counted; why people are to see what has no order is said in a word.',
    covers: any(counted, updates('engine.callback', 'attempts', 'last_at', 'review_reason')),
  },
  {
    role: 'app_api',
    by: 'engine.raised',
    reason: 'When a workflow was last told is a note: the relay goes by what came of a message.',
    covers: updates('engine.callback', 'raised_at'),
  },
  {
    role: 'app_api',
    by: 'engine.arriving',
    reason: 'That a stamp of ours has come back makes the next message under it one for people.',
    covers: updates('engine.own_stamp', 'reflected_at', 'reflected_for'),
  },
  {
    role: 'app_api',
    by: 'engine.receive_firsts',
    reason: 'Repeats are counted, as by the function that it calls.',
    covers: counted,
  },
  {
    role: 'app_api',
    by: 'engine.hand_over',
    reason: 'A case that is held by nobody waits until the relay has looked.',
    covers: updates('engine.review_case', 'held_by'),
  },
  { role: 'app_api', by: 'engine.adopt_deposit', reason: ADOPTED, covers: adopted },
  { role: 'app_worker', by: 'engine.adopt_deposit', reason: ADOPTED, covers: adopted },
  {
    role: 'app_api',
    by: 'engine.take_step',
    reason: 'By the proof of a key the person takes a step whose key it is. A second one decides.',
    covers: any(inserts('engine.decision'), inserts('engine.stated_facts')),
  },
  {
    role: 'app_api',
    by: 'engine.refuse_step',
    reason: 'A step that was not carried out may be taken back by whoever took it.',
    covers: inserts('engine.refused_step'),
  },
  ...['app_worker', 'archiver'].flatMap((role): Legal[] => [
    {
      role,
      by: 'engine.archive_look',
      reason: 'What is due for the archive is looked at later, an hour later at most.',
      covers: updates('engine.archive_due', 'looks', 'look_at'),
    },
    {
      role,
      by: 'engine.archive_put',
      reason: 'A text that no row of the archive names says nothing. Whoever reads one compares it with its hash.',
      covers: inserts('engine.archive_object'),
    },
  ]),
  {
    role: 'app_worker',
    by: 'engine.begin_attempt',
    reason:
      'An order that somebody else has begun is never sent. A stamp of ours that was not sent gives a message under it to people.',
    covers: any(
      inserts('engine.placement_attempt', ({ n, outcome }) => n === '1' && outcome === null),
      inserts('engine.own_stamp'),
    ),
  },
  {
    role: 'app_worker',
    by: 'engine.close_attempts',
    reason:
      'An order that nobody has begun is never sent, as one that comes too late: the workflow refuses it. It has no payment.',
    covers: inserts('engine.placement_attempt', ({ n, outcome }) => n === '1' && outcome === 'closed'),
  },
  ...['engine.end_attempt', 'engine.conclude_attempt'].map((by) => ({
    role: 'app_worker',
    by,
    reason:
      'What comes after nobody knew is kept, and the order stays unknown; a link in it is compared with the hosts.',
    covers: (change: Change) =>
      updates('engine.placement_attempt', 'answer')(change) &&
      change.after!['outcome'] === 'unknown' &&
      !change.after!['answer']!.includes('"kind": "placed"'),
  })),
  {
    role: 'app_worker',
    by: 'engine.note_skew',
    reason: 'A clock of the provider ten minutes off at most: by that much a stamp is believed or not.',
    covers: any(inserts('engine.provider_clock'), updates('engine.provider_clock', 'skew_ms', 'at')),
  },
  {
    role: 'app_worker',
    by: 'engine.shred_payer_names',
    reason: 'Names of payers are erased before their time, and never while an order is being placed.',
    covers: updates('engine.deposit', 'payer_name', 'payer_name_key'),
  },
  {
    role: 'app_worker',
    by: 'engine.prune',
    reason: 'What nothing needs any more is deleted before its time: the walls keep what is needed.',
    covers: (change) => change.kind === 'delete',
  },
  ...['engine.record_refused', 'engine.bring_in'].map((by) => ({
    role: 'app_decisions',
    by,
    reason:
      'What two people wrote down is refused. Nothing is moved, their workflow says so to them, and they write it anew.',
    covers: inserts('engine.carried', ({ outcome, posting }) => outcome === 'refused' && posting === null),
  })),
];

/**
 * Changes that a running engine treats as its own work, so that its history agrees afterwards. They move no money of
 * others; the live stage checks that for each.
 */
export const TAKEN_UP: readonly { readonly role: string; readonly by: string; readonly reason: string }[] = [
  { role: 'app_api', by: 'engine.open_case', reason: 'The case that the engine would open, and people decide it.' },
  { role: 'app_api', by: 'engine.open_doubt', reason: 'By the proof of a key: a case that its person may open.' },
  {
    role: 'app_api',
    by: 'engine.receive_restored',
    reason: 'A case for people, about a message without a seal: it moves nothing.',
  },
  {
    role: 'app_worker',
    by: 'engine.credit',
    reason: 'The credit that the workflow would have asked for: the message is sealed, the wallet its own.',
  },
  {
    role: 'app_worker',
    by: 'engine.give_to_people',
    reason: 'A payment is given to people who could have been credited. It is theirs, and they say so.',
  },
  {
    role: 'app_worker',
    by: 'engine.park',
    reason: 'Money of an open case waits in suspense, where its decision would have put it.',
  },
  ...['engine.end_attempt', 'engine.conclude_attempt'].map((by) => ({
    role: 'app_worker',
    by,
    reason:
      'Without an answer of the provider the worker’s login says what it answered; its link is compared with the hosts.',
  })),
  { role: 'app_worker', by: 'engine.close_attempts', reason: 'An order is never sent.' },
  { role: 'app_worker', by: 'engine.deposit_step', reason: 'An end that the server’s clock says has come.' },
  { role: 'app_decisions', by: 'engine.bring_in', reason: 'What two people wrote down is carried out.' },
  { role: 'app_decisions', by: 'engine.decide', reason: 'What two people wrote down is carried out.' },
];

/** Null: not every change is listed. Of a row that two steps changed, each column is one step's. */
export function legalReason({ steps }: Attempt, changes: readonly Change[]): string | null {
  const reasons = new Set<string>();
  for (const change of changes.flatMap(columnByColumn)) {
    const found = LEGAL.find(
      (one) => steps.some(({ role, by }) => role === one.role && by === one.by) && one.covers(change),
    );
    if (found === undefined) return null;
    reasons.add(found.reason);
  }
  return [...reasons].join(' ');
}

/**
 * Whether a message was only counted, and more than fifty times: the rows of such attempts are not stored. So the
 * missing row of one step alone is no gap after another step.
 */
export const isCountedPastFifty = (changes: readonly Change[]): boolean =>
  changes.every(
    (change) => counted(change) && (change.table !== 'engine.callback' || Number(change.after!['attempts']) > 50),
  );

const columnByColumn = (change: Change): Change[] =>
  change.kind === 'update' ? change.columns.map((column) => ({ ...change, columns: [column] })) : [change];

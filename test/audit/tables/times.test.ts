import type pg from 'pg';
import { describe, expect, test } from 'vitest';
import type { FindingKind } from '../../../audit/report/findings.ts';
import { ALONE, chainAnew, type Discrepancy, expectFound, findingsOf, keepBook, rewriteHistory } from '../book.ts';

/**
 * Effects recorded before their cause, and two outcomes of one message: made in a copy of the book by a superuser.
 * Hashes and chain are adjusted where the scenario needs it.
 */
const book = await keepBook();
const { credited, decided, twice, doubtful, rejected, reversed } = book.deposits;

const callbackOf = (n: string) => `(select bound_callback from engine.deposit where external_order_number = '${n}')`;
const postingOf = (n: string, kind = 'credit') =>
  `(select id from ledger.transaction where workflow_id = 'deposit:${n}' and kind = '${kind}')`;
const stepOf = (n: string, step: string) => `workflow_id = 'deposit:${n}' and step = '${step}'`;

const TIME = /"eventTime":"([^"]+)"/g;
/** Later by this much; digits finer than milliseconds stay. */
const moved = (time: string, byMs: number): string =>
  `${new Date(Date.parse(time) + byMs).toISOString().slice(0, 23)}${time.slice(23)}`;

/** Moves the events that `which` selects, counted from 1, and the archive's row with the last of them. */
const moveEvents = (n: string, byMs: number, which: (eventId: number) => boolean) => async (db: pg.Client) => {
  let eventId = 0;
  await rewriteHistory(db, `deposit:${n}`, (text) =>
    text.replace(TIME, (whole, time: string) => {
      eventId += 1;
      return which(eventId) ? `"eventTime":"${moved(time, byMs)}"` : whole;
    }),
  );
  if (!which(eventId)) return;
  await db.query(
    `update engine.archive set closed_at = closed_at + $1 * interval '1 millisecond' where workflow_id = $2`,
    [byMs, `deposit:${n}`],
  );
  await chainAnew(db);
};

const MINUTE = 60_000;
const one = (kind: FindingKind): readonly FindingKind[] => [kind];
const times = one('times_contradict');

const CONTRADICTIONS: readonly Discrepancy[] = [
  {
    what: 'a deposit that was made before all time, which is no date to compare with',
    tamper: `update engine.deposit set created_at = '-infinity' where external_order_number = '${credited}'`,
    kinds: times,
    names: `deposit:${credited}`,
  },
  {
    what: 'a credit before its callback came',
    tamper: `update engine.callback set received_at = received_at + interval '10 minutes', last_at = last_at + interval '10 minutes' where id = ${callbackOf(credited)}`,
    kinds: [...times, 'evidence_differs'],
    names: 'the posting was made before that',
  },
  {
    what: 'a credit before its deposit was made',
    tamper: `update engine.deposit set created_at = created_at + interval '10 seconds' where external_order_number = '${credited}'`,
    kinds: times,
    names: 'the posting was made before that',
  },
  {
    what: 'a deposit that was closed before it was made',
    tamper: `update engine.deposit set closed_at = created_at - interval '1 millisecond' where external_order_number = '${rejected}'`,
    kinds: times,
    names: 'the deposit was closed before that',
  },
  {
    what: 'a deposit that was made after its workflow began',
    tamper: `update engine.deposit set created_at = created_at + interval '6 minutes' where external_order_number = '${rejected}'`,
    kinds: times,
    names: 'which has to be before its workflow began',
  },
  {
    what: 'a payment window of another length',
    tamper: `update engine.deposit set listening_until = listening_until + interval '1 hour' where external_order_number = '${credited}'`,
    kinds: times,
    names: 'the listening window',
  },
  {
    what: 'an order placed at another time than its window says',
    tamper: `update engine.deposit set placed_at = placed_at + interval '1 millisecond' where external_order_number = '${credited}'`,
    kinds: times,
    names: 'and the payment window ends',
  },
  {
    what: 'an attempt to place an order that was not made yet',
    tamper: `update engine.placement_attempt set started_at = started_at - interval '1 minute' where external_order_number = '${credited}'`,
    kinds: times,
    names: 'an attempt was begun before that',
  },
  {
    what: 'a callback for a deposit that was not made yet',
    tamper: `update engine.callback set received_at = received_at - interval '1 minute' where id = ${callbackOf(doubtful)}`,
    kinds: [...times, 'evidence_differs'],
    names: 'the callback came before that',
  },
  {
    what: 'a callback noted long after it came',
    tamper: `update engine.callback_attempt set at = at + interval '6 minutes' where callback = ${callbackOf(credited)}`,
    kinds: times,
    names: 'and was noted',
  },
  {
    what: 'a case that was opened before its callback came',
    tamper: `update engine.review_case set opened_at = opened_at - interval '1 minute' where workflow_id = 'deposit:${decided}'`,
    kinds: times,
    names: 'the case was opened before that',
  },
  {
    what: 'a case that was closed before its money moved',
    tamper: `update engine.review_case set closed_at = opened_at where workflow_id = 'deposit:${decided}'`,
    kinds: times,
    names: 'the case was closed before that',
  },
  {
    what: 'a confirmation before its proposal',
    tamper: `update engine.decision set at = at - interval '1 minute' where ${stepOf(rejected, 'confirm')}`,
    kinds: times,
    names: 'a step was taken before that',
  },
  {
    what: 'a decision that was carried out before it was confirmed',
    tamper: `update engine.decision set at = at + interval '1 minute' where ${stepOf(decided, 'confirm')}`,
    kinds: times,
    names: 'before it was confirmed',
  },
  {
    what: 'a posting before the one it takes back',
    tamper: `update ledger.transaction set posted_at = posted_at - interval '1 hour' where kind = 'reversal'`,
    kinds: [...times, 'block_broken'],
    names: 'the posting was made before that',
  },
  {
    what: 'a posting after its block was sealed',
    tamper: `update ledger.transaction set posted_at = posted_at + interval '1 minute' where id = ${postingOf(credited)}`,
    kinds: [...times, 'block_broken', 'posting_differs'],
    names: 'its block was sealed before that',
  },
  {
    what: 'a block that was sealed before the one before it',
    tamper: `update ledger.block set at = at - interval '1 hour' where n = 3`,
    kinds: [...times, 'block_broken'],
    names: 'block 3',
  },
  {
    what: 'a history that was archived before it ended, chained anew',
    tamper: async (db) => {
      await db.query(`update engine.archive set archived_at = archived_at - interval '1 hour' where n = 1`);
      await chainAnew(db);
    },
    kinds: times,
    names: 'and was archived before',
  },
  {
    what: 'an archive whose rows were written in another order, chained anew',
    tamper: async (db) => {
      await db.query(`update engine.archive set archived_at = archived_at + interval '1 second' where n = 2`);
      await chainAnew(db);
    },
    kinds: times,
    names: 'archive row 3',
  },
  {
    what: 'a whole history moved into the time before its deposit',
    tamper: moveEvents(credited, -6 * MINUTE, () => true),
    kinds: times,
    names: 'which has to be before its workflow began',
  },
  {
    what: 'a history that ended before the deposit was closed',
    tamper: `update engine.deposit set closed_at = closed_at + interval '6 minutes' where external_order_number = '${rejected}'`,
    kinds: times,
    names: 'which has to be before its workflow ended',
  },
  {
    what: 'events of one history in another order of time',
    tamper: moveEvents(credited, -10 * MINUTE, (eventId) => eventId === 4),
    kinds: times,
    names: 'event 4 happened',
  },
  {
    what: 'a signal that was heard after what followed from it',
    tamper: moveEvents(credited, 10 * MINUTE, (eventId) => eventId === 7),
    kinds: times,
    names: 'event 8 happened',
  },
];

test.each(CONTRADICTIONS)('$what is found, named and located', async (discrepancy) => {
  await expectFound(book, discrepancy);
});

test('an attempt that was begun after its deadline is told, and not one that was closed unsent', async () => {
  const findings = await expectFound(book, {
    what: 'both',
    // A row of an attempt that never began has two times of one moment, and the deadline may be microseconds earlier.
    tamper: `insert into engine.placement_attempt (external_order_number, n, started_at, deadline, outcome, answer)
        select external_order_number, 2, started_at, started_at - interval '5 microseconds', 'closed', '{"kind":"closed","cause":"NOT_SENT"}'
          from engine.placement_attempt where external_order_number = '${credited}';
      update engine.placement_attempt set deadline = started_at - interval '1 millisecond'
       where external_order_number = '${credited}' and n = 1`,
    kinds: times,
    names: 'an attempt was begun',
  });
  expect(findings.filter(({ detail }) => detail.includes('its deadline before that'))).toHaveLength(1);
});

test('machines whose clocks differ by less than five minutes give no alarm', async () => {
  for (const byMs of [-4 * MINUTE, 4 * MINUTE]) {
    const report = await book.audit(await book.tampered(moveEvents(credited, byMs, () => true)), ...ALONE);
    expect(findingsOf(report)).toEqual([]);
  }
});

describe('one message that came to two things', () => {
  const openCase = (callback: string, id: string, more = '') =>
    `insert into engine.review_case (workflow_id, callback, reason) select '${id}', ${callback}, 'SECOND_CODE'; ${more}`;

  const TWO: readonly Discrepancy[] = [
    {
      what: 'a credit by the machine and a case of its own',
      tamper: openCase(callbackOf(credited), 'review:4711'),
      kinds: one('callback_with_two_outcomes'),
      names: 'case review:4711 and posting ',
    },
    {
      what: 'two cases',
      tamper: openCase(callbackOf(decided), 'review:4711'),
      kinds: one('callback_with_two_outcomes'),
      names: `case deposit:${decided} and case review:4711`,
    },
    {
      what: 'a case, and a posting that it is said to have come to',
      tamper: `update engine.callback set outcome = 'posting:' || ${postingOf(decided, 'suspense')} where id = ${callbackOf(decided)}`,
      kinds: one('callback_with_two_outcomes'),
      names: `case deposit:${decided} and posting `,
    },
    {
      what: 'two credits by the machine, the constraints dropped',
      tamper: `drop index ledger.one_automatic_credit; alter table ledger.transaction drop constraint transaction_provider_provider_code_key;
        insert into ledger.transaction (key, kind, deposit, provider, provider_code, debit_code, credit_code, amount, fee, fiat, fiat_amount, unit_price, workflow_id)
        select 'again', kind, deposit, provider, provider_code, debit_code, credit_code, amount, fee, fiat, fiat_amount, unit_price, workflow_id
          from ledger.transaction where id = ${postingOf(twice)}`,
      kinds: ['callback_with_two_outcomes', 'credited_twice'],
      names: ' and posting ',
    },
    {
      what: 'two open cases that could each move its money, the constraint dropped',
      tamper: `drop index engine.review_case_one_open; update engine.review_case set closed_at = null, decision = null, decided_by = null where doubted is not null;
        ${openCase(callbackOf(reversed), 'review:4711:reversal:2', `update engine.review_case set doubted = ${postingOf(reversed)} where workflow_id = 'review:4711:reversal:2'`)}`,
      kinds: one('callback_with_two_outcomes'),
      names: 'is decided about in ',
    },
  ];

  test.each(TWO)('$what is found, named and located', async (discrepancy) => {
    await expectFound(book, discrepancy);
  });

  test('a case about another message is not its outcome', async () => {
    const findings = await expectFound(book, {
      what: 'an outcome of another callback',
      tamper: `update engine.callback set outcome = 'review:deposit:${decided}' where id = ${callbackOf(credited)}`,
      kinds: one('callback_outcome_differs'),
      names: `came to review:deposit:${decided}, which is not there`,
    });
    expect(findings.map(({ kind }) => kind)).not.toContain('callback_with_two_outcomes');
  });
});

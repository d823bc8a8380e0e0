import {
  type Book,
  callbackOf,
  chainAnew,
  changePayload,
  type Discrepancy,
  postingOf,
  rewriteHistory,
} from './book.ts';

const rowOf = (n: string) => `(select n from engine.archive where workflow_id = 'deposit:${n}')`;

interface Event {
  readonly upsertWorkflowSearchAttributesEventAttributes?: unknown;
}
const withoutUpsert = (text: string, then: (events: readonly Event[]) => readonly object[]): string => {
  const { events } = JSON.parse(text) as { events: readonly Event[] };
  return JSON.stringify({
    events: then(events.filter((event) => event.upsertWorkflowSearchAttributesEventAttributes === undefined)),
  });
};

/** An insider's manipulations of books, rows and the archive, each with the kinds of its findings. */
export function discrepancies(deposits: Book['deposits']): readonly Discrepancy[] {
  return [
    {
      what: 'a posting removed',
      tamper: `delete from ledger.entry where transaction_id = ${postingOf(deposits.credited)}; delete from ledger.transaction where workflow_id = 'deposit:${deposits.credited}'`,
      kinds: ['posting_missing', 'posting_unsealed', 'balance_differs'],
      names: `deposit:${deposits.credited}`,
    },
    {
      what: 'a posting added',
      tamper: `insert into ledger.transaction (key, kind, deposit, provider, provider_code, debit_code, credit_code, amount, fee, fiat, fiat_amount, unit_price, workflow_id)
      select 'deposit:${deposits.waiting}:credit', kind, '${deposits.waiting}', provider, 'ATFORGED', debit_code, credit_code, amount, fee, fiat, fiat_amount, unit_price, 'deposit:${deposits.waiting}'
        from ledger.transaction where id = ${postingOf(deposits.credited)}`,
      kinds: ['posting_unexplained', 'posting_unsealed', 'credit_without_evidence', 'entries_differ'],
      names: `deposit:${deposits.waiting}`,
    },
    {
      what: 'a credit taken to another wallet by the hand of an open deposit, which says that it has just closed',
      tamper: `select from ledger.reverse('theft:1', ${postingOf(deposits.credited)}, true, 'deposit:${deposits.waiting}', 'alice+bob', 'it is mine');
      select from ledger.release('theft:2', (select max(id) from ledger.transaction), '${deposits.waiting}', 'wallet-evil', 0, 'deposit:${deposits.waiting}', 'alice+bob', 'it is mine');
      update engine.deposit set state = 'UNPAID', closed_at = clock_timestamp() where external_order_number = '${deposits.waiting}'`,
      kinds: ['posting_unexplained', 'deposit_row_differs'],
      names: '(release, 5000 MTC) is in no step of its history',
    },
    {
      what: 'a posting’s amount changed',
      tamper: `update ledger.transaction set amount = 6000 where id = ${postingOf(deposits.credited)}`,
      kinds: ['posting_differs', 'block_broken', 'entries_differ', 'credit_without_evidence'],
      names: 'amount is 6000',
    },
    {
      what: 'an entry moved between wallets',
      tamper: `update ledger.entry set account_id = (select id from ledger.account where code = 'wallet:wallet-price')
      where transaction_id = ${postingOf(deposits.credited)} and amount < 0`,
      kinds: ['entries_differ', 'balance_differs'],
      names: 'wallet:wallet-price',
    },
    {
      what: 'posting and entry moved to another wallet together',
      tamper: `update ledger.transaction set credit_code = 'wallet:wallet-price' where id = ${postingOf(deposits.credited)};
      update ledger.entry set account_id = (select id from ledger.account where code = 'wallet:wallet-price')
      where transaction_id = ${postingOf(deposits.credited)} and amount < 0`,
      kinds: ['posting_differs', 'block_broken', 'balance_differs'],
      names: 'wallet:wallet-credited',
    },
    {
      what: 'a balance changed',
      tamper: `update ledger.balance set amount = amount - 1 where account_id = (select id from ledger.account where code = 'wallet:wallet-price')`,
      kinds: ['balance_differs'],
      names: 'wallet:wallet-price',
    },
    {
      what: 'a byte of a history changed',
      tamper: `update engine.archive_object o set bytes = set_byte(bytes, length(bytes) / 2, get_byte(bytes, length(bytes) / 2) # 1)
      from engine.archive a where a.history_hash = o.hash and a.workflow_id = 'deposit:${deposits.credited}'`,
      kinds: ['history_damaged'],
      names: `deposit:${deposits.credited}`,
    },
    {
      what: 'a history removed',
      tamper: `delete from engine.archive_object o using engine.archive a where a.history_hash = o.hash and a.workflow_id = 'deposit:${deposits.credited}'`,
      kinds: ['history_damaged'],
      names: `deposit:${deposits.credited}`,
    },
    {
      what: 'a time in the archive changed',
      tamper: `update engine.archive set closed_at = closed_at + interval '1 day' where n = ${rowOf(deposits.credited)}`,
      kinds: ['archive_row_changed', 'archive_row_false'],
      names: 'end is',
    },
    {
      what: 'an archive row dropped',
      tamper: `delete from engine.archive where n = 2; update engine.review_case set closed_at = closed_at - interval '1 hour';
      update engine.deposit set closed_at = closed_at - interval '1 hour'`,
      kinds: ['archive_row_missing', 'history_missing'],
      names: 'archive row 3',
    },
    {
      what: 'two archive rows swapped',
      tamper: `update engine.archive set n = 1000 where n = 1; update engine.archive set n = 1 where n = 2; update engine.archive set n = 2 where n = 1000`,
      kinds: ['archive_order_broken', 'archive_row_changed'],
      names: 'archive row 1',
    },
    {
      what: 'a wrong bundle hash, chained anew',
      tamper: async (db) => {
        await db.query(
          `update engine.archive set bundle_hash = sha256('another') where n = ${rowOf(deposits.credited)}`,
        );
        await chainAnew(db);
      },
      kinds: ['archive_row_false', 'bundle_missing'],
      names: 'bundle is',
    },
    {
      what: 'an amount changed in a history, its hash and the chain made to fit',
      tamper: (db) =>
        rewriteHistory(db, `deposit:${deposits.credited}`, (text) =>
          changePayload(text, '"transactionAmount":"5000"', '"transactionAmount":"4000"'),
        ),
      kinds: ['evidence_differs', 'posting_differs', 'decision_differs'],
      names: '4000',
    },
    {
      what: 'a step taken out of a history, its numbers, its hash and the chain made to fit',
      tamper: (db) =>
        rewriteHistory(db, `deposit:${deposits.credited}`, (text) =>
          withoutUpsert(text, (events) => events.map((event, i) => ({ ...event, eventId: String(i + 1) }))),
        ),
      kinds: ['replay_differs', 'archive_row_false'],
      names: `deposit:${deposits.credited}`,
    },
    {
      what: 'a step taken out of a history, its numbers left as they were',
      tamper: (db) =>
        rewriteHistory(db, `deposit:${deposits.credited}`, (text) => withoutUpsert(text, (events) => events)),
      kinds: ['not_readable', 'archive_row_false'],
      names: 'calls itself event ',
    },
    {
      what: 'a history without a type of workflow, on which replaying would never end',
      tamper: (db) =>
        rewriteHistory(db, `deposit:${deposits.credited}`, (text) =>
          text.replace(',"workflowType":{"name":"deposit"}', ''),
        ),
      kinds: ['not_readable', 'archive_row_false'],
      names: 'event 1 has no workflowType',
    },
    {
      what: 'an acknowledged callback without outcome',
      tamper: `update engine.callback set outcome = null, last_at = last_at - interval '1 hour' where id = ${callbackOf(deposits.credited)}`,
      kinds: ['callback_without_outcome', 'callback_outcome_differs'],
      names: 'callback ',
    },
    {
      what: 'an outcome that is not there',
      tamper: `update engine.callback set outcome = 'posting:999999' where id = ${callbackOf(deposits.credited)}`,
      kinds: ['callback_outcome_differs'],
      names: 'posting:999999',
    },
    {
      what: 'a credit whose callback is gone',
      tamper: `delete from engine.callback where id = ${callbackOf(deposits.credited)}`,
      kinds: ['credit_without_evidence'],
      names: `deposit:${deposits.credited}`,
    },
    {
      what: 'the fields of a callback changed',
      tamper: `update engine.callback set data = data || '{"transactionAmount":"6000"}' where id = ${callbackOf(deposits.credited)}`,
      kinds: ['callback_changed', 'evidence_differs'],
      names: '6000',
    },
    {
      what: 'the seal of a callback taken away',
      tamper: `update engine.callback set seal = null, seal_key = null, sealed_ms = null where id = ${callbackOf(deposits.credited)}`,
      kinds: ['callback_not_sealed'],
      names: 'bears no seal of the API',
    },
    {
      what: 'the seal of another callback',
      tamper: `update engine.callback c set seal = o.seal, seal_key = o.seal_key, sealed_ms = o.sealed_ms
      from engine.callback o where c.id = ${callbackOf(deposits.credited)} and o.id = ${callbackOf(deposits.decided)}`,
      kinds: ['seal_broken'],
      names: 'its seal is over another row',
    },
    {
      what: 'the time at which a sealed callback came',
      tamper: `update engine.callback set received_at = received_at - interval '2 minutes' where id = ${callbackOf(deposits.credited)}`,
      kinds: ['seal_broken'],
      names: 's away from its seal',
    },
    {
      what: 'the bytes of a callback changed',
      tamper: `update engine.callback set raw = convert_to(replace(convert_from(raw, 'UTF8'), '5000', '6000'), 'UTF8') where id = ${callbackOf(deposits.credited)}`,
      kinds: ['callback_changed'],
      names: 'its bytes do not hash',
    },
    {
      what: 'a stamp removed',
      tamper: `delete from engine.callback_stamp where external_order_number = '${deposits.credited}'`,
      kinds: ['callback_unknown'],
      names: 'callback ',
    },
    {
      what: 'a deposit credited twice, the constraint dropped',
      tamper: `drop index ledger.one_automatic_credit;
      insert into ledger.transaction (key, kind, deposit, provider, provider_code, debit_code, credit_code, amount, fee, fiat, fiat_amount, unit_price, workflow_id)
      select 'again', kind, deposit, provider, 'ATAGAIN', debit_code, credit_code, amount, fee, fiat, fiat_amount, unit_price, workflow_id
        from ledger.transaction where id = ${postingOf(deposits.credited)}`,
      kinds: ['credited_twice', 'posting_unexplained', 'credit_without_evidence'],
      names: '2 automatic credits',
    },
    {
      what: 'a decision by one person',
      tamper: `update engine.decision set operator = 'alice' where workflow_id = 'deposit:${deposits.decided}'`,
      kinds: ['decided_by_one', 'decision_differs'],
      names: 'alice',
    },
    {
      what: 'a decision’s rows removed',
      tamper: `delete from engine.decision where workflow_id = 'deposit:${deposits.decided}' and step = 'confirm'`,
      kinds: ['decision_unrecorded'],
      names: `deposit:${deposits.decided}`,
    },
    {
      what: 'another name on a case',
      tamper: `update engine.review_case set decided_by = 'mallory+eve' where workflow_id = 'deposit:${deposits.decided}'`,
      kinds: ['decision_unrecorded'],
      names: 'mallory+eve',
    },
    {
      what: 'a stale projection',
      tamper: `update engine.deposit set state = 'AWAITING_PAYMENT', posting_id = null where external_order_number = '${deposits.credited}'`,
      kinds: ['deposit_row_differs'],
      names: 'shown as AWAITING_PAYMENT',
    },
    {
      what: 'another wallet in the deposit row',
      tamper: `update engine.deposit set wallet = 'wallet-mine' where external_order_number = '${deposits.credited}'`,
      kinds: ['deposit_row_differs'],
      names: 'wallet-mine',
    },
    {
      what: 'another provider in the deposit row',
      tamper: `update engine.deposit set provider = 'other' where external_order_number = '${deposits.credited}'`,
      kinds: ['deposit_row_differs'],
      names: 'provider is other',
    },
    {
      what: 'a checkout link that leads elsewhere',
      tamper: `update engine.deposit set redirect_url = 'https://evil.example/pay/1' where external_order_number = '${deposits.waiting}'`,
      kinds: ['link_differs'],
      names: 'the checkout link has hash',
    },
    {
      what: 'a frozen setting changed',
      tamper: `update engine.deposit set settings = settings || '{"reviewLimit":"1000000"}' where external_order_number = '${deposits.decided}'`,
      kinds: ['deposit_row_differs'],
      names: 'frozen settings',
    },
    {
      what: 'a limit and an amount that are no numbers',
      tamper: `update engine.deposit set settings = settings || '{"reviewLimit":"much"}' where external_order_number = '${deposits.decided}';
      update engine.callback set data = data || '{"transactionAmount":"many"}' where id = ${callbackOf(deposits.decided)}`,
      kinds: ['deposit_row_differs', 'callback_changed', 'evidence_differs', 'credit_without_evidence'],
      names: 'transactionAmount is many',
    },
    {
      what: 'a deposit row removed',
      tamper: `delete from engine.deposit where external_order_number = '${deposits.rejected}'`,
      kinds: ['deposit_row_differs'],
      names: `deposit:${deposits.rejected}`,
    },
    {
      what: 'a block of the books changed',
      tamper: `update ledger.block set at = at + interval '1 second' where n = 1`,
      kinds: ['block_broken'],
      names: 'block 1',
    },
    {
      what: 'an open deposit without a workflow',
      tamper: `update engine.deposit set external_order_number = 'o-nobody', created_at = created_at - interval '1 hour' where external_order_number = '${deposits.waiting}'`,
      kinds: ['deposit_unexplained', 'history_unexplained'],
      names: 'deposit:o-nobody',
    },
  ];
}

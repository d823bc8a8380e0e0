import type { FindingKind } from '../../audit/report/findings.ts';
import { type Book, callbackOf } from './book.ts';

export type FalseRow = readonly [what: string, tamper: string, kind: FindingKind, names: string];

/** An insider's manipulations of other rows than money, each with one kind and one name. */
export function falseRows(deposits: Book['deposits']): readonly FalseRow[] {
  const attemptOf = (n: string) => `engine.placement_attempt where external_order_number = '${n}'`;
  const ofDecided = `workflow_id = 'deposit:${deposits.decided}'`;
  const credited = `type = 'deposit.credited' and subject = '${deposits.credited}'`;

  return [
    [
      'a word that another amount was credited',
      `update engine.event set data = data || '{"amount": "999999"}' where ${credited}`,
      'notification_differs',
      '999999',
    ],
    [
      'a word of a credit that never was',
      `insert into engine.event (subject, sequence, type, wallet, posting, epoch, data)
     select subject, 9, type, wallet, 777, epoch, data || '{"postingId": "777", "amount": "999999"}' from engine.event where ${credited}`,
      'notification_differs',
      'tells of posting 777',
    ],
    [
      'a word of a credit without money',
      `insert into engine.event (subject, sequence, type, wallet, epoch, data)
     select subject, sequence + 1, type, wallet, epoch, data from engine.event where ${credited};
     update engine.deposit set events = events + 1 where external_order_number = '${deposits.credited}'`,
      'notification_differs',
      'of no posting',
    ],
    ['a word taken away', `delete from engine.event where ${credited}`, 'notification_differs', 'is told by no event'],
    [
      'the last word taken away, and the count with it',
      `delete from engine.event where subject = '${deposits.waiting}';
     update engine.deposit set events = 0 where external_order_number = '${deposits.waiting}'`,
      'notification_differs',
      'no event tells of it',
    ],
    [
      'a word that is counted and not there',
      `update engine.deposit set events = events + 1 where external_order_number = '${deposits.waiting}'`,
      'notification_differs',
      'has 2 events, and 1 are on record',
    ],
    [
      'another decision told',
      `update engine.event set data = data || '{"decision": "credit"}' where type = 'case.decided' and subject = '${deposits.rejected}'`,
      'notification_differs',
      'decision is credit, and it is reject',
    ],
    [
      'a case that nobody is told of',
      `delete from engine.event where type = 'case.opened' and subject = '${deposits.rejected}'`,
      'notification_differs',
      'has no event that tells it was opened',
    ],
    [
      'a word to the owner of another wallet',
      `update engine.event set wallet = 'wallet-evil' where ${credited}`,
      'notification_differs',
      'is for wallet wallet-evil',
    ],
    [
      'a word that another wallet was credited',
      `update engine.event set data = data || '{"wallet": "wallet-evil"}' where ${credited}`,
      'notification_differs',
      'its field wallet is no field of it',
    ],
    [
      'a word of a state that the deposit did not have',
      `update engine.event set data = data || '{"state": "UNPAID"}' where type = 'deposit.placed' and subject = '${deposits.waiting}'`,
      'notification_differs',
      'state is UNPAID, and it is AWAITING_PAYMENT',
    ],
    [
      'a word of another kind',
      `update engine.event set type = 'deposit.unpaid' where type = 'deposit.placed' and subject = '${deposits.waiting}'`,
      'notification_differs',
      'tells of UNPAID after PLACING',
    ],
    [
      'a word of a later payment window',
      `update engine.event set data = data || '{"expiresAt": "2030-01-01T00:00:00.000Z"}' where subject = '${deposits.waiting}'`,
      'notification_differs',
      'expiresAt is 2030-01-01T00:00:00.000Z',
    ],
    [
      'words in another order',
      `update engine.event set position = -position where ${credited}`,
      'notification_differs',
      'is published at',
    ],
    [
      'a checkout link to another host, on the attempt as well',
      `update engine.deposit set redirect_url = 'https://mtpay.evil.example/pay' where external_order_number = '${deposits.waiting}';
     update engine.placement_attempt set answer = answer || '{"redirectUrl": "https://mtpay.evil.example/pay"}' where external_order_number = '${deposits.waiting}'`,
      'link_differs',
      'https://mtpay.evil.example',
    ],
    [
      'a checkout link to another page of the same host',
      `update engine.deposit set redirect_url = redirect_url || '/other' where external_order_number = '${deposits.waiting}'`,
      'link_differs',
      `deposit:${deposits.waiting}`,
    ],
    [
      'a second key under the name of a person',
      `insert into engine.api_key (name, proof_hash, scopes) values ('alice', sha256('mine'), '{reviews:decide}')`,
      'key_unexplained',
      'of alice',
    ],
    [
      'a key that proves another secret now',
      `update engine.api_key set proof_hash = sha256('mine') where id = (select min(id) from engine.api_key where name = 'bob')`,
      'key_unexplained',
      'of bob',
    ],
    [
      'a key made in the log as well, without its hash',
      `insert into engine.key_log select n + 1, hash, sha256('x'), 'revoked', at, key_id, name, scopes, wallets, created_at, expires_at, fingerprint
       from engine.key_log order by n desc limit 1`,
      'key_unexplained',
      'key log',
    ],
    ['a line taken out of the log of keys', `delete from engine.key_log where n = 1`, 'key_unexplained', 'key log 2'],
    [
      'a step with the key of somebody else',
      `update engine.decision set key_id = (select id from engine.api_key where name = 'bob' limit 1) where operator = 'alice'`,
      'key_unexplained',
      'by alice',
    ],
    [
      'placement attempts taken away',
      `delete from ${attemptOf(deposits.credited)}`,
      'attempt_differs',
      deposits.credited,
    ],
    [
      'another answer of the provider',
      `update engine.placement_attempt set answer = answer || '{"advertisementCode": "AD-OTHER"}' where external_order_number = '${deposits.waiting}'`,
      'attempt_differs',
      deposits.waiting,
    ],
    [
      'an attempt that never was',
      `insert into engine.placement_attempt (external_order_number, n, deadline, outcome) values ('${deposits.credited}', 3, now(), 'not_sent')`,
      'attempt_differs',
      'what was between is gone',
    ],
    ['our own stamps taken away', `delete from engine.own_stamp`, 'attempt_differs', 'no stamp of ours'],
    [
      'attempts of a callback taken away',
      `delete from engine.callback_attempt where callback = ${callbackOf(deposits.credited)}`,
      'callback_unknown',
      'of which 0 are on record',
    ],
    [
      'a callback that came to the case of another',
      `update engine.callback set outcome = 'review:deposit:${deposits.decided}' where id = ${callbackOf(deposits.credited)}`,
      'callback_outcome_differs',
      `callback`,
    ],
    [
      'a payment that is kept as one of another deposit, which people would credit',
      `update engine.callback set deposit = '${deposits.waiting}' where id = ${callbackOf(deposits.doubtful)}`,
      'callback_unknown',
      `is kept as one of deposit ${deposits.waiting}`,
    ],
    [
      'a first payment that is kept as one of no deposit',
      `update engine.callback set deposit = null where id = ${callbackOf(deposits.rejected)}`,
      'callback_unknown',
      'is kept as one of no deposit',
    ],
    [
      'another code beside the fields of a payment, by which it would be parked once more',
      `update engine.callback set transaction_code = 'ATOTHER' where id = ${callbackOf(deposits.doubtful)}`,
      'callback_changed',
      'its order or its code is not that of its fields',
    ],
    [
      'a payment that is said not to have been acknowledged, so that nothing has to come of it',
      `update engine.callback set acked = false, outcome = null where id = ${callbackOf(deposits.rejected)}`,
      'callback_changed',
      'is not acknowledged',
    ],
    [
      'a posting of another provider, so that its code is free once more',
      `update ledger.transaction set provider = 'other' where deposit = '${deposits.credited}'`,
      'posting_differs',
      'is of the provider other',
    ],
    [
      'a case that nobody decides, said to be held by a workflow that runs',
      `update engine.review_case set closed_at = null, decision = null, decided_by = null, held_by = 'deposit:${deposits.waiting}' where workflow_id like 'review:%'`,
      'decision_unrecorded',
      `is held by deposit:${deposits.waiting}`,
    ],
    [
      'an open case of a payment, said to doubt the credit of another',
      `update engine.review_case set doubted = (select posting_id from engine.deposit where external_order_number = '${deposits.credited}'), opened_by = 'alice'
      where workflow_id = 'deposit:${deposits.doubtful}'`,
      'decision_unrecorded',
      'is a deposit that doubts posting',
    ],
    [
      'an open case that is said to have the money of another deposit',
      `update engine.review_case set parked = (select posting_id from engine.deposit where external_order_number = '${deposits.credited}') where workflow_id = 'deposit:${deposits.doubtful}'`,
      'decision_unrecorded',
      `which is by deposit:${deposits.credited}`,
    ],
    [
      'a deposit that its row calls closed, while its workflow runs',
      `update engine.deposit set state = 'UNPAID', closed_at = clock_timestamp() where external_order_number = '${deposits.waiting}'`,
      'deposit_row_differs',
      `deposit:${deposits.waiting}`,
    ],
    [
      'a deposit that its row calls open, though its workflow has ended',
      `update engine.deposit set closed_at = null where external_order_number = '${deposits.credited}'`,
      'deposit_row_differs',
      'its row is open',
    ],
    [
      'a case that no history gave to people',
      `insert into engine.review_case (workflow_id, callback, reason, detail) values ('deposit:${deposits.waiting}', ${callbackOf(deposits.credited)}, 'LATE', '')`,
      'deposit_unexplained',
      `deposit:${deposits.waiting}`,
    ],
    [
      'an open deposit that its row shows in a final state',
      `update engine.deposit set state = 'REJECTED' where external_order_number = '${deposits.waiting}'`,
      'deposit_row_differs',
      'shown as REJECTED, and not closed',
    ],
    [
      'a posting by the hand of a workflow that holds a case again',
      `update ledger.transaction set workflow_id = workflow_id || ':again:1' where kind = 'release'`,
      'posting_unexplained',
      ':again:1, of which there is no history',
    ],
    [
      'a step that names no key',
      `update engine.decision set key_id = null where ${ofDecided}`,
      'decision_unrecorded',
      'names no key',
    ],
    [
      'a step that has no name of its own',
      `update engine.decision set uid = null where ${ofDecided}`,
      'decision_unrecorded',
      'has no name of its own',
    ],
    [
      'a callback that has no name of its own',
      `update engine.callback set uid = null where id = ${callbackOf(deposits.credited)}`,
      'decision_unrecorded',
      'has no name of its own',
    ],
    [
      'a reason for a confirmation',
      `update engine.decision set reason = 'it is mine' where step = 'confirm' and ${ofDecided}`,
      'decision_unrecorded',
      'it is mine',
    ],
    [
      'other numbers behind an open case',
      `update engine.review_case set detail = 'received 5000 MTC' where workflow_id = 'deposit:${deposits.doubtful}'`,
      'decision_differs',
      'received 4999 MTC, asked 5000',
    ],
    [
      'other numbers behind a case of its own',
      `update engine.review_case set detail = 'all is well' where workflow_id like 'review:%' and opened_by is null`,
      'decision_unrecorded',
      'all is well',
    ],
    [
      'a proposal in an open case',
      `update engine.review_case set proposal = (select max(id) from engine.decision where step = 'propose') where workflow_id = 'deposit:${deposits.doubtful}'`,
      'decision_unrecorded',
      'the case shows proposal',
    ],
    [
      'a proposal in a closed case',
      `update engine.review_case set proposal = (select max(id) from engine.decision where step = 'propose') where workflow_id = 'deposit:${deposits.decided}'`,
      'decision_unrecorded',
      'is shown to wait in',
    ],
    [
      'another price of money in suspense',
      `update ledger.transaction set unit_price = 9 where kind = 'suspense'`,
      'posting_differs',
      'unit price is 9',
    ],
    [
      'another price of a decided credit',
      `update ledger.transaction set unit_price = 9 where kind = 'release'`,
      'posting_differs',
      'before it left 4999',
    ],
    [
      'a word from before it happened',
      `update engine.event set at = at - interval '1 second' where ${credited}`,
      'notification_differs',
      'before it happened',
    ],
    [
      'another reason on a deposit',
      `update engine.deposit set review_reason = 'LATE' where external_order_number = '${deposits.decided}'`,
      'decision_unrecorded',
      'is for people as AMOUNT_MISMATCH, the deposit says LATE',
    ],
    [
      'a reason on a deposit that no person had',
      `update engine.deposit set review_reason = 'LATE' where external_order_number = '${deposits.credited}'`,
      'decision_unrecorded',
      'is for people as none',
    ],
    [
      'another reason on a message',
      `update engine.callback set review_reason = 'LATE' where receipt <> 'first'`,
      'decision_unrecorded',
      'its callback says LATE',
    ],
    [
      'a word in the provider’s answer that it never says',
      `update engine.placement_attempt set answer = answer || '{"expiresAt": "2030-01-01T00:00:00.000Z"}' where external_order_number = '${deposits.credited}'`,
      'attempt_differs',
      'advertisementCode,expiresAt,kind',
    ],
    [
      'an answer of the provider that is none',
      `update engine.placement_attempt set answer = '"x"' where external_order_number = '${deposits.credited}'`,
      'attempt_differs',
      'and its answer has no words',
    ],
    [
      'a stamp that stands for a content which nobody has',
      `update engine.callback_stamp set content_hash = sha256('mine') where external_order_number = '${deposits.credited}'`,
      'callback_unknown',
      'stands for a content that is not kept',
    ],
    [
      'an attempt that might be sent for a day',
      `update engine.placement_attempt set deadline = deadline + interval '1 day' where external_order_number = '${deposits.credited}'`,
      'times_contradict',
      'might be sent until',
    ],
    [
      'an attempt of a callback that came later',
      `update engine.callback_attempt set at = at + interval '1 hour' where callback = ${callbackOf(deposits.credited)}`,
      'times_contradict',
      'came last',
    ],
    [
      'a callback that came last a day later',
      `update engine.callback set last_at = last_at + interval '1 day' where id = ${callbackOf(deposits.credited)}`,
      'times_contradict',
      'came last',
    ],
    [
      'a workflow that was told of a callback before it came',
      `update engine.callback set raised_at = received_at - interval '1 second' where id = ${callbackOf(deposits.credited)}`,
      'times_contradict',
      'its workflow was told before that',
    ],
    [
      'a decision that was carried out an hour later',
      `update engine.carried set at = at + interval '1 hour' where proposal in (select id from engine.decision where ${ofDecided})`,
      'times_contradict',
      'was carried out',
    ],
    [
      'what a reversal came to, removed',
      `delete from engine.carried where proposal in (select id from engine.decision where workflow_id like '%:reversal:1')`,
      'decision_unrecorded',
      'and no proposal is written down to have come to it',
    ],
    [
      'an order that was given up after a restore which is not on record',
      `update engine.placement_attempt set outcome = 'unknown', answer = '{"kind": "unknown", "cause": "RESTORED"}' where external_order_number = '${deposits.waiting}'`,
      'attempt_differs',
      'and none is on record since',
    ],
  ];
}

import type { Scene, Situation } from '../scene/scene.ts';
import { proofFor } from '../../support/operators.ts';
import { callbackData, forgedContent, forgedRaw } from './pools.ts';
import { built, literal, part, sha256, type Value } from './statement.ts';

/**
 * A call of each function as its own process would make it. An attacker with the login but not the process's keys comes
 * as near as possible. The generator swaps one argument after the other.
 */
export type Call = Readonly<Record<string, Value>>;

const nothing = literal(null);
const now = built('now', () => String(Date.now()));

/** An item of engine.credit, as the worker takes it from the inbox row; `change`: fields that differ. */
const item = (of: Situation, change: Readonly<Record<string, unknown>> = {}): Value =>
  built(`a credit of ${of}${Object.keys(change).length === 0 ? '' : ` with ${JSON.stringify(change)}`}`, (scene) => {
    const { order, wallet, callback, data } = scene[of];
    return [
      {
        inbox_id: callback,
        deposit: order,
        wallet,
        provider_code: data?.transactionCode,
        amount: data?.transactionAmount,
        fiat: data?.currencyCode,
        fiat_amount: data?.paymentPrice,
        late: false,
        received_at: null,
        ...change,
      },
    ];
  });

/** An unsigned message, with the stamp and the seal of another. */
const forged = (of: Situation, sealOf: Situation, receipt: string, reason: string | null): Call => ({
  of_order: part(of, 'order'),
  content: built(`a forged content of ${of}`, (scene) => forgedContent(scene, of)),
  says: built(`forged data of ${of}`, (scene: Scene) => callbackData(scene, of)),
  bytes: built(`forged bytes of ${of}`, (scene) => forgedRaw(scene, of)),
  as_receipt: literal(receipt),
  reason: literal(reason),
  by_key: part(sealOf, 'stampKey'),
  at_ms: now,
  copies: literal(1),
  by_seal: part(sealOf, 'seal'),
  by_seal_key: part(sealOf, 'sealKey'),
  at_sealed_ms: now,
});
/** A genuine message of one order, replayed beside another. */
const replayed = (of: Situation, from: Situation): Call => ({
  ...forged(of, from, 'first', null),
  content: part(from, 'content'),
  says: part(from, 'data'),
  bytes: part(from, 'raw'),
  at_ms: part(from, 'stampMs'),
  at_sealed_ms: part(from, 'sealedMs'),
});

/** The API's arguments for it in one look: a stamp of this moment, and an order that was sent in time. */
const firstLook = (message: Call): Call => ({
  ...Object.fromEntries(Object.entries(message).filter(([name]) => name !== 'as_receipt' && name !== 'reason')),
  age_ms: literal(0),
  sent_by_ms: now,
});

/** Such messages at once. */
const atOnce = (...messages: readonly Call[]): Value =>
  built(messages.map((message) => Object.values(message).map(({ text }) => text)).join(' and '), (scene) =>
    messages.map((message) =>
      Object.fromEntries(
        Object.entries(message).map(([name, value]) => {
          const taken = value.take(scene);
          return [name, Buffer.isBuffer(taken) ? `\\x${taken.toString('hex')}` : taken];
        }),
      ),
    ),
  );

const alice = literal(proofFor('alice').reveal());
const bob = literal(proofFor('bob').reveal());
const step = (proof: Value, of: Situation, change: Readonly<Record<string, Value>>): Call => ({
  proof,
  of_case: part(of, 'case'),
  step: literal('propose'),
  decision: literal('credit'),
  keep: literal(false),
  to_deposit: nothing,
  beside: nothing,
  only_ordered: literal(false),
  of_proposal: nothing,
  reason: literal('compared with the statement'),
  transaction_code: nothing,
  amount: nothing,
  currency_code: nothing,
  payment_price: nothing,
  statement_line: nothing,
  signature: nothing,
  signer_key: nothing,
  nonce: nothing,
  ...change,
});
const confirmed = (of: Situation): Call => ({
  of_case: part(of, 'case'),
  proposal_id: part(of, 'proposal'),
  confirmation_id: part(of, 'confirmation'),
  doubt: nothing,
  why: literal('the books refused it'),
  refusal: literal('not_possible'),
});
const attempted = (of: Situation, n = 1): Call => ({
  of_order: part(of, 'order'),
  attempt: literal(n),
  deadline_ms: literal(60_000),
  with_key: part('waiting', 'ownKey'),
  stamp_ms: now,
  why: literal('NOT_SENT'),
  said: built('another checkout link', () => ({
    kind: 'placed',
    redirectUrl: 'https://evil.example/pay/1',
    advertisementCode: 'EVIL',
    providerTimeMs: null,
  })),
});

export const GENUINE: Readonly<Record<string, readonly Call[]>> = {
  // The API
  'engine.adopt_deposit': [{ of_order: part('placing', 'order'), until: nothing }],
  'engine.arriving': [
    {
      of_order: part('waiting', 'order'),
      content: literal(sha256('new')),
      by_key: part('waiting', 'ownKey'),
      at_ms: part('waiting', 'ownMs'),
    },
  ],
  'engine.receive': [
    forged('waiting', 'credited', 'first', null),
    forged('waiting', 'pending', 'other_content', 'STAMP_REUSED'),
    forged('credited', 'credited', 'final', 'SECOND_CODE'),
    forged('unknown', 'unknown', 'unknown_order', 'UNKNOWN_ORDER'),
    replayed('waiting', 'pending'),
  ],
  'engine.receive_firsts': [
    { items: atOnce(firstLook(forged('waiting', 'credited', 'first', null))) },
    { items: atOnce(firstLook(forged('credited', 'credited', 'first', null))) },
    {
      items: atOnce(firstLook(forged('unknown', 'unknown', 'first', null)), firstLook(replayed('waiting', 'pending'))),
    },
    { items: atOnce(firstLook(replayed('credited', 'credited')), firstLook(replayed('credited', 'credited'))) },
  ],
  'engine.reroute': [
    {
      of_callback: part('unknown', 'callback'),
      as_receipt: literal('unknown_order'),
      reason: literal('UNKNOWN_ORDER'),
      by_key: part('unknown', 'stampKey'),
      at_ms: part('unknown', 'stampMs'),
      copies: literal(1),
    },
  ],
  'engine.count_attempt': ['credited', 'pending', 'unknown'].map((of) => ({
    of_callback: part(of as Situation, 'callback'),
    by_key: part(of as Situation, 'stampKey'),
    at_ms: now,
    copies: literal(1),
    other: nothing,
  })),
  'engine.receive_restored': [
    {
      of_order: part('waiting', 'order'),
      said: literal('{}'),
      why: literal('RESTORED'),
      by_seal: part('credited', 'seal'),
      by_seal_key: part('credited', 'sealKey'),
      at_sealed_ms: now,
    },
  ],
  'engine.event_data': [
    {
      of_order: part('credited', 'order'),
      of_sequence: literal(2),
      wallet: part('credited', 'wallet'),
      state: literal('CREDITED'),
      late: literal(false),
      currency: literal('CNY'),
      mode: literal('MtcAmount'),
      mtc: literal('5000'),
      price: nothing,
    },
  ],
  'engine.position_since': [{ since: literal(new Date(0)) }, { since: literal(new Date()) }],
  'engine.open_case': [{ of_callback: part('pending', 'callback') }, { of_callback: part('unknown', 'callback') }],
  'engine.raised': [
    { of_callback: part('pending', 'callback'), in_case: literal(true) },
    { of_callback: part('second', 'callback'), in_case: literal(false) },
  ],
  'engine.name_wallet': [{ of_case: part('unknown', 'case') }, { of_case: part('doubtful', 'case') }],
  'engine.regain_case': [{ of_order: part('doubtful', 'order') }, { of_order: part('waiting', 'order') }],
  'engine.hand_over': [
    { of_case: part('second', 'case'), was_held_by: nothing },
    { of_case: part('doubtful', 'case'), was_held_by: nothing },
  ],
  'engine.told': [{ of_order: part('credited', 'order') }, { of_order: part('rejected', 'order') }],
  'engine.caller': [{ proof: alice }],
  'engine.take_step': [
    step(alice, 'doubtful', {}),
    step(alice, 'proposed', {
      step: literal('confirm'),
      decision: nothing,
      of_proposal: part('proposed', 'proposal'),
      reason: nothing,
    }),
    step(bob, 'proposed', {
      step: literal('confirm'),
      decision: nothing,
      of_proposal: part('proposed', 'proposal'),
      reason: nothing,
    }),
    step(bob, 'proposed', { step: literal('withdraw'), decision: nothing, of_proposal: part('proposed', 'proposal') }),
  ],
  'engine.refuse_step': [
    { proof: alice, of_step: part('proposed', 'proposal'), refusal: literal('case_closed') },
    { proof: bob, of_step: part('agreed', 'confirmation'), refusal: literal('case_closed') },
  ],
  'engine.open_doubt': [
    {
      proof: alice,
      of_order: part('credited', 'order'),
      of_posting: nothing,
      of_case: nothing,
      detail: literal('it was recalled'),
    },
    {
      proof: alice,
      of_order: nothing,
      of_posting: nothing,
      of_case: part('rejected', 'case'),
      detail: literal('it was recalled'),
    },
  ],
  // Endpoints: a key that may not manage them.
  'engine.make_endpoint': [
    {
      proof: alice,
      at_url: literal('https://evil.example/'),
      only_types: nothing,
      with_signature: literal('v1'),
      sealed: literal(sha256('evil')),
      public_half: nothing,
    },
  ],
  'engine.change_endpoint': [
    {
      proof: alice,
      of_endpoint: literal('1'),
      new_url: literal('https://evil.example/'),
      new_types: literal([]),
      enabled: literal(true),
    },
  ],
  'engine.rotate_endpoint': [
    {
      proof: alice,
      of_endpoint: literal('1'),
      sealed: literal(sha256('evil')),
      public_half: nothing,
      overlap_ms: literal('0'),
    },
  ],
  'engine.delete_endpoint': [{ proof: alice, of_endpoint: literal('1') }],
  'engine.redeliver': [{ proof: alice, of_endpoint: literal('1'), after_it: literal('0'), upto: literal('1') }],
  // The notifier
  'engine.claim_deliveries': [{ at_most: literal(64) }],
  'engine.settle_deliveries': [
    { results: built('an attempt', () => JSON.stringify([{ attempt: 1, status: 200, ms: 1, answer: 'evil' }])) },
  ],
  'engine.forget_answers': [{ older_than: literal('7 days'), at_most: literal(1000) }],
  // The worker
  'engine.credit': [
    { items: item('pending') },
    { items: item('pending', { late: true }) },
    { items: item('pending', { wallet: 'wallet-evil' }) },
    { items: item('pending', { amount: '50000' }) },
    { items: item('credited') },
    { items: item('doubtful', { amount: '5000' }) },
    { items: item('second') },
    { items: item('unknown') },
    { items: item('rejected') },
    {
      items: built('a credit of waiting by the message of pending', (scene) => {
        const [one] = item('pending').take(scene) as readonly object[];
        return [{ ...one, deposit: scene.waiting.order, wallet: scene.waiting.wallet }];
      }),
    },
    {
      items: built('a credit of pending, twice', (scene) => {
        const [one] = item('pending').take(scene) as readonly object[];
        return [one, one];
      }),
    },
  ],
  'engine.give_to_people': [
    {
      of_inbox: part('pending', 'callback'),
      why: literal('AMOUNT_MISMATCH'),
      what: literal('evil'),
      is_late: literal(false),
      to_park: literal(true),
    },
  ],
  'engine.park': [{ of_case: part('doubtful', 'case') }],
  'engine.show_proposal': [
    { of_case: part('proposed', 'case'), shown: part('proposed', 'proposal') },
    { of_case: part('withdrawn', 'case'), shown: part('withdrawn', 'proposal') },
  ],
  'engine.begin_attempt': [attempted('placing')],
  'engine.close_attempts': [attempted('placing')],
  'engine.end_attempt': [attempted('unplaced'), attempted('waiting'), attempted('placing')],
  'engine.conclude_attempt': [attempted('unplaced'), attempted('waiting'), attempted('placing')],
  'engine.deposit_step': ['EXPIRED', 'UNPAID', 'PLACEMENT_REFUSED'].map((state) => ({
    of_order: part(state === 'EXPIRED' ? 'waiting' : state === 'UNPAID' ? 'expired' : 'placing', 'order'),
    to_state: literal(state),
    why: literal('evil'),
  })),
  'engine.note_skew': [{ ms: literal(1) }],
  'engine.waits_for_voucher': [{ of_callback: part('credited', 'callback') }],
  'engine.payer_name_for_placement': [{ of_order: part('placing', 'order') }],
  'engine.shred_payer_names': [{ older_than: literal('1 day'), at_most: literal(1000) }],
  'engine.publish_events': [{ at_most: literal(500) }, { at_most: literal(1) }],
  'engine.prune': [{ older_than: literal('90 days'), at_most: literal(1000) }],
  'engine.archive_look': [{ at_most: literal(10) }],
  'engine.archive_lose': [
    { of_workflow: built('deposit:fresh', (scene) => `deposit:${scene.fresh.order}`), of_run: literal('a-run') },
    {
      of_workflow: built('deposit:credited', (scene) => `deposit:${scene.credited.order}`),
      of_run: part('credited', 'run'),
    },
  ],
  'engine.archive_put': [
    { of_hash: literal(sha256('evil')), as_kind: literal('history'), packed: literal(Buffer.from('evil')) },
  ],
  'engine.archive_done': [
    {
      of_workflow: built('deposit:fresh', (scene) => `deposit:${scene.fresh.order}`),
      as_of: part('fresh', 'closedAt'),
    },
  ],
  'engine.append_archive': ['credited', 'fresh', 'waiting'].map((of) => ({
    of_workflow: built(`deposit:${of}`, (scene) => `deposit:${scene[of as Situation].order}`),
    of_run: built('a run', () => '00000000-0000-4000-8000-00000000beef'),
    of_type: literal('deposit'),
    as_status: literal('COMPLETED'),
    closed: now2(),
    event_count: part('credited', 'events'),
    history: part('credited', 'history'),
    bundle: nothing,
    by_sdk: literal('1.24.0'),
    by_version: literal('test'),
  })),
  // Decisions
  'engine.bring_in': [confirmed('agreed'), confirmed('withdrawn'), confirmed('decided')],
  'engine.decide': [confirmed('agreed'), confirmed('withdrawn'), confirmed('decided')],
  'engine.record_refused': [confirmed('agreed'), confirmed('decided')],
};

function now2(): Value {
  return built('now', () => new Date().toISOString());
}

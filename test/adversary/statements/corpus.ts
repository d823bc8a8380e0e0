import { GENUINE } from './genuine.ts';
import { callbackData, forgedContent, forgedRaw } from './pools.ts';
import type { Situation } from '../scene/scene.ts';
import { type Attempt, built, part, type Statement, type Value } from './statement.ts';

/** Chains from experience: each was a theft once, or would be one without some single wall. */

type Step = readonly [role: string, sql: string, ...values: readonly Value[]];

const chain = (name: string, ...steps: readonly Step[]): Attempt => ({
  name,
  steps: steps.map(([role, sql, ...values]): Statement => ({ role, by: objectOf(sql), text: sql, sql, values })),
});

/** The function or table of a statement, as legal.ts names it. */
function objectOf(sql: string): string {
  const called = /(?:select|from)\s+(?:\* from\s+)?((?:engine|ledger)\.\w+)\(/i.exec(sql)?.[1];
  if (called !== undefined) return called;
  const [, verb, table] = /^(insert into|update|delete from)\s+([\w.]+)/i.exec(sql) ?? [];
  return verb === undefined ? sql : `${verb.split(' ')[0]!.toLowerCase()} ${table}`;
}

const { items: creditOf } = GENUINE['engine.credit']![0]!;
const creditItem = (of: Situation, by: Situation, wallet: string | null = null): Value =>
  built(`a credit of ${of} by ${by}`, (scene) => {
    const [one] = creditOf!.take({ ...scene, pending: scene[by] }) as readonly object[];
    return [{ ...one, deposit: scene[of].order, wallet: wallet ?? scene[of].wallet }];
  });
const forgedItem = (of: Situation): Value =>
  built(`a credit of ${of} by the newest message`, (scene) => {
    const data = callbackData(scene, of);
    return [
      {
        inbox_id: null,
        deposit: scene[of].order,
        wallet: scene[of].wallet,
        provider_code: data.transactionCode,
        amount: data.transactionAmount,
        fiat: data.currencyCode,
        fiat_amount: data.paymentPrice,
        late: false,
        received_at: null,
      },
    ];
  });

const RECEIVE = `select * from engine.receive($1, $2, $3::jsonb, $4, 'first', null, $5, $6::bigint, 1, $7, $8, $9::bigint)`;
/** A message that pays `of`, under the seal of another one. */
const forge = (of: Situation, sealed: Situation): Step => [
  'app_api',
  RECEIVE,
  part(of, 'order'),
  built('content', (scene) => forgedContent(scene, of)),
  built('data', (scene) => callbackData(scene, of)),
  built('bytes', (scene) => forgedRaw(scene, of)),
  part(sealed, 'stampKey'),
  built('now', () => String(Date.now())),
  part(sealed, 'seal'),
  part(sealed, 'sealKey'),
  built('now', () => String(Date.now())),
];
/** The callback that the deposit is bound to now, whichever it is. */
const CREDIT_BOUND = `select * from engine.credit((select jsonb_agg(i || jsonb_build_object('inbox_id', (select d.bound_callback from engine.deposit d where d.external_order_number = i->>'deposit')))
  from jsonb_array_elements($1::jsonb) i))`;
const CREDIT = 'select * from engine.credit($1::jsonb)';
const DECIDE = 'select engine.decide($1, $2::bigint, $3::bigint)';
const BRING_IN = 'select engine.bring_in($1, $2::bigint, $3::bigint)';
const confirmed = (of: Situation): readonly [Value, Value, Value] => [
  part(of, 'case'),
  part(of, 'proposal'),
  part(of, 'confirmation'),
];
const EVIL_ANSWER = `{"kind": "placed", "redirectUrl": "https://evil.example/pay", "advertisementCode": "EVIL", "providerTimeMs": null}`;

export const CORPUS: readonly Attempt[] = [
  // The theft that the audit once called explained
  chain('a posting is reversed by the worker, and kept', [
    'app_worker',
    `select * from ledger.reverse('evil-1', $1::bigint, true, 'deposit:x', 'alice+bob', 'evil', null)`,
    part('credited', 'posting'),
  ]),
  chain('a posting is reversed by who decides, and kept', [
    'app_decisions',
    `select * from ledger.reverse('evil-1', $1::bigint, true, 'deposit:x', 'alice+bob', 'evil', null)`,
    part('credited', 'posting'),
  ]),
  chain('suspense is released to another wallet', [
    'app_decisions',
    `select * from ledger.release('evil-2', $1::bigint, $2, 'wallet-evil', 0, 'deposit:x', 'alice+bob', 'evil', null, null)`,
    part('second', 'posting'),
    part('waiting', 'order'),
  ]),
  chain('an open deposit is called unpaid', [
    'app_worker',
    `update engine.deposit set state = 'UNPAID', closed_at = now() where external_order_number = $1`,
    part('waiting', 'order'),
  ]),
  chain('an open deposit is called unpaid, by the function', [
    'app_worker',
    `select engine.deposit_step($1, 'UNPAID')`,
    part('waiting', 'order'),
  ]),
  chain('an expired deposit is called unpaid', [
    'app_worker',
    `select engine.deposit_step($1, 'UNPAID')`,
    part('expired', 'order'),
  ]),
  // Minting
  chain('a message is put into the inbox by hand', [
    'app_api',
    `insert into engine.callback (external_order_number, deposit, content_hash, raw, receipt, acked) values ($1, $1, sha256('evil'), '', 'first', true)`,
    part('waiting', 'order'),
  ]),
  chain('a deposit is bound by hand', [
    'app_api',
    'update engine.deposit set bound_callback = $2::bigint where external_order_number = $1',
    part('waiting', 'order'),
    part('second', 'callback'),
  ]),
  chain('a forged message is bound to a deposit', forge('waiting', 'credited')),
  chain('a forged message is bound to a deposit, and credited', forge('waiting', 'credited'), [
    'app_worker',
    CREDIT_BOUND,
    forgedItem('waiting'),
  ]),
  chain('a forged message is credited by the seal of one that pays as much', forge('waiting', 'pending'), [
    'app_worker',
    CREDIT_BOUND,
    forgedItem('waiting'),
  ]),
  chain('a forged message of an expired deposit is credited', forge('expired', 'unknown'), [
    'app_worker',
    CREDIT_BOUND,
    forgedItem('expired'),
  ]),
  chain('a forged message is given to people, and its money parked', forge('waiting', 'credited'), [
    'app_worker',
    `select * from engine.give_to_people((select bound_callback from engine.deposit where external_order_number = $1), 'LATE', '', false, true)`,
    part('waiting', 'order'),
  ]),
  chain(
    'a deposit is reserved for a message that nobody knows, adopted and credited to another wallet',
    [
      'app_api',
      `insert into engine.deposit (external_order_number, wallet, buy_coin_mode, mtc_amount, currency_code, support_language, fingerprint, settings) select $1, 'wallet-evil', buy_coin_mode, mtc_amount, currency_code, support_language, fingerprint, settings from engine.deposit where external_order_number = $2`,
      part('unknown', 'order'),
      part('waiting', 'order'),
    ],
    [
      'app_worker',
      `select engine.begin_attempt($1, 1, 60000, 'evil', (extract(epoch from clock_timestamp()) * 1000)::bigint)`,
      part('unknown', 'order'),
    ],
    ['app_worker', `select engine.end_attempt($1, 1, '${EVIL_ANSWER}'::jsonb)`, part('unknown', 'order')],
    [
      'app_api',
      `select * from engine.reroute($1::bigint, 'first', null, $2, $3::bigint, 0)`,
      part('unknown', 'callback'),
      part('unknown', 'stampKey'),
      part('unknown', 'stampMs'),
    ],
    ['app_worker', CREDIT, creditItem('unknown', 'unknown', 'wallet-evil')],
  ),
  chain(
    'a deposit is reserved for a message that nobody knows, which then comes again, and the machine is left to credit it',
    [
      'app_api',
      `insert into engine.deposit (external_order_number, wallet, buy_coin_mode, mtc_amount, currency_code, support_language, fingerprint, settings) select $1, 'wallet-evil', buy_coin_mode, mtc_amount, currency_code, support_language, fingerprint, settings from engine.deposit where external_order_number = $2`,
      part('unknown', 'order'),
      part('waiting', 'order'),
    ],
    [
      'app_worker',
      `select engine.begin_attempt($1, 1, 60000, 'evil', (extract(epoch from clock_timestamp()) * 1000)::bigint)`,
      part('unknown', 'order'),
    ],
    [
      'app_worker',
      `select engine.end_attempt($1, 1, jsonb_build_object('kind', 'placed', 'redirectUrl', $2::text, 'advertisementCode', 'EVIL'))`,
      part('unknown', 'order'),
      part('waiting', 'url'),
    ],
    [
      'app_api',
      `select from engine.count_attempt($1::bigint, $2, $3::bigint, 1)`,
      part('unknown', 'callback'),
      part('unknown', 'stampKey'),
      part('unknown', 'stampMs'),
    ],
  ),
  // Double credits
  chain('a payment is credited before its workflow asks', ['app_worker', CREDIT, creditItem('pending', 'pending')]),
  chain('a payment is credited again', ['app_worker', CREDIT, creditItem('credited', 'credited')]),
  chain('a payment is credited to the other deposit', ['app_worker', CREDIT, creditItem('waiting', 'pending')]),
  chain('a payment is credited to another wallet', [
    'app_worker',
    CREDIT,
    creditItem('pending', 'pending', 'wallet-evil'),
  ]),
  chain('a payment that people have is credited', ['app_worker', CREDIT, creditItem('second', 'second')]),
  chain(
    'a payment is given to people, and then credited',
    [
      'app_worker',
      `select * from engine.give_to_people($1::bigint, 'LATE', '', false, true)`,
      part('pending', 'callback'),
    ],
    ['app_worker', CREDIT, creditItem('pending', 'pending')],
  ),
  chain(
    'a payment is credited, and then given to people',
    ['app_worker', CREDIT, creditItem('pending', 'pending')],
    [
      'app_worker',
      `select * from engine.give_to_people($1::bigint, 'LATE', '', false, true)`,
      part('pending', 'callback'),
    ],
  ),
  chain(
    'a payment is credited, and its history declared lost',
    ['app_worker', CREDIT, creditItem('pending', 'pending')],
    ['app_worker', `select engine.archive_lose('deposit:' || $1::text, 'a-run')`, part('pending', 'order')],
  ),
  chain('an archived deposit is declared lost', [
    'app_worker',
    `select engine.archive_lose('deposit:' || $1::text, 'a-run')`,
    part('credited', 'order'),
  ]),
  chain(
    'a doubtful payment is parked a second time',
    ['app_worker', 'select * from engine.park($1)', part('doubtful', 'case')],
    ['app_worker', 'select * from engine.park($1)', part('doubtful', 'case')],
  ),
  // Decisions
  chain(
    'what two people have said is carried out behind their workflow',
    ['app_decisions', BRING_IN, ...confirmed('agreed')],
    ['app_decisions', DECIDE, ...confirmed('agreed')],
  ),
  chain('what two people have said is refused behind their workflow', [
    'app_decisions',
    `select engine.record_refused($1, $2::bigint, $3::bigint, 'evil', 'unproven')`,
    ...confirmed('agreed'),
  ]),
  chain('a decision is carried out again', ['app_decisions', DECIDE, ...confirmed('decided')]),
  chain('a proposal confirms itself', [
    'app_decisions',
    DECIDE,
    part('proposed', 'case'),
    part('proposed', 'proposal'),
    part('proposed', 'proposal'),
  ]),
  chain('a proposal is confirmed by a step of another case', [
    'app_decisions',
    DECIDE,
    part('proposed', 'case'),
    part('proposed', 'proposal'),
    part('decided', 'confirmation'),
  ]),
  chain('a withdrawn proposal is carried out', [
    'app_decisions',
    DECIDE,
    part('withdrawn', 'case'),
    part('withdrawn', 'proposal'),
    part('agreed', 'confirmation'),
  ]),
  chain('a withdrawn proposal is shown again', [
    'app_worker',
    'select engine.show_proposal($1, $2::bigint)',
    part('withdrawn', 'case'),
    part('withdrawn', 'proposal'),
  ]),
  chain('the proposal that waits is hidden', [
    'app_worker',
    'select engine.show_proposal($1, null)',
    part('proposed', 'case'),
  ]),
  chain('a step is written by hand', [
    'app_decisions',
    `insert into engine.decision (callback, workflow_id, step, decision, operator, reason) values ($2::bigint, $1, 'propose', 'credit', 'alice', 'evil')`,
    part('doubtful', 'case'),
    part('doubtful', 'callback'),
  ]),
  chain('a step is taken without a key', [
    'app_api',
    `select * from engine.take_step(sha256('evil'), $1, 'propose', 'credit', false, null, null, false, null, 'evil', null, null, null, null, null, null, null, null)`,
    part('doubtful', 'case'),
  ]),
  // Keys
  chain('a key is made for somebody', [
    'app_api',
    `select engine.issue_key(sha256('evil'), 'alice', '{reviews:decide}', null, null)`,
  ]),
  chain('a key is written by hand', [
    'app_api',
    `insert into engine.api_key (name, proof_hash, scopes) values ('alice', sha256('evil'), '{reviews:decide}')`,
  ]),
  chain('a key is read', ['app_api', 'select proof_hash from engine.api_key']),
  chain('a key is brought back', ['app_worker', 'update engine.api_key set revoked_at = null']),
  // Links
  chain('a checkout link is rewritten', [
    'app_worker',
    `update engine.deposit set redirect_url = 'https://evil.example/pay' where external_order_number = $1`,
    part('waiting', 'order'),
  ]),
  chain('a checkout link is answered for the provider', [
    'app_worker',
    `select engine.end_attempt($1, 1, '${EVIL_ANSWER}'::jsonb)`,
    part('unplaced', 'order'),
  ]),
  chain('a checkout link is answered anew', [
    'app_worker',
    `select engine.end_attempt($1, 1, '${EVIL_ANSWER}'::jsonb)`,
    part('waiting', 'order'),
  ]),
  chain(
    'an order is placed at another provider',
    [
      'app_worker',
      `select engine.begin_attempt($1, 1, 60000, 'evil', (extract(epoch from clock_timestamp()) * 1000)::bigint)`,
      part('placing', 'order'),
    ],
    ['app_worker', `select engine.end_attempt($1, 1, '${EVIL_ANSWER}'::jsonb)`, part('placing', 'order')],
  ),
  chain(
    'an order is refused in the name of the provider',
    [
      'app_worker',
      `select engine.begin_attempt($1, 1, 60000, 'evil', (extract(epoch from clock_timestamp()) * 1000)::bigint)`,
      part('placing', 'order'),
    ],
    [
      'app_worker',
      `select engine.end_attempt($1, 1, '{"kind": "refused", "statusCode": "PARAMETER_ERROR", "message": "no"}'::jsonb)`,
      part('placing', 'order'),
    ],
    ['app_worker', `select engine.deposit_step($1, 'PLACEMENT_REFUSED', 'PARAMETER_ERROR')`, part('placing', 'order')],
  ),
  // Words to the outside
  chain('a credit is announced that was none', [
    'app_worker',
    `insert into engine.event (subject, sequence, type, epoch, data) values ($1, 9, 'deposit.credited', 1, '{"amount": "999999"}')`,
    part('waiting', 'order'),
  ]),
  chain('an announcement is taken back', [
    'app_worker',
    'delete from engine.event where subject = $1',
    part('credited', 'order'),
  ]),
  // Traces
  chain('what was sent is forgotten', [
    'app_worker',
    'delete from engine.placement_attempt where external_order_number = $1',
    part('waiting', 'order'),
  ]),
  chain('our own stamps are forgotten', ['app_worker', 'delete from engine.own_stamp']),
  chain('what came is forgotten', ['app_api', 'delete from engine.callback_attempt']),
  chain('everything old is pruned now', ['app_worker', `select * from engine.prune('-100 years', 10000)`]),
  chain('the names of payers are erased early', ['app_worker', `select engine.shred_payer_names('-1 day', 1000)`]),
  // The archive
  chain('another history is archived for a deposit', [
    'app_worker',
    `select engine.append_archive('deposit:' || $1::text, '00000000-0000-4000-8000-00000000beef', 'deposit', 'COMPLETED', now(), $3::integer, $2, null, '1.24.0', 'test')`,
    part('waiting', 'order'),
    part('credited', 'history'),
    part('credited', 'events'),
  ]),
  chain('a history is archived for nobody', [
    'app_worker',
    `select engine.append_archive('deposit:o-nobody', '00000000-0000-4000-8000-00000000beef', 'deposit', 'COMPLETED', now(), 9, $1, null, '1.24.0', 'test')`,
    part('credited', 'history'),
  ]),
  chain('a history is archived that is nowhere', [
    'app_worker',
    `select engine.append_archive('deposit:' || $1::text, '00000000-0000-4000-8000-00000000beef', 'deposit', 'COMPLETED', now(), 9, sha256('evil'), null, '1.24.0', 'test')`,
    part('waiting', 'order'),
  ]),
  chain('an archived history is replaced', [
    'app_worker',
    `select engine.archive_put($1, 'history', 'evil')`,
    part('credited', 'history'),
  ]),
  chain('the queue of the archive is emptied', ['app_worker', 'delete from engine.archive_due']),
  // Functions and names
  ...['app_api', 'app_worker', 'app_decisions', 'auditor'].flatMap((role) => [
    chain(`${role} replaces the ledger's audit`, [
      role,
      `create or replace function ledger.audit() returns table (fault text, found bigint) language sql as 'select ''''::text, 0::bigint where false'`,
    ]),
    chain(`${role} switches a trigger off`, [role, 'alter table engine.deposit disable trigger state']),
    chain(`${role} becomes the owner of the functions`, [role, 'set role engine_owner']),
    chain(`${role} becomes the owner of the books`, [role, 'set role ledger_owner']),
    chain(`${role} posts to itself`, [
      role,
      `insert into ledger.entry (transaction_id, line, account_id, amount) select transaction_id, 9, account_id, 1000000 from ledger.entry limit 1`,
    ]),
    chain(`${role} raises a balance`, [role, `update ledger.balance set amount = amount + 1000000`]),
  ]),
  chain(
    'a table of ours is shadowed, and a credit made',
    ['app_worker', `create temp table deposit as select * from (values (1)) v(external_order_number)`],
    ['app_worker', CREDIT, creditItem('pending', 'pending', 'wallet-evil')],
  ),
  chain(
    'a function of ours is shadowed, and a credit made',
    [
      'app_worker',
      `create function pg_temp.is_for_machine(jsonb, text, numeric, numeric, text, numeric, numeric) returns boolean language sql as 'select true'`,
    ],
    [
      'app_worker',
      CREDIT,
      built('ten times as much', (scene) => {
        const [one] = creditOf!.take(scene) as readonly object[];
        return [{ ...one, amount: '50000' }];
      }),
    ],
  ),
  chain(
    'the path of names is another',
    ['app_worker', `set local search_path = pg_temp, engine`],
    ['app_worker', CREDIT, creditItem('pending', 'pending', 'wallet-evil')],
  ),
];

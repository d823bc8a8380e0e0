import { readFile } from 'node:fs/promises';
import { expect, test } from 'vitest';
import { sha256 } from '../../archive/canonical-history.ts';
import { archiveObjects } from '../../archive/objects.ts';
import { NO_EXCEPTIONS } from '../../audit/exceptions.ts';
import { required } from '../support/database.ts';
import { startWorkflowWorld } from '../support/workflows/workflow-world.ts';
import { ALONE, archiveAll, changePayload, copiesOf, findingsOf, type Discrepancy, rewriteHistory } from './book.ts';
import { moneyPaths, type Walked } from './histories/money-paths.ts';

/**
 * Forgeries of who decided, of the outcome, and of where the money is: each is found, named and located. A superuser
 * makes them in copies of a small book.
 */
const world = await startWorkflowWorld('real');
const code = await readFile(required('TEST_WORKFLOW_BUNDLE'), 'utf8');
await archiveObjects(world.db.poolFor('app_worker'), undefined).put(sha256(code), 'bundle', code);
const paths = moneyPaths(world);
const walk = async (name: string) => (await paths[name]!()) as Walked;
const settled = await walk('settled by people while awaiting');
const beside = await walk('paid second, and put beside the other payment');
const chain = await walk('reversed and kept, restored, doubted again, reversed');
const stated = await walk('what cannot be read, stated by two people: first not alike, then alike, and settled');
const refused = await walk('refused, because another was credited meanwhile, and then put beside it');
const open = await walk('in suspense, and the case is open');
await archiveAll(world);
const book = await copiesOf(world, code);

/** The messages of these paths are stored without their bytes and stamps, and no API writes the cases of later ones. */
const found = (report: Parameters<typeof findingsOf>[0]) =>
  findingsOf(report).filter(
    ({ kind }) => !['callback_changed', 'callback_unknown', 'callback_without_outcome'].includes(kind),
  );

test('a clean book gives no false alarm, and names everybody who decided', async () => {
  const report = await book.audit();
  expect(found(report)).toEqual([]);
  const { decisions } = report;
  expect(decisions.map(({ decision }) => decision)).toContain('restore');
  expect(decisions.filter(({ proposedBy, confirmedBy }) => proposedBy !== 'alice' || confirmedBy !== 'bob')).toEqual(
    [],
  );
  expect(decisions.find(({ workflowId }) => workflowId === beside.id)?.needsTwo).toBe(true);
});

const deposit = ({ deposit: n }: Walked) => `external_order_number = '${n}'`;
const steps = ({ id }: Walked, step: string) =>
  `(select id from engine.decision where workflow_id = '${id}' and step = '${step}')`;
const carried = (of: Walked) => `proposal in ${steps(of, 'propose')}`;
const decided = (of: Walked) => `${carried(of)} and outcome = 'decided'`;
/** The newest posting of a case, and the n-th of a deposit. */
const postingBy = ({ id }: Walked) => `(select max(id) from ledger.transaction where workflow_id = '${id}')`;
const postingOf = ({ deposit: n }: Walked, at: number) =>
  `(select id from ledger.transaction where deposit = '${n}' order by id offset ${at} limit 1)`;
const SUSPENSE = (of: Walked) =>
  `(select id from ledger.transaction where workflow_id = '${of.id}' and kind = 'suspense')`;

const FORGERIES: readonly Discrepancy[] = [
  {
    what: 'a deposit shown with a posting that put nothing into its wallet',
    tamper: `update engine.deposit set posting_id = ${SUSPENSE(settled)} where ${deposit(settled)}`,
    kinds: ['deposit_row_differs'],
    names: 'which put nothing into its wallet',
  },
  {
    what: 'a deposit settled by another case',
    tamper: `update engine.deposit set settled_by = '${beside.id}' where ${deposit(settled)}`,
    kinds: ['deposit_row_differs'],
    names: `settled by ${beside.id}; no such case`,
  },
  {
    what: 'a deposit settled by nobody',
    tamper: `update engine.deposit set settled_by = null where ${deposit(settled)}`,
    kinds: ['deposit_row_differs'],
    names: 'settled by nobody',
  },
  {
    what: 'a settled deposit that is opened again',
    tamper: `update engine.deposit set state = 'AWAITING_PAYMENT', posting_id = null, bound_callback = null, settled_by = null, closed_at = null where ${deposit(settled)}`,
    kinds: ['deposit_row_differs'],
    names: `shown as AWAITING_PAYMENT, and ${settled.id} credited its payment`,
  },
  {
    what: 'a second payment that is beside nothing',
    tamper: `update ledger.transaction set beside = null where id = ${postingBy(beside)}`,
    kinds: ['credited_twice', 'block_broken', 'posting_differs', 'decision_unrecorded'],
    names: '2 payments stand in wallets, not beside each other',
  },
  {
    what: 'a payment beside that of another deposit',
    tamper: `update ledger.transaction set beside = ${postingBy(settled)} where id = ${postingBy(beside)}`,
    kinds: ['credited_twice', 'block_broken', 'posting_differs', 'decision_unrecorded'],
    names: `which is of deposit ${settled.deposit}`,
  },
  {
    what: 'a payment beside one that was taken out before',
    tamper: `update ledger.transaction set beside = ${postingOf(chain, 0)} where id = ${postingOf(chain, 2)}`,
    kinds: ['credited_twice'],
    names: 'had taken out before',
  },
  {
    what: 'a payment beside one that was not the newest',
    tamper: `update ledger.transaction set beside = id where id = ${postingBy(beside)};
      insert into ledger.transaction (key, kind, deposit, provider, debit_code, credit_code, amount, fee, origin, workflow_id, actor, reason, beside)
      select 'forged', 'release', '${beside.deposit}', provider, debit_code, credit_code, amount, fee, 999999, workflow_id, 'alice+bob', 'forged', ${postingOf(beside, 0)}
        from ledger.transaction where id = ${postingBy(beside)}`,
    kinds: ['credited_twice'],
    names: 'which was not the newest that stood',
  },
  {
    what: 'a reversal beside a credit',
    tamper: `update ledger.transaction set beside = ${postingOf(chain, 0)} where id = ${postingOf(chain, 1)}`,
    kinds: ['credited_twice'],
    names: 'and put nothing into a wallet',
  },
  {
    what: 'a payment beside another, by one person',
    tamper: `alter table ledger.transaction drop constraint beside_by_two;
      update ledger.transaction set actor = 'alice' where id = ${postingBy(beside)}`,
    kinds: ['decided_by_one', 'block_broken'],
    names: 'by alice alone, beside posting',
  },
  {
    what: 'a payment beside another, proposed and confirmed by one person',
    tamper: `update engine.decision set operator = 'alice' where workflow_id = '${beside.id}'`,
    kinds: ['decided_by_one', 'decision_unrecorded'],
    names: 'alice proposed and confirmed a credit beside posting',
  },
  {
    what: 'a slot that is free though a payment stands',
    tamper: `delete from ledger.slot where deposit = '${settled.deposit}'`,
    kinds: ['slot_differs'],
    names: 'the slot is free',
  },
  {
    what: 'a slot that names another payment than the newest',
    tamper: `update ledger.slot set key = (select key from ledger.transaction where id = ${postingOf(beside, 0)}) where deposit = '${beside.deposit}'`,
    kinds: ['slot_differs'],
    names: 'is the newest that stands',
  },
  {
    what: 'a chain that is said to begin elsewhere',
    tamper: `update ledger.lineage set root = ${postingOf(settled, 0)} where transaction_id = ${postingOf(chain, 2)}`,
    kinds: ['lineage_differs'],
    names: 'the lineage says',
  },
  {
    what: 'a chain of which a part is missing',
    tamper: `delete from ledger.lineage where transaction_id = ${postingOf(chain, 1)}`,
    kinds: ['lineage_differs'],
    names: 'the lineage says none',
  },
  {
    what: 'two payments excused as from before',
    tamper: `insert into ledger.double_at_migration values ('${beside.deposit}', '{1,2}')`,
    kinds: ['double_at_migration'],
    names: 'postings 1, 2 stood beside each other',
  },
  {
    what: 'a posting that takes the money from where it did not lie',
    tamper: `update ledger.transaction set debit_code = 'clearing:mtpay' where id = ${postingBy(settled)}`,
    kinds: ['posting_differs', 'block_broken'],
    names: 'MTC from clearing:mtpay, posting',
  },
  {
    what: 'a posting that follows another than its name says',
    tamper: `update ledger.transaction set key = 'after:999' where id = ${postingBy(settled)}`,
    kinds: ['posting_differs', 'block_broken'],
    names: 'key is after:999',
  },
  {
    what: 'what a proposal came to, removed',
    tamper: `delete from engine.carried where ${carried(settled)}`,
    kinds: ['decision_unrecorded'],
    names: 'and no proposal is written down to have come to it',
  },
  {
    what: 'what a refused proposal came to, removed',
    tamper: `delete from engine.carried where ${carried(refused)} and outcome = 'refused'`,
    kinds: ['decision_unrecorded'],
    names: 'came to refused, which is not written down',
  },
  {
    what: 'what a refused proposal came to, told otherwise',
    tamper: `update engine.carried set answer = answer || '{"refusal":"not_possible"}' where ${carried(refused)} and outcome = 'refused'`,
    kinds: ['decision_unrecorded'],
    names: 'is written down as',
  },
  {
    what: 'a refused proposal that is said to have closed its case',
    tamper: `update engine.carried r set outcome = 'decided', posting = o.posting, answer = o.answer from engine.carried o
      where r.proposal in ${steps(refused, 'propose')} and r.outcome = 'refused' and o.proposal in ${steps(refused, 'propose')} and o.outcome = 'decided'`,
    kinds: ['decision_unrecorded'],
    names: '2 proposals are written down to have closed it',
  },
  {
    what: 'a decision in the name of others',
    tamper: `update engine.carried set answer = answer || '{"decidedBy":"mallory+eve"}' where ${decided(settled)}`,
    kinds: ['decision_unrecorded'],
    names: 'and posting',
  },
  {
    what: 'a decision that moved another posting',
    tamper: `update engine.carried set posting = ${postingOf(chain, 0)} where ${decided(settled)}`,
    kinds: ['decision_unrecorded'],
    names: 'and its case was told',
  },
  {
    what: 'a decision with a posting that is not there',
    tamper: `update engine.carried set posting = 999999, answer = answer || '{"postingId":"999999"}' where ${decided(settled)}`,
    kinds: ['decision_unrecorded'],
    names: 'with posting 999999, which the books do not hold',
  },
  {
    what: 'a decision that somebody else’s step confirmed',
    tamper: `update engine.carried set confirmation = (select min(id) from engine.decision where workflow_id = '${chain.id}' and step = 'confirm') where ${decided(settled)}`,
    kinds: ['decision_unrecorded'],
    names: 'does not confirm it',
  },
  {
    what: 'a proposal that came to something before it was confirmed',
    tamper: `update engine.carried set at = at - interval '1 hour' where ${decided(settled)}`,
    kinds: ['times_contradict'],
    names: 'it was carried out before that',
  },
  {
    what: 'a step that counted, written down as refused',
    tamper: `insert into engine.refused_step (decision, refusal) select id, 'no_proposal' from engine.decision where workflow_id = '${settled.id}' and step = 'propose'`,
    kinds: ['decision_unrecorded'],
    names: 'is written down as refused, no_proposal, and its history took it',
  },
  {
    what: 'a step after the case was closed',
    tamper: `insert into engine.decision (callback, workflow_id, step, decision, reason, operator, uid)
      select callback, workflow_id, 'propose', 'reverse', 'because', 'eve', gen_random_uuid() from engine.review_case where workflow_id = '${settled.id}'`,
    kinds: ['times_contradict'],
    names: 'a step was taken',
  },
  {
    what: 'facts of which one person stated others',
    tamper: `update engine.stated_facts set amount = 6000 where decision = (select max(id) from engine.decision where workflow_id = '${stated.id}' and step = 'confirm')`,
    kinds: ['credit_without_evidence', 'decision_differs'],
    names: 'carried out, and the two state other facts',
  },
  {
    what: 'facts that one person did not state',
    tamper: `delete from engine.stated_facts where decision in ${steps(stated, 'confirm')}`,
    kinds: ['credit_without_evidence', 'decision_differs'],
    names: 'no two people stated these facts',
  },
  {
    what: 'facts that both state otherwise than they were posted',
    tamper: `update engine.stated_facts set amount = 6000 where decision in (select id from engine.decision where workflow_id = '${stated.id}')`,
    kinds: ['credit_without_evidence'],
    names: 'no callback with the code',
  },
  {
    what: 'facts stated twice by one person',
    tamper: `update engine.decision set operator = 'alice' where workflow_id = '${stated.id}' and step = 'confirm'`,
    kinds: ['decided_by_one', 'credit_without_evidence'],
    names: 'alice stated it twice',
  },
  {
    what: 'facts stated about a callback that can be read',
    tamper: `insert into engine.stated_facts (decision, transaction_code, amount, currency_code, payment_price)
      select id, 'ATOTHER', 1, 'CNY', 1 from engine.decision where workflow_id = '${settled.id}' and step = 'propose'`,
    kinds: ['credit_without_evidence', 'decision_differs'],
    names: 'and the callback can be read',
  },
  {
    what: 'a doubt about what was not the newest posting any more',
    tamper: `update engine.review_case set doubted = ${postingOf(chain, 0)}, opened_at = opened_at + interval '1 hour' where workflow_id like '%:reversal:2' and callback = (select callback from engine.review_case where workflow_id = '${chain.id}')`,
    kinds: ['decision_unrecorded'],
    names: 'had followed before',
  },
  {
    what: 'money in suspense that no open case is about',
    tamper: `update engine.review_case set closed_at = clock_timestamp(), decision = 'reject', decided_by = 'alice+bob' where workflow_id = '${open.id}'`,
    kinds: ['money_unexplained'],
    names: 'wait in suspense, and no case about them is open',
  },
  {
    what: 'a case that another workflow is said to have held',
    tamper: `update engine.review_case set held_by = '${settled.id}:again:1', closed_at = closed_at - interval '1 hour' where workflow_id = '${settled.id}'`,
    kinds: ['history_missing'],
    names: `${settled.id}:again:1`,
  },
  {
    what: 'a history that was told by the row that its payment came late',
    tamper: (db) =>
      rewriteHistory(db, `deposit:${settled.deposit}`, (text) => changePayload(text, '"late":false', '"late":true')),
    kinds: ['deposit_row_differs'],
    names: 'late is false, its history was told true',
  },
  {
    what: 'a history whose case was told that nothing stood in the way',
    tamper: (db) =>
      rewriteHistory(db, refused.id, (text) =>
        changePayload(text, '"refusal":"credited_meanwhile"', '"refusal":"not_possible"'),
      ),
    kinds: ['decision_unrecorded'],
    names: 'is written down as',
  },
  {
    what: 'a history in which a payment was put beside another one',
    tamper: (db) => rewriteHistory(db, beside.id, (text) => changePayload(text, /"beside":"\d+"/, '"beside":"999"')),
    kinds: ['decision_unrecorded'],
    names: 'beside is written down as',
  },
  {
    what: 'a history that was told of a step which nobody wrote down, and took it',
    tamper: `delete from engine.decision where workflow_id = '${settled.id}' and step = 'confirm'`,
    kinds: ['decision_unrecorded'],
    names: 'confirm, is not written down',
  },
];

test.each(FORGERIES)('$what is found, named and located', async ({ tamper, kinds, names }) => {
  const findings = found(await book.audit(await book.tampered(tamper), ...ALONE));
  expect(
    findings.map(({ kind }) => kind),
    JSON.stringify(findings),
  ).toEqual(expect.arrayContaining([...kinds]));
  expect(JSON.stringify(findings)).toContain(names);
});

test('two payments from before are explained by an exception that names just these, and the report says so', async () => {
  const url = await book.tampered(`insert into ledger.double_at_migration values ('${beside.deposit}', '{1,2}')`);
  const reason = '2026-02-03: two payments of one customer, both in the statement of the provider';
  const explains = async (postings: readonly string[]) => {
    const doubles = [{ deposit: beside.deposit, postings, reason }];
    return book.auditWith({ exceptions: { ...NO_EXCEPTIONS, doubles } }, url);
  };
  expect(found(await explains(['1', '3'])).map(({ kind }) => kind)).toEqual(['double_at_migration']);
  const report = await explains(['1', '2']);
  expect(found(report)).toEqual([]);
  expect(report.notes).toContainEqual(expect.stringContaining(reason));
});

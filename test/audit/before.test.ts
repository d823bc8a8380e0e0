import type pg from 'pg';
import { expect, test } from 'vitest';
import { NO_EXCEPTIONS } from '../../audit/exceptions.ts';
import { ALONE, changePayload, findingsOf, keepBook, rewriteHistory } from './book.ts';

/** A book from before payments had slots: other keys of postings, and no record of carried-out decisions. */
const book = await keepBook();
const { twice, decided } = book.deposits;

const TABLES = `
  update ledger.transaction t
     set beside = null,
         key = case when t.kind = 'release' and t.workflow_id = 'deposit:' || t.deposit then 'deposit:' || t.deposit || ':credit'
                    when t.kind = 'release' then 'review:' || v.callback || ':release' else 'review:' || v.callback || ':reverse' end
    from engine.review_case v where v.workflow_id = t.workflow_id and t.key like 'after:%';
  delete from ledger.slot;
  with stands as (
    select t.deposit, t.id, t.key from ledger.transaction t
     where t.amount > 0 and t.credit_code like 'wallet:%' and not exists (select from ledger.transaction s where s.origin = t.id)),
  doubles as (
    insert into ledger.double_at_migration
    select deposit, array_agg(id order by id) from stands group by deposit having count(*) > 1)
  insert into ledger.slot select distinct on (deposit) deposit, key from stands order by deposit, id desc;
  update engine.review_case v set proposal = r.proposal
    from engine.carried r join engine.decision p on p.id = r.proposal where p.workflow_id = v.workflow_id and r.outcome = 'decided';
  delete from engine.carried;
  update engine.decision set uid = null, beside = null;
  delete from engine.event;
  update engine.deposit set events = 0;
  update engine.schema_migration set applied_at = clock_timestamp();
  do $$ declare b ledger.block; before bytea := (select hash from ledger.block where n = 0); begin
    update ledger.block set prev = sha256(convert_to('p' || n, 'UTF8')), hash = sha256(convert_to('h' || n, 'UTF8')) where n > 0;
    for b in select * from ledger.block where n > 0 order by n loop
      update ledger.block set prev = before, hash = ledger.seal(b.n, before, b.at, ledger.content(b.members)) where n = b.n returning hash into before;
    end loop; end $$`;

async function asBefore(db: pg.Client): Promise<void> {
  await db.query(TABLES);
  const { rows } = await db.query<{ id: string }>('select workflow_id as id from engine.archive');
  for (const { id } of rows)
    await rewriteHistory(db, id, (text) =>
      changePayload(changePayload(text, '{"stands":true}', 'null'), /,"beside":"\d+"/, ''),
    );
}

test('none of it is an alarm, but for two payments that stand in a wallet; and those people can explain', async () => {
  const url = await book.tampered(asBefore);
  const found = findingsOf(await book.audit(url, ...ALONE));
  expect(found).toMatchObject([{ kind: 'double_at_migration', where: `deposit:${twice}` }]);
  const [, first, second] = /postings (\d+), (\d+) /.exec(found[0]!.detail)!;
  const reason = '2026-02-03: the customer paid twice, and both stand in the statement';
  const doubles = [{ deposit: twice, postings: [first!, second!], reason }];
  const report = await book.auditWith({ exceptions: { ...NO_EXCEPTIONS, doubles } }, url, ...ALONE);
  expect(findingsOf(report)).toEqual([]);
  expect(report.decisions).toHaveLength(4);
  expect(report.decisions.filter(({ proposedBy }) => proposedBy === 'nobody')).toEqual([]);
});

test('a third payment beside those is no part of what is explained', async () => {
  const url = await book.tampered(async (db) => {
    await asBefore(db);
    await db.query(
      `insert into ledger.transaction (key, kind, deposit, provider, debit_code, credit_code, amount, fee, origin, workflow_id, actor, reason)
       select 'forged', 'release', deposit, provider, debit_code, credit_code, amount, fee, 999999, workflow_id, actor, 'forged'
         from ledger.transaction where deposit = $1 and kind = 'release'`,
      [twice],
    );
  });
  expect(findingsOf(await book.audit(url, ...ALONE))).toContainEqual(
    expect.objectContaining({ kind: 'credited_twice', where: `deposit:${twice}` }),
  );
});

test('a name that only postings of today have needs what its proposal came to', async () => {
  const url = await book.tampered(async (db) => {
    await asBefore(db);
    await db.query(
      `update ledger.transaction set key = 'after:' || origin where workflow_id = $1 and kind = 'release'`,
      [`deposit:${decided}`],
    );
  });
  const found = findingsOf(await book.audit(url, ...ALONE)).map(({ kind }) => kind);
  expect(found).toContain('decision_unrecorded');
});

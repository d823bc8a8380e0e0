import type pg from 'pg';
import type { DepositState } from '../../domain/deposit.ts';
import { type Decision, needsTwo } from '../../domain/decision.ts';
import type { BuyCoinMode, Currency } from '../../domain/order.ts';
import type { ReportBuilder } from '../report/builder.ts';
import { decimalText } from './checks/table-checks.ts';
import { shownTime } from './times.ts';
import { depositWorkflowId } from '../../domain/ids.ts';

/** Totals, decisions and open work, counted from the tables, in pages. */

const PAGE = 2_000;

interface DepositLine {
  readonly number: string;
  readonly currency: Currency;
  readonly mode: BuyCoinMode;
  readonly state: DepositState;
  readonly createdAt: string;
  readonly wallet: string;
  readonly until: string | null;
  readonly asked: string;
  readonly closed: boolean;
}

const IN_SCOPE = `($3::text is null or d.external_order_number = $3)
     and ($4::timestamptz is null or d.closed_at is null or d.closed_at >= $4)`;

const DEPOSITS = `
  select d.external_order_number as number, d.currency_code as currency, d.buy_coin_mode as mode, d.state,
         ${shownTime('d.created_at')} as "createdAt", d.wallet,
         to_char(d.listening_until, 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as until,
         trim_scale(coalesce(d.mtc_amount, d.total_price))::text as asked, d.closed_at is not null as closed
    from engine.deposit d
   where d.external_order_number > $1 and ${IN_SCOPE}
   order by d.external_order_number limit $2`;

/** `since`: limits the totals to what closed since, and to what is open. */
export interface CountedScope {
  readonly deposit: string | null;
  readonly since: string | null;
}

export async function countDeposits(db: pg.ClientBase, builder: ReportBuilder, scope: CountedScope): Promise<void> {
  for (let after = ''; ; ) {
    const { rows } = await db.query<DepositLine>(DEPOSITS, [after, PAGE, scope.deposit, scope.since]);
    for (const row of rows) countDeposit(builder, row);
    if (rows.length < PAGE) return;
    after = rows.at(-1)!.number;
  }
}

function countDeposit(builder: ReportBuilder, row: DepositLine): void {
  const { currency, mode, state, createdAt } = row;
  builder.deposit({ currency, mode, state, createdAt });
  if (row.closed || state === 'IN_REVIEW') return;
  builder.open({
    workflowId: depositWorkflowId(row.number),
    state,
    isCase: false,
    since: createdAt,
    until: row.until,
    wallet: row.wallet,
    asked: { amount: row.asked, unit: mode === 'MtcAmount' ? 'MTC' : currency },
  });
}

interface CaseLine {
  readonly workflowId: string;
  readonly reason: string;
  readonly openedAt: string;
  readonly closedAt: string | null;
  readonly wallet: string | null;
  /** MTC in the callback; null: it cannot be read. */
  readonly amount: string | null;
  /** MTC of the posting; null: none. */
  readonly moved: string | null;
  readonly reviewLimit: string;
  readonly decision: Decision | null;
  readonly beside: string | null;
  readonly postingId: string | null;
  readonly proposedBy: string | null;
  readonly confirmedBy: string | null;
  readonly why: string | null;
}

const CASES = `
  select v.workflow_id as "workflowId", v.reason, ${shownTime('v.opened_at')} as "openedAt",
         to_char(v.closed_at, 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as "closedAt", d.wallet, ${decimalText(`c.data->>'transactionAmount'`)} as amount, p.beside::text as beside,
         (select trim_scale(abs(t.amount))::text from ledger.transaction t where t.id = v.posting) as moved,
         coalesce(${decimalText(`d.settings->>'reviewLimit'`)}, '0') as "reviewLimit", v.decision, v.posting::text as "postingId",
         p.operator as "proposedBy", split_part(v.decided_by, '+', case when v.decided_by like '%+%' then 2 else 1 end) as "confirmedBy", p.reason as why
    from engine.review_case v join engine.callback c on c.id = v.callback
    left join engine.deposit d on d.external_order_number = c.deposit
    left join lateral (select r.proposal from engine.carried r join engine.decision q on q.id = r.proposal
                        where q.workflow_id = v.workflow_id and r.outcome = 'decided' limit 1) k on true
    left join engine.decision p on p.id = coalesce(v.proposal, k.proposal)
   where v.workflow_id > $1 and ($3::text is null or c.external_order_number = $3) and ($4::timestamptz is null or v.closed_at is null or v.closed_at >= $4)
   order by v.workflow_id limit $2`;

export async function countCases(db: pg.ClientBase, builder: ReportBuilder, scope: CountedScope): Promise<void> {
  for (let after = ''; ; ) {
    const { rows } = await db.query<CaseLine>(CASES, [after, PAGE, scope.deposit, scope.since]);
    for (const row of rows) countCase(builder, row);
    if (rows.length < PAGE) return;
    after = rows.at(-1)!.workflowId;
  }
}

function countCase(builder: ReportBuilder, row: CaseLine): void {
  builder.count('cases');
  if (row.closedAt === null || row.decision === null) {
    builder.open({
      workflowId: row.workflowId,
      state: row.reason,
      isCase: true,
      since: row.openedAt,
      until: null,
      wallet: row.wallet,
      asked: row.amount === null ? null : { amount: row.amount, unit: 'MTC' },
    });
    return;
  }
  builder.checked('evidence');
  builder.decision({
    workflowId: row.workflowId,
    decision: row.decision,
    amount: row.amount ?? row.moved,
    wallet: row.wallet,
    proposedBy: row.proposedBy ?? 'nobody',
    confirmedBy: row.confirmedBy ?? 'nobody',
    needsTwo: needsTwo(row, row),
    reason: row.why ?? '',
    decidedAt: row.closedAt,
    posting: row.postingId,
  });
}

/** Counts that do not depend on `since`. */
export async function countTables(db: pg.ClientBase, builder: ReportBuilder): Promise<void> {
  const { rows } = await db.query<{ postings: number; wallets: number }>(
    `select (select count(*)::int from ledger.transaction) as postings,
            (select count(*)::int from ledger.account where code like 'wallet:%') as wallets`,
  );
  builder.count('postings', rows[0]!.postings);
  builder.count('wallets', rows[0]!.wallets);
  builder.checked('ledger', rows[0]!.postings);
}

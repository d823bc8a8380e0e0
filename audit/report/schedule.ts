import type pg from 'pg';
import { formatUnits } from '../../domain/money.ts';
import type { BuyCoinMode, Currency } from '../../domain/order.ts';
import type { ReportBuilder } from './builder.ts';
import { rowsOf } from '../tables/cursor.ts';
import { SampleDraw, type DrawOrder } from './sample-draw.ts';
import type { FindingKind } from './findings.ts';
import {
  type AccountMovement,
  type Basis,
  type Books,
  LISTED,
  type ScheduleLine,
  type ScheduleSums,
} from './report.ts';
import { accountMovements, differences, eachWallet, limitsOf, type Period, SEALED } from './roll-forward.ts';
import type { Cell } from './chained-lines.ts';
import { unitsOf } from './sums.ts';
import { shownTime } from '../tables/times.ts';
import { depositWorkflowId } from '../../domain/ids.ts';

/**
 * Every posting as a line, in the order of the ledger's chain: wallet, amount, time, evidence and findings. Read by the
 * audit's own SQL on tables alone, as a stream.
 */

const time = (column: string) => `to_char(${column}, 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')`;
const decimal = (column: string) => `trim_scale(${column})::text`;

/** The ledger's texts use the collation "C", the engine's the database's: an index works only for its own collation. */
const CODE = `(r.provider_code::text collate "default")`;

/**
 * A posting that follows another belongs to the payment that began its chain. Its callback is the one that its deposit
 * or its case names; otherwise the first with its code. `alike`: the number of callbacks with that code.
 */
const LINES = `
  select t.id::text as posting, t.kind, ${time('coalesce(b.at, t.posted_at)')} as at, ${time('t.posted_at')} as "postedAt",
         coalesce(b.at, t.posted_at) >= $1 and coalesce(b.at, t.posted_at) < $2 as "inPeriod",
         t.deposit, t.debit_code as debit, t.credit_code as credit, ${decimal('t.amount')} as amount, ${decimal('t.fee')} as fee,
         ${decimal('t.rest')} as rest, t.fiat as currency, ${decimal('t.fiat_amount')} as paid, ${decimal('t.unit_price')} as price,
         r.provider_code as code, t.origin::text as origin, t.workflow_id as workflow, t.actor as "decidedBy",
         k.proposal::text as proposal, k.confirmation::text as confirmation, c.id::text as callback,
         encode(c.content_hash, 'hex') as "contentHash", coalesce(c.seal is null, false) as "isUnsealed",
         (select count(*)::int from engine.callback o where o.transaction_code = ${CODE}) as alike,
         a.n::text as "archiveRow", encode(a.history_hash, 'hex') as "historyHash", b.n::text as block, encode(b.hash, 'hex') as "blockHash",
         d.currency_code as "orderCurrency", d.buy_coin_mode as mode, case when d.created_at is not null then ${shownTime('d.created_at')} end as "createdAt",
         d.external_order_number is not null and ($4::timestamptz is null or d.closed_at is null or d.closed_at >= $4) as "inScope",
         not exists (select from ledger.transaction n where n.origin = t.id) as stands
    from ledger.transaction t
    left join ${SEALED} s on s.id = t.id
    left join ledger.block b on b.n = s.n
    left join ledger.lineage l on l.transaction_id = t.id
    left join ledger.transaction r on r.id = coalesce(l.root, t.id)
    left join engine.deposit p on r.kind = 'credit' and p.external_order_number = r.deposit
    left join engine.review_case v on v.workflow_id = r.workflow_id
    left join engine.review_case h on h.workflow_id = t.workflow_id
    left join lateral (
      select c.* from engine.callback c where c.transaction_code = ${CODE} or c.id = coalesce(v.callback, p.bound_callback)
       order by (c.id = coalesce(v.callback, p.bound_callback)) is true desc, c.id limit 1) c on true
    left join lateral (select q.proposal, q.confirmation from engine.carried q where q.posting = t.id order by q.proposal limit 1) k on true
    left join lateral (
      select a.n, a.history_hash from engine.archive a
       where a.workflow_id = coalesce(h.held_by, t.workflow_id) collate "default" order by a.n desc limit 1) a on true
    left join engine.deposit d on d.external_order_number = t.deposit
   where $3::text is null or t.deposit = $3
   order by b.n nulls last, t.id`;

interface LineRow extends Omit<ScheduleLine, 'line' | 'wallet' | 'currency' | 'evidence' | 'findings'> {
  readonly postedAt: string;
  readonly inPeriod: boolean;
  readonly debit: string;
  readonly credit: string;
  readonly rest: string | null;
  readonly currency: Currency | null;
  readonly price: string | null;
  readonly origin: string | null;
  readonly workflow: string;
  readonly proposal: string | null;
  readonly confirmation: string | null;
  readonly contentHash: string | null;
  readonly isUnsealed: boolean;
  readonly alike: number;
  readonly historyHash: string | null;
  readonly blockHash: string | null;
  readonly orderCurrency: Currency | null;
  readonly mode: BuyCoinMode | null;
  readonly createdAt: string | null;
  readonly inScope: boolean;
  readonly stands: boolean;
}

/** The places that a finding about this line may name. */
const placesOf = (row: LineRow): string[] => [
  `posting ${row.posting}`,
  row.workflow,
  ...(row.deposit === null ? [] : [depositWorkflowId(row.deposit)]),
  ...(row.callback === null ? [] : [`callback ${row.callback}`]),
  ...(row.code === null ? [] : [`transaction ${row.code}`]),
  ...(row.proposal === null ? [] : [`decision ${row.proposal}`]),
  ...(row.confirmation === null ? [] : [`decision ${row.confirmation}`]),
  ...(row.archiveRow === null ? [] : [`archive row ${row.archiveRow}`]),
  ...(row.block === null ? [] : [`block ${row.block}`]),
];

function basisOf(row: LineRow, findings: readonly FindingKind[]): Basis {
  if (findings.length > 0) return 'finding';
  if (row.archiveRow === null) return 'on_its_way';
  if (row.isUnsealed) return 'unsealed';
  if (row.decidedBy === null) return 'callback';
  return row.decidedBy.includes('+') ? 'two_people' : 'one_person';
}

const EVIDENCE: Readonly<Record<Basis, string>> = {
  callback: 'authentic',
  two_people: 'two people',
  one_person: 'one person',
  unsealed: 'unsealed',
  on_its_way: 'on its way',
  finding: 'finding',
};
export const evidenceWord = (basis: Basis): string => EVIDENCE[basis] ?? basis;

type Effect = Readonly<Record<'wallets' | 'suspense' | 'fees' | 'clearing', bigint>>;
const EFFECTS = ['wallets', 'suspense', 'fees', 'clearing'] as const;

/** The increase of each kind of account, from the facts of the posting, independent of its entries. */
function effectOf({ debit, credit, amount, fee, rest }: LineRow): Effect {
  const grown = { wallets: 0n, suspense: 0n, fees: 0n, clearing: 0n };
  const book = (account: string, debited: bigint) => {
    if (account.startsWith('clearing:')) grown.clearing += debited;
    else if (account.startsWith('wallet:')) grown.wallets -= debited;
    else if (account.startsWith('suspense:')) grown.suspense -= debited;
    else grown.fees -= debited;
  };
  const [moved, kept, left] = [unitsOf(amount), unitsOf(fee), unitsOf(rest ?? '0')];
  book(debit, moved);
  book(credit, kept + left - moved);
  grown.fees += kept;
  grown.suspense += left;
  return grown;
}

const walletOf = ({ credit, debit }: LineRow): string | null =>
  [credit, debit].find((code) => code.startsWith('wallet:'))?.slice('wallet:'.length) ?? null;

interface Shown {
  readonly row: LineRow;
  readonly line: ScheduleLine;
  readonly effect: Effect;
}
interface Column {
  readonly name: string;
  readonly isNumber: boolean;
  readonly of: (shown: Shown) => string | null;
}
const text = (name: string, of: Column['of']): Column => ({ name, isNumber: false, of });
const number = (name: string, of: Column['of']): Column => ({ name, isNumber: true, of });

const COLUMNS: readonly Column[] = [
  text('at', ({ row }) => row.at),
  text('posted_at', ({ row }) => row.postedAt),
  number('posting', ({ row }) => row.posting),
  text('kind', ({ row }) => row.kind),
  text('deposit', ({ row }) => row.deposit),
  text('wallet', ({ line }) => line.wallet),
  number('amount', ({ row }) => row.amount),
  number('fee', ({ row }) => row.fee),
  ...EFFECTS.map((account) => number(`to_${account}`, ({ effect }) => formatUnits(effect[account]))),
  text('currency', ({ row }) => row.currency),
  number('paid', ({ row }) => row.paid),
  number('unit_price', ({ row }) => row.price),
  text('transaction_code', ({ row }) => row.code),
  number('follows_posting', ({ row }) => row.origin),
  text('evidence', ({ line }) => evidenceWord(line.evidence)),
  text('findings', ({ line }) => line.findings.join(' ')),
  number('callback', ({ row }) => row.callback),
  text('callback_content_hash', ({ row }) => row.contentHash),
  number('callbacks_with_code', ({ row }) => String(row.alike)),
  text('workflow', ({ row }) => row.workflow),
  number('archive_row', ({ row }) => row.archiveRow),
  text('history_hash', ({ row }) => row.historyHash),
  text('decided_by', ({ row }) => row.decidedBy),
  number('proposal', ({ row }) => row.proposal),
  number('confirmation', ({ row }) => row.confirmation),
  number('block', ({ row }) => row.block),
  text('block_hash', ({ row }) => row.blockHash),
];
export const SCHEDULE_COLUMNS: readonly string[] = COLUMNS.map(({ name }) => name);

const cellsOf = (shown: Shown): Cell[] =>
  COLUMNS.map(({ name, isNumber, of }) => ({ name, isNumber, text: of(shown) }));

const NO_EFFECT: Effect = { wallets: 0n, suspense: 0n, fees: 0n, clearing: 0n };

/** The files that the lines are written to, besides the report. */
export interface BookFiles {
  line(cells: readonly Cell[]): void;
  wallet(cells: readonly Cell[]): void;
}

export interface BooksScope extends Period {
  readonly deposit: string | null;
  /** Limits the totals to deposits that closed since, and open ones. */
  readonly since: string | null;
  readonly draw: DrawOrder | null;
}

/**
 * Counts the credits, and describes the books of the period. Call it after all findings were added. Null with
 * `deposit`: a single deposit has no trial balance.
 */
export async function describeBooks(
  db: pg.ClientBase,
  builder: ReportBuilder,
  scope: BooksScope,
  files: BookFiles | null,
): Promise<Books | null> {
  const findingsAt = builder.findingsAt();
  const isWhole = scope.deposit === null;
  const drawing = isWhole && scope.draw !== null ? new SampleDraw(scope.draw, await populationOf(db, scope)) : null;
  const lines: ScheduleLine[] = [];
  const sums = { ...NO_EFFECT };
  const flagged = { lines: 0, wallets: 0n };
  let count = 0;
  const values = [...limitsOf(scope), scope.deposit, scope.since];
  for await (const rows of rowsOf<LineRow>(db, 'schedule', LINES, values)) {
    for (const row of rows) {
      const findings = findingsAt(placesOf(row));
      const evidence = basisOf(row, findings);
      countCredit(builder, row, evidence);
      if (!row.inPeriod || !isWhole) continue;
      count += 1;
      const effect = effectOf(row);
      for (const account of EFFECTS) sums[account] += effect[account];
      if (findings.length > 0) {
        flagged.lines += 1;
        flagged.wallets += effect.wallets;
      }
      const line = lineOf(row, count, evidence, findings);
      files?.line(cellsOf({ row, line, effect }));
      if (lines.length < LISTED) lines.push(line);
      if (effect.wallets > 0n) drawing?.offer(line, formatUnits(effect.wallets));
    }
  }
  if (!isWhole) return null;
  if (files !== null) await eachWallet(db, scope, (cells) => files.wallet(cells));
  const accounts = await accountMovements(db, scope);
  const schedule = scheduleSums(count, sums, flagged, accounts);
  if (!schedule.agrees) {
    const detail = `its lines add up to ${schedule.wallets} MTC into wallets and ${schedule.clearing} into clearing, and the accounts moved by other sums`;
    builder.find({ kind: 'entries_differ', where: 'the schedule', detail });
  }
  return {
    accounts,
    differences: differences(accounts),
    schedule,
    lines,
    drawn: drawing?.drawn() ?? null,
  };
}

const lineOf = (row: LineRow, line: number, evidence: Basis, findings: readonly FindingKind[]): ScheduleLine => ({
  line,
  posting: row.posting,
  kind: row.kind,
  at: row.at,
  deposit: row.deposit,
  wallet: walletOf(row),
  amount: row.amount,
  fee: row.fee,
  currency: row.currency,
  paid: row.paid,
  code: row.code,
  evidence,
  findings,
  callback: row.callback,
  archiveRow: row.archiveRow,
  block: row.block,
  decidedBy: row.decidedBy,
});

/** Counts money in wallets; a posting that was followed by another left none there. */
function countCredit(builder: ReportBuilder, row: LineRow, basis: Basis): void {
  const { mode, createdAt, amount, fee, paid } = row;
  const currency = row.currency ?? row.orderCurrency;
  const isCredit = row.stands && row.credit.startsWith('wallet:') && !amount.startsWith('-');
  if (!isCredit || !row.inScope || mode === null || createdAt === null || currency === null) return;
  builder.credit({
    currency,
    mode,
    createdAt,
    amount: formatUnits(unitsOf(amount) - unitsOf(fee) - unitsOf(row.rest ?? '0')),
    fiat: paid ?? '0',
    basis,
  });
  builder.checked('evidence');
}

function scheduleSums(
  lines: number,
  sums: Effect,
  flagged: { readonly lines: number; readonly wallets: bigint },
  accounts: readonly AccountMovement[],
): ScheduleSums {
  const moved = (isOne: (account: string) => boolean) =>
    accounts.reduce((sum, { account, came, went }) => sum + (isOne(account) ? unitsOf(came) - unitsOf(went) : 0n), 0n);
  const agrees =
    sums.wallets === moved((account) => account === 'wallets') &&
    sums.fees === moved((account) => account === 'fees') &&
    sums.suspense === moved((account) => account.startsWith('suspense:')) &&
    sums.clearing === moved((account) => account.startsWith('clearing:'));
  return {
    lines,
    wallets: formatUnits(sums.wallets),
    suspense: formatUnits(sums.suspense),
    fees: formatUnits(sums.fees),
    clearing: formatUnits(sums.clearing),
    agrees,
    flagged: { lines: flagged.lines, wallets: formatUnits(flagged.wallets) },
  };
}

/** The population of the sample: the lines of the period that put money into a wallet. */
async function populationOf(db: pg.ClientBase, period: Period): Promise<{ lines: number; amount: bigint }> {
  const { rows } = await db.query<{ lines: number; amount: string }>(
    `select count(*)::int as lines, coalesce(sum(x.grown), 0)::text as amount
       from (select case when t.credit_code like 'wallet:%' then t.amount - t.fee - coalesce(t.rest, 0) else -t.amount end as grown
               from ledger.transaction t left join ${SEALED} s on s.id = t.id left join ledger.block b on b.n = s.n
              where (t.credit_code like 'wallet:%' or t.debit_code like 'wallet:%')
                and coalesce(b.at, t.posted_at) >= $1 and coalesce(b.at, t.posted_at) < $2) x
      where x.grown > 0`,
    limitsOf(period),
  );
  return { lines: rows[0]!.lines, amount: unitsOf(rows[0]!.amount) };
}

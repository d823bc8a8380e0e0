import { createHash } from 'node:crypto';
import type { PayloadCodec } from '@temporalio/common';
import type { History } from '@temporalio/common/lib/proto-utils.js';
import { canonicalHistory, parseHistory } from './canonical-history.ts';
import { archivedRuns } from './chain.ts';
import { type HistoryFacts, type HistoryStep, openHistory, readHistory } from './history.ts';
import type { ArchiveObjects } from './objects.ts';
import { POSTING_LINE } from './posting-line.ts';
import type { Db } from '../database/pool.ts';
import { depositWorkflowId } from '../domain/ids.ts';

/** One event of a deposit: its time, its record, a text, and the hash of that record. */
export interface EvidenceLine {
  /** RFC 3339, UTC. */
  readonly at: string;
  /** `callback 5, attempt 2`, `posting 12`, `history deposit:A-1, event 7`, … */
  readonly source: string;
  readonly text: string;
  /** sha256 in hexadecimal of the text that docs/guides/audit.md defines. */
  readonly hash: string;
}

export interface EvidenceDependencies {
  readonly db: Db;
  readonly objects: ArchiveObjects;
  readonly codecs: readonly PayloadCodec[];
  /** The history of a workflow that is not archived yet; null: Temporal has none. */
  readonly fetchOpen: (workflowId: string) => Promise<History | null>;
}

/**
 * Everything that is stored about a deposit, in order of time; null: there is no such deposit. A missing or unreadable
 * history becomes a line that reports the gap. Throws when an archived text is missing or damaged, or when Temporal
 * cannot be reached.
 */
export async function collectEvidence(
  deps: EvidenceDependencies,
  externalOrderNumber: string,
): Promise<readonly EvidenceLine[] | null> {
  const { rows } = await deps.db.query<{ found: number }>(
    'select 1 as found from engine.deposit where external_order_number = $1',
    [externalOrderNumber],
  );
  if (rows[0] === undefined) return null;
  const lines: EvidenceLine[] = [];
  for (const record of RECORDS) lines.push(...(await readRecords(deps, record, externalOrderNumber)));
  for (const id of await workflowsOf(deps, externalOrderNumber)) lines.push(...(await historyLines(deps, id)));
  return lines.toSorted(byTime);
}

const byTime = (a: EvidenceLine, b: EvidenceLine): number =>
  a.at < b.at ? -1 : a.at > b.at ? 1 : a.source < b.source ? -1 : 1;

const at = (column: string) => `to_char(${column}, 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`;

/** The ids of a deposit's workflows, as an array: each is looked up by index, without a scan of a whole table. */
const WORKFLOWS_OF = `array(
  select 'deposit:' || $1 union all
  select v.workflow_id from engine.review_case v join engine.callback c on c.id = v.callback where c.external_order_number = $1)`;

/** Queries that return `at`, `source`, `text`, and `record`, the text whose sha256 is the hash, or `hash` itself. */
const RECORDS: readonly string[] = [
  `select ${at('d.created_at')} as at, 'deposit ' || d.external_order_number as source,
          'asked for ' || coalesce(trim_scale(d.mtc_amount) || ' MTC', trim_scale(d.total_price) || ' ' || d.currency_code) || ' for ' || d.wallet || ', to be paid in ' || d.currency_code as text,
          concat_ws('|', d.external_order_number, d.wallet, d.buy_coin_mode, coalesce(trim_scale(d.mtc_amount)::text, ''), coalesce(trim_scale(d.total_price)::text, ''), d.currency_code, d.settings) as record
     from engine.deposit d where d.external_order_number = $1`,
  `select ${at('p.started_at')} as at, 'placement attempt ' || p.n as source,
          'order sent to the provider: ' || coalesce(p.outcome, 'no answer yet') || coalesce(' ' || (p.answer->>'statusCode'), '') || coalesce(', offer ' || (p.answer->>'advertisementCode'), '') as text,
          concat_ws('|', p.external_order_number, p.n, ${at('p.started_at')}, coalesce(p.outcome, '')) as record
     from engine.placement_attempt p where p.external_order_number = $1`,
  `select ${at('c.received_at')} as at, 'callback ' || c.id as source,
          'provider says transaction ' || coalesce(c.transaction_code, 'that cannot be read') || coalesce(': ' || (c.data->>'transactionAmount') || ' MTC for ' || (c.data->>'paymentPrice') || ' ' || (c.data->>'currencyCode'), '') || '; taken as ' || c.receipt || coalesce(', ' || c.review_reason, '') || ', came to ' || coalesce(c.outcome, 'nothing yet') as text,
          null as record, encode(c.content_hash, 'hex') as hash
     from engine.callback c where c.external_order_number = $1`,
  `select ${at('a.at')} as at, 'callback ' || a.callback || ', attempt ' || a.n as source,
          'signed with key ' || a.key_id || ' at ' || ${at(`to_timestamp(a.timestamp_ms / 1000.0)`)} || case when a.n = 1 then '' else ': the same content again' end as text,
          concat_ws('|', a.callback, a.n, a.key_id, a.timestamp_ms, encode(c.content_hash, 'hex')) as record
     from engine.callback_attempt a join engine.callback c on c.id = a.callback where c.external_order_number = $1`,
  `select ${at('t.posted_at')} as at, 'posting ' || t.id as source,
          t.kind || ' of ' || trim_scale(t.amount) || ' MTC from ' || t.debit_code || ' to ' || t.credit_code || coalesce(', decided by ' || t.actor || ': ' || t.reason, '') as text,
          ${POSTING_LINE} as record
     from ledger.transaction t
    where t.id = any (array(
      select p.id from ledger.transaction p where p.deposit = $1 and p.kind = 'credit' union
      select p.id from ledger.transaction p where p.deposit = $1 and p.kind = 'suspense' union
      select p.id from ledger.transaction p where p.deposit = $1 and p.kind in ('release', 'reversal') union
      select w.id from ledger.transaction w where w.workflow_id = any (${WORKFLOWS_OF})))`,
  `select ${at('s.at')} as at, 'decision ' || s.id as source,
          s.operator || case s.step when 'propose' then ' proposed ' || s.decision when 'confirm' then ' confirmed proposal ' || s.proposal else ' withdrew proposal ' || s.proposal end || coalesce(': ' || s.reason, '') ||
          case when n.decision is not null then '; it did not count, the case refused it: ' || n.refusal
               when s.step <> 'confirm' then ''
               when r.confirmation is null then '; what came of it is not written down'
               when r.outcome = 'refused' then '; it did not count, the books refused it: ' || coalesce(r.answer->>'refusal', 'for no reason')
               else '; it counted, and came to ' || r.outcome || coalesce(' with posting ' || r.posting, '') end as text,
          concat_ws('|', s.id, s.workflow_id, s.step, coalesce(s.decision, ''), coalesce(s.proposal::text, ''), s.operator, coalesce(s.reason, '')) as record
     from engine.decision s join engine.callback c on c.id = s.callback
     left join engine.refused_step n on n.decision = s.id
     left join engine.carried r on r.proposal = s.proposal and r.confirmation = s.id
    where c.external_order_number = $1`,
  `select ${at('e.at')} as at, 'event ' || b.name as source, 'told as ' || e.type || coalesce(', posting ' || e.posting, ', case ' || e.case_id, '') as text,
          b.body::text as record
     from engine.event e join engine.event_body b on b.id = e.id and b.subject = e.subject
    where e.subject = any (array(select $1 union all select 'callback:' || c.id from engine.callback c where c.external_order_number = $1))`,
  `select ${at('a.archived_at')} as at, 'archive row ' || a.n as source, 'history of ' || a.workflow_id || ' archived, ' || a.events || ' events' as text,
          null as record, encode(a.hash, 'hex') as hash
     from engine.archive a where a.workflow_id = any (${WORKFLOWS_OF})`,
];

async function readRecords({ db }: EvidenceDependencies, sql: string, n: string): Promise<EvidenceLine[]> {
  const { rows } = await db.query<{ at: string; source: string; text: string; record: string | null; hash?: string }>(
    sql,
    [n],
  );
  return rows.map(({ at, source, text, record, hash }) => ({ at, source, text, hash: hash ?? sha256(record ?? '') }));
}

const sha256 = (text: string): string => createHash('sha256').update(text, 'utf8').digest('hex');

async function workflowsOf({ db }: EvidenceDependencies, n: string): Promise<string[]> {
  const { rows } = await db.query<{ id: string }>(
    `select v.workflow_id as id from engine.review_case v join engine.callback c on c.id = v.callback where c.external_order_number = $1`,
    [n],
  );
  return [...new Set([depositWorkflowId(n), ...rows.map(({ id }) => id)])];
}

async function historyLines(deps: EvidenceDependencies, workflowId: string): Promise<EvidenceLine[]> {
  const archived = await archivedRuns(deps.db, workflowId);
  const histories: History[] = [];
  for (const row of archived) histories.push(parseHistory(await deps.objects.get(row.historyHash)));
  if (histories.length === 0) {
    const open = await deps.fetchOpen(workflowId);
    if (open === null)
      return [await gapLine(deps, workflowId, 'there is no history of it, in the archive or in Temporal')];
    histories.push(open);
  }
  const lines = await Promise.all(
    histories.map(async (history) => {
      try {
        const facts = readHistory(await openHistory(history, deps.codecs));
        return linesOf(facts, canonicalHistory(history).hash.toString('hex'));
      } catch {
        // The key is missing, or another client started the workflow.
        return [await gapLine(deps, workflowId, 'there is a history of it that cannot be read')];
      }
    }),
  );
  return lines.flat();
}

/** Reports a gap as a line: the history is gone, was never begun, or cannot be read. */
async function gapLine({ db }: EvidenceDependencies, workflowId: string, text: string): Promise<EvidenceLine> {
  const { rows } = await db.query<{ at: string }>(`select ${at('clock_timestamp()')} as at`);
  return { at: rows[0]!.at, source: `history ${workflowId}`, text, hash: sha256(text) };
}

/** The hash of each line is that of the whole history: an event alone proves nothing. */
function linesOf(facts: HistoryFacts, hash: string): EvidenceLine[] {
  const line = (time: string, place: string, text: string): EvidenceLine => ({
    at: time,
    source: `history ${facts.workflowId}, ${place}`,
    text,
    hash,
  });
  const began = line(facts.startedAt, 'event 1', `the workflow ${facts.workflowType} began`);
  const steps = facts.steps.map((step) => line(step.at, `event ${step.eventId}`, sayStep(step)));
  const end = facts.end === null ? [] : [line(facts.end.at, 'its end', sayEnd(facts.end))];
  return [began, ...steps, ...end];
}

const KNOWN: Readonly<Record<string, string>> = {
  callbackAccepted: 'was told of the payment',
  orderAnswered: 'was told that the provider answered after all',
  propose: 'accepted a proposal',
  confirm: 'accepted a confirmation',
  withdraw: 'accepted a withdrawal',
  placeOrder: 'placed the order',
  settlePlacement: 'found out what became of the placement',
  close: 'looked for a payment before it closed',
  credit: 'credited',
  recordState: 'wrote the state down',
  recordReview: 'gave it to people',
  park: 'put the money into suspense',
  recordProposal: 'showed which proposal waits',
  decide: 'carried the decision out',
};

/** Texts of an operator's step that the workflow or the ledger refused. */
const REFUSED: Readonly<Record<string, string>> = {
  propose: 'refused a proposal',
  confirm: 'refused a confirmation',
  withdraw: 'refused a withdrawal',
};

/** The code of the refusal; null: it was not refused. */
function refusalOf(step: HistoryStep): string | null {
  if (step.kind !== 'update') return null;
  const { kind, refusal } = (step.outcome ?? {}) as { readonly kind?: unknown; readonly refusal?: unknown };
  return step.refusal ?? (kind === 'refused' ? String(refusal) : null);
}

function sayStep(step: HistoryStep): string {
  if (step.kind === 'timer') return step.fired ? 'a window ended' : 'a window was closed before its end';
  const words = KNOWN[step.name] ?? step.name;
  const refusal = refusalOf(step);
  if (refusal !== null) return `${REFUSED[step.name] ?? `refused ${step.name}`}, ${refusal}: ${brief(step.input)}`;
  if (step.kind === 'signal' || step.kind === 'update') return `${words}: ${brief(step.input)}`;
  return step.failed ? `${words}: failed` : `${words}: ${brief(step.result)}`;
}

const sayEnd = (end: NonNullable<HistoryFacts['end']>): string => `ended ${end.status}: ${brief(end.result)}`;

/** The content of a step, without nesting: `kind credited, postingId 12`. */
function brief(value: unknown): string {
  if (value === null || value === undefined) return 'done';
  if (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean') return `${value}`;
  if (typeof value !== 'object') return 'done';
  const parts = Object.entries(value).flatMap(([name, part]) =>
    part === null || typeof part === 'object' ? [] : [`${name} ${String(part)}`],
  );
  return parts.length === 0 ? 'done' : parts.join(', ');
}

import { pino } from 'pino';
import { WorkflowNotFoundError } from '@temporalio/client';
import { expect } from 'vitest';
import { type Alarm, tellCounted } from '../../telemetry/alarms.ts';
import type { Log } from '../../telemetry/log.ts';
import type { Answer, Engine } from '../support/engine.ts';
import { noteWarning } from '../support/warnings.ts';
import { depositWorkflowId } from '../../domain/ids.ts';

/** Status, code and form of a refusal; the details are the caller's to look at. */
export function expectRefusal(answer: Answer, status: number, code: string): void {
  expect({
    status: answer.status,
    told: answer.body?.status,
    code: answer.body?.code,
    type: answer.headers.get('content-type'),
    kept: answer.headers.get('cache-control'),
  }).toEqual({ status, told: status, code, type: 'application/problem+json; charset=utf-8', kept: 'no-store' });
  // Listeners without a page of the codes have no target.
  expect([`/docs#error-${code}`, 'about:blank']).toContain(answer.body.type);
}

/** The count of every kind of row that a request could have written. */
export async function stored(engine: Engine): Promise<Record<string, string>> {
  const { rows } = await engine.db.owner.query<Record<string, string>>(
    `select (select count(*) from engine.deposit) as deposits,
            (select count(*) from engine.placement_attempt) as placements,
            (select count(*) from engine.callback) as callbacks,
            (select coalesce(sum(attempts), 0) from engine.callback) as "callback attempts",
            (select count(*) from engine.callback_stamp) as stamps,
            (select count(reflected_at) from engine.own_stamp) as reflections,
            (select count(*) from ledger.transaction) as postings`,
  );
  return rows[0]!;
}

/** The row as text: the same text means no change. Its events are counted for its cases as well. */
export async function depositRow(engine: Engine, externalOrderNumber: string): Promise<string> {
  const { rows } = await engine.db.owner.query<{ row: string }>(
    `select (to_jsonb(d) - 'events')::text as row from engine.deposit d where external_order_number = $1`,
    [externalOrderNumber],
  );
  return rows[0]?.row ?? 'no such deposit';
}

export interface AttemptRow {
  readonly n: number;
  readonly outcome: string;
  readonly answer: Readonly<Record<string, unknown>>;
}

export async function attempts(engine: Engine, externalOrderNumber: string): Promise<AttemptRow[]> {
  const { rows } = await engine.db.owner.query<AttemptRow>(
    'select n, outcome, answer from engine.placement_attempt where external_order_number = $1 order by n',
    [externalOrderNumber],
  );
  return rows;
}

export interface InboxRow {
  readonly id: string;
  readonly uid: string | null;
  readonly deposit: string | null;
  readonly code: string | null;
  readonly data: Readonly<Record<string, string>> | null;
  readonly raw: string;
  readonly receipt: string;
  readonly reason: string | null;
  readonly attempts: number;
  readonly acked: boolean;
  readonly outcome: string | null;
}

/** The inbox rows of one order, oldest first. */
export async function inbox(engine: Engine, externalOrderNumber: string): Promise<InboxRow[]> {
  const { rows } = await engine.db.owner.query<InboxRow>(
    `select id, uid, deposit, transaction_code as code, data, convert_from(raw, 'UTF8') as raw, receipt,
            review_reason as reason, attempts, acked, outcome
       from engine.callback where external_order_number = $1 order by id`,
    [externalOrderNumber],
  );
  return rows;
}

/** The machine's credits for one deposit: amounts in MTC. */
export async function postings(engine: Engine, externalOrderNumber: string): Promise<string[]> {
  const { rows } = await engine.db.owner.query<{ amount: string }>(
    `select trim_scale(amount)::text as amount from ledger.transaction where deposit = $1 and kind = 'credit' order by id`,
    [externalOrderNumber],
  );
  return rows.map((row) => row.amount);
}

/** The provider's view of one order: how often it was placed, and how many orders resulted. */
export async function seenByProvider(
  engine: Engine,
  externalOrderNumber: string,
): Promise<{ readonly placements: number; readonly orders: number }> {
  const { events } = await engine.control('GET', '/log?limit=10000');
  const logged = (kind: string) =>
    events.filter(
      (event: { kind: string; externalOrderNumber: string | null }) =>
        event.kind === kind && event.externalOrderNumber === externalOrderNumber,
    ).length;
  const orders = await ordersAtProvider(engine, externalOrderNumber);
  expect(orders).toBe(logged('order.made'));
  return { placements: logged('placement.received'), orders };
}

export async function ordersAtProvider(engine: Engine, externalOrderNumber: string): Promise<number> {
  try {
    return (await engine.control('GET', `/orders/${externalOrderNumber}`)).orders.length;
  } catch (error) {
    if ((error as Error).message.includes(': 404 ')) return 0;
    throw error;
  }
}

/** Aims a fault of the sandbox at one order; null: until the end. */
export const fault = (
  engine: Engine,
  scope: string,
  kind: string,
  params: Readonly<Record<string, unknown>> = {},
  remaining: number | null = 1,
) => engine.control('POST', '/faults', { scope, kind, params, remaining });

/** The status name of a workflow, or null when Temporal does not know it. */
export async function workflowStatus(engine: Engine, workflowId: string): Promise<string | null> {
  try {
    return (await engine.client.workflow.getHandle(workflowId).describe()).status.name;
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) return null;
    throw error;
  }
}

/** Every run Temporal has of one deposit, newest first. */
export async function runsOf(engine: Engine, externalOrderNumber: string): Promise<string[]> {
  const runs: string[] = [];
  const query = `WorkflowId = "${depositWorkflowId(externalOrderNumber)}"`;
  for await (const { runId } of engine.client.workflow.list({ query })) runs.push(runId);
  return runs;
}

export interface MemoryLog {
  readonly log: Log;
  readonly lines: string[];
  /** The alarms about one deposit, in order but for the counted ones: each as often as it was raised. */
  readonly alarms: (deposit: string) => Alarm[];
  /** The fields of each of these alarms, in order. */
  readonly fields: (alarm: Alarm) => Readonly<Record<string, unknown>>[];
}

/** A readable log: the output of the processes. */
export function memoryLog(): MemoryLog {
  const lines: string[] = [];
  const write = (line: string) => {
    lines.push(line);
    noteWarning(line);
  };
  const log = pino({ level: 'debug' }, { write });
  return {
    log,
    lines,
    alarms: (deposit) =>
      raised(log, lines).flatMap(({ alarm, times, ...entry }) => {
        const about = entry.count === undefined ? Number(entry.deposit === deposit) : (entry.about?.[deposit] ?? 0);
        return Array.from({ length: Math.min(about, times) }, () => alarm);
      }),
    fields: (alarm) => raised(log, lines).filter((entry) => entry.alarm === alarm),
  };
}

interface Raised {
  readonly alarm: Alarm;
  /** How many alarms the line counts. */
  readonly times: number;
  readonly deposit?: string;
  readonly count?: number;
  readonly about?: Readonly<Record<string, number>>;
  readonly [field: string]: unknown;
}

/** The lines that are alarms, including those counted until now. */
export function raised(log: Log, lines: readonly string[]): Raised[] {
  tellCounted(log);
  return lines
    .map((line) => JSON.parse(line) as Raised)
    .filter(({ alarm }) => alarm !== undefined)
    .map((line) => ({ ...line, times: line.count ?? 1 }));
}

/** How often one kind was raised, for any deposit. */
export const timesRaised = ({ log, lines }: Pick<MemoryLog, 'log' | 'lines'>, alarm: Alarm): number =>
  raised(log, lines).reduce((sum, line) => sum + (line.alarm === alarm ? line.times : 0), 0);

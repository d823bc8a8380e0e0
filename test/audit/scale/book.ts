import { readFile } from 'node:fs/promises';
import { gzipSync } from 'node:zlib';
import pg from 'pg';
import { canonicalHistory, parseHistory, sha256 } from '../../../archive/canonical-history.ts';
import { readHistory } from '../../../archive/history.ts';
import { closedRun } from '../../../archive/closed-run.ts';
import { placementOf } from '../../../audit/histories/comparing.ts';
import { migrate } from '../../../database/schema/migrate.ts';
import { setPasswords } from '../../support/template.ts';
import { createPool } from '../../../database/pool.ts';
import type { CallbackData, DepositSettings, Order } from '../../../domain/order.ts';
import { creditAll } from '../../../ledger/credit.ts';
import { contentHash } from '../../../providers/content-hash.ts';
import { order as buildOrder, paid } from '../../support/builders.ts';
import { seal } from '../../support/seals.ts';

/**
 * A book of closed deposits of the recorded shapes, each with its own ids, amounts and times: rows, callbacks, postings by
 * the ledger's own statement, and an archive whose chain is made by its own function.
 */

const BATCH = 500;
/** The recorded history that each of twenty deposits follows. */
const SHAPES = [
  ...Array.from({ length: 12 }, () => 'credited'),
  'credited-after-cancel',
  'credited-after-unknown',
  'credited-paid-before-answer',
  'credited-settled-placement',
  'credited-after-late-answer',
  'unpaid',
  'unpaid',
  'unpaid-after-unknown',
];

interface Made {
  readonly shape: string;
  readonly order: Order;
  /** Null: not paid. */
  readonly data: CallbackData | null;
  readonly stamp: number;
}

/** `code`, `buildId`: the workflow code to which all decisions are attributed. */
export async function makeBook(url: string, count: number, code: string, buildId: string): Promise<void> {
  const owner = new pg.Client({ connectionString: url });
  owner.on('error', () => undefined);
  await owner.connect();
  await migrate(owner);
  await setPasswords(owner);
  await owner.query(`insert into engine.archive_object (hash, kind, bytes) values ($1, 'bundle', $2)`, [
    sha256(code),
    gzipSync(code),
  ]);
  const worker = createPool({ url, role: 'app_worker', applicationName: 'scale', max: 2 });
  const shapes = new Map<string, string>();
  for (const name of new Set(SHAPES)) {
    shapes.set(name, await readFile(new URL(`../../histories/v2/${name}.json`, import.meta.url), 'utf8'));
  }
  for (let from = 0; from < count; from += BATCH) {
    const made = Array.from({ length: Math.min(BATCH, count - from) }, (_, i) => make(from + i));
    await record(owner, worker, made, shapes, buildId);
  }
  await owner.query('delete from engine.archive_due');
  await owner.query('analyze');
  await worker.end();
  await owner.end();
}

function make(i: number): Made {
  const mtcAmount = String(1 + (i % 9_000));
  const order = buildOrder({ wallet: `w-${i % 5_000}`, mtcAmount });
  const shape = SHAPES[i % SHAPES.length]!;
  const data = paid(order, { transactionAmount: mtcAmount, paymentPrice: String(Number(mtcAmount) * 7) });
  return { shape, order, data: shape.startsWith('unpaid') ? null : data, stamp: 1_700_000_000_000 + i };
}

async function record(
  owner: pg.Client,
  worker: pg.Pool,
  made: readonly Made[],
  shapes: ReadonlyMap<string, string>,
  buildId: string,
): Promise<void> {
  const placedAt = new Date();
  const rows = made.map(({ shape, order }) => {
    const { settings, advertisementCode, outcome } = factsOf(shapes.get(shape)!);
    const expiresAt = new Date(placedAt.getTime() + settings.paymentWindowMs);
    const listeningUntil = new Date(expiresAt.getTime() + settings.listeningWindowMs);
    return { ...order, settings, advertisementCode, outcome, expiresAt: expiresAt.toISOString(), listeningUntil };
  });
  await owner.query('set session_replication_role = replica');
  await owner.query(
    `insert into engine.deposit (external_order_number, wallet, buy_coin_mode, mtc_amount, currency_code, support_language, fingerprint, settings, state, advertisement_code, created_at, placed_at, expires_at, listening_until, events)
     select d->>'externalOrderNumber', d->>'wallet', 'MtcAmount', (d->>'mtcAmount')::numeric, 'CNY', 'en', sha256('x'), d->'settings', 'AWAITING_PAYMENT',
            d->>'advertisementCode', $2, $2, (d->>'expiresAt')::timestamptz, (d->>'listeningUntil')::timestamptz, 1
       from jsonb_array_elements($1::jsonb) d`,
    [JSON.stringify(rows), placedAt],
  );
  await tell(
    owner,
    made.map(({ order }) => order.externalOrderNumber),
    1,
    'deposit.placed',
    ['expires_at', 'listening_until', 'advertisement_code'],
  );
  await owner.query(
    `with sent as (
       insert into engine.placement_attempt (external_order_number, n, started_at, deadline, outcome, answer)
       select d->>'externalOrderNumber', 1, $2, $2, d->>'outcome', jsonb_build_object('kind', d->'outcome') || case d->>'outcome' when 'placed' then jsonb_build_object('advertisementCode', d->'advertisementCode') else '{}' end
         from jsonb_array_elements($1::jsonb) d)
     insert into engine.own_stamp (key_id, timestamp_ms) values ('key', (extract(epoch from $2::timestamptz) * 1000)::bigint) on conflict do nothing`,
    [JSON.stringify(rows), placedAt],
  );
  const credits = await credit(owner, worker, made);
  const unpaid = made.filter(({ data }) => data === null).map(({ order }) => order.externalOrderNumber);
  const becomes = (state: string) =>
    owner.query(
      `update engine.deposit set state = $2, events = events + 1, closed_at = case $2 when 'UNPAID' then clock_timestamp() end
        where external_order_number = any($1)`,
      [unpaid, state],
    );
  await becomes('EXPIRED');
  await tell(owner, unpaid, 2, 'deposit.expired', ['listening_until']);
  await becomes('UNPAID');
  await tell(owner, unpaid, 3, 'deposit.unpaid', ['closed_at']);
  const archived = made.map(({ shape, order, data }, i) => {
    const { externalOrderNumber, wallet } = order;
    const runId = crypto.randomUUID();
    const facts = {
      externalOrderNumber,
      wallet,
      mtcAmount: order.mtcAmount!,
      expiresAt: rows[i]!.expiresAt,
      ...(data === null ? {} : { ...pick(data), ...credits.get(externalOrderNumber)! }),
    };
    const history = parseHistory(historyOf(shapes.get(shape)!, buildId, runId, placedAt, facts));
    return {
      ...closedRun(history)!,
      ...canonicalHistory(history),
      workflowId: `deposit:${externalOrderNumber}`,
      runId,
    };
  });
  await owner.query(
    `insert into engine.archive_object (hash, kind, bytes) select h, 'history', b from unnest($1::bytea[], $2::bytea[]) as t(h, b) on conflict do nothing`,
    [archived.map(({ hash }) => hash), archived.map(({ text }) => gzipSync(text, { level: 1 }))],
  );
  await owner.query(
    `select engine.append_archive(a->>'workflowId', a->>'runId', 'deposit', a->>'status', timestamptz 'epoch' + (a->>'closed')::bigint * interval '1 microsecond', (a->>'events')::int,
            decode(a->>'hash', 'hex'), decode(a->>'bundle', 'hex'), a->>'sdk', 'scale') from jsonb_array_elements($1::jsonb) a`,
    [
      JSON.stringify(
        archived.map(({ workflowId, runId, status, closedAtUs, events, hash, bundleHash, sdk }) => ({
          workflowId,
          runId,
          status,
          events,
          sdk,
          closed: closedAtUs.toString(),
          hash: hash.toString('hex'),
          bundle: bundleHash?.toString('hex'),
        })),
      ),
    ],
  );
}

const pick = ({ transactionCode, transactionAmount, paymentPrice }: CallbackData) => ({
  transactionCode,
  transactionAmount,
  paymentPrice,
});

/** The input of the recorded deposit, and the offer that took its order; null: none is known. */
function factsOf(shape: string): {
  readonly settings: DepositSettings;
  readonly advertisementCode: string | null;
  /** The outcome of its placement. */
  readonly outcome: string | undefined;
} {
  const facts = readHistory(parseHistory(shape));
  const { input, steps } = facts;
  const told = steps.map((step) =>
    step.kind === 'activity' ? step.result : step.kind === 'signal' ? step.input : null,
  );
  const answer = told.find((one) => typeof (one as Answer | null)?.advertisementCode === 'string') as
    | Answer
    | undefined;
  return {
    settings: (input as { readonly settings: DepositSettings }).settings,
    advertisementCode: answer?.advertisementCode ?? null,
    outcome: placementOf(facts)?.kind,
  };
}
interface Answer {
  readonly advertisementCode?: string;
}

/** Callbacks, their bindings, and postings; returns the facts for each history by order number. */
async function credit(
  owner: pg.Client,
  worker: pg.Pool,
  made: readonly Made[],
): Promise<ReadonlyMap<string, { inboxId: string; receivedAt: string; postingId: string; postedAt: string }>> {
  const payments = made.flatMap(({ order, data, stamp }) => (data === null ? [] : [{ order, data, stamp }]));
  const callbacks = payments.map(({ data, stamp }) => {
    const raw = `{"signature":"[signature]","timestamp":${stamp},"data":${JSON.stringify(data).replace(/"(transactionAmount|paymentPrice)":"([\d.]+)"/g, '"$1":$2')}}`;
    const { externalOrderNumber } = data;
    const hash = contentHash(data);
    const rawHash = sha256(raw);
    const facts = {
      receipt: 'first' as const,
      externalOrderNumber,
      contentHash: hash,
      rawHash,
      stamp: { keyId: 'key', timestampMs: stamp },
    };
    const { signature, key, sealedMs } = seal({ ...facts, sealedMs: Date.now() });
    return { data, hash: hash.toString('hex'), stamp, raw, seal: signature.toString('hex'), key, sealedMs };
  });
  const { rows } = await owner.query<{ n: string; id: string; at: Date }>(
    `with c as (
       insert into engine.callback (external_order_number, deposit, transaction_code, content_hash, data, raw, receipt, acked, seal, seal_key, sealed_ms)
       select c->'data'->>'externalOrderNumber', c->'data'->>'externalOrderNumber', c->'data'->>'transactionCode', decode(c->>'hash', 'hex'), c->'data', convert_to(c->>'raw', 'UTF8'), 'first', true, decode(c->>'seal', 'hex'), c->>'key', (c->>'sealedMs')::bigint
         from jsonb_array_elements($1::jsonb) c returning external_order_number as n, id, received_at as at),
     a as (insert into engine.callback_attempt (callback, n, key_id, timestamp_ms)
           select c.id, 1, 'key', (m->>'stamp')::bigint from c join jsonb_array_elements($1::jsonb) m on m->'data'->>'externalOrderNumber' = c.n),
     s as (insert into engine.callback_stamp select 'key', (c->>'stamp')::bigint, c->'data'->>'externalOrderNumber', decode(c->>'hash', 'hex') from jsonb_array_elements($1::jsonb) c)
     select * from c`,
    [JSON.stringify(callbacks)],
  );
  const inbox = new Map(rows.map((row) => [row.n, row]));
  await owner.query(
    `update engine.deposit d set bound_callback = c.id from engine.callback c where c.deposit = d.external_order_number and d.external_order_number = any($1)`,
    [rows.map(({ n }) => n)],
  );
  const answers = await creditAll(
    worker,
    payments.map(({ order, data }) => ({
      inboxId: inbox.get(order.externalOrderNumber)!.id,
      deposit: order.externalOrderNumber,
      wallet: order.wallet,
      transactionCode: data.transactionCode,
      amount: data.transactionAmount,
      currencyCode: data.currencyCode,
      paymentPrice: data.paymentPrice,
      late: false,
      workflowId: `deposit:${order.externalOrderNumber}`,
    })),
  );
  return new Map(
    payments.map(({ order }, i) => {
      const { id, at } = inbox.get(order.externalOrderNumber)!;
      return [
        order.externalOrderNumber,
        {
          inboxId: id,
          receivedAt: at.toISOString(),
          postingId: answers[i]!.postingId!,
          postedAt: answers[i]!.postedAt!,
        },
      ];
    }),
  );
}

/** The recorded history with the ids, amounts and times of this deposit. */
function historyOf(
  shape: string,
  buildId: string,
  runId: string,
  placedAt: Date,
  facts: Readonly<Record<string, string>>,
): string {
  const recorded = JSON.parse(shape) as { events: Record<string, unknown>[] };
  const later = placedAt.getTime() - Date.parse(recorded.events[0]!['eventTime'] as string);
  const said = Object.entries(facts);
  const { externalOrderNumber } = readHistory(parseHistory(shape)).input as Order;
  const text = JSON.stringify(recorded, (name, value: unknown) => {
    if (typeof value !== 'string') return value;
    if (name !== 'data') return moved(value, later);
    let plain = moved(Buffer.from(value, 'base64').toString('utf8'), later);
    plain = plain.replaceAll(externalOrderNumber, facts['externalOrderNumber']!);
    for (const [field, is] of said) plain = plain.replace(new RegExp(`"${field}":"[^"]*"`), `"${field}":"${is}"`);
    plain = plain.replace(/^"credit AT[0-9A-F]+"$/, `"credit ${facts['transactionCode']}"`);
    return Buffer.from(plain).toString('base64');
  });
  const history = JSON.parse(text) as {
    events: Record<string, { workflowId?: string; originalExecutionRunId?: string }>[];
  };
  const started = history.events[0]!['workflowExecutionStartedEventAttributes']!;
  started.workflowId = `deposit:${facts['externalOrderNumber']}`;
  started.originalExecutionRunId = runId;
  return JSON.stringify(history).replaceAll(/@temporalio\/worker@1\.24\.0\+[0-9a-f]{64}/g, buildId);
}

const moved = (text: string, laterMs: number): string =>
  text.replace(/(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d{1,3})?(\d*)Z/g, (_all, second: string, ms = '', rest = '') => {
    const at = new Date(Date.parse(`${second}${ms}Z`) + laterMs).toISOString();
    return `${at.slice(0, -1)}${rest}Z`;
  });

/** The columns of a deposit in an event. */
const TOLD = {
  expires_at: ['expiresAt', 'engine.as_time(d.expires_at)'],
  listening_until: ['listeningUntil', 'engine.as_time(d.listening_until)'],
  advertisement_code: ['advertisementCode', 'd.advertisement_code'],
  closed_at: ['closedAt', 'engine.as_time(d.closed_at)'],
} as const;

/** Writes the events that no trigger writes here. */
async function tell(
  owner: pg.ClientBase,
  numbers: readonly string[],
  sequence: number,
  type: string,
  columns: readonly (keyof typeof TOLD)[],
): Promise<void> {
  const more = columns.map((column) => `'${TOLD[column][0]}', ${TOLD[column][1]}`).join(', ');
  await owner.query(
    `insert into engine.event (subject, sequence, type, wallet, epoch, at, data)
     select d.external_order_number, $2, $3, d.wallet, 1,
            -- A window does not end before its end.
            greatest(clock_timestamp(), case when $3 in ('deposit.expired', 'deposit.unpaid') then d.expires_at end),
            jsonb_build_object('state', d.state, 'late', d.late) || jsonb_build_object(${more})
       from engine.deposit d where d.external_order_number = any($1)`,
    [numbers, sequence, type],
  );
}

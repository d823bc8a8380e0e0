import { randomUUID } from 'node:crypto';
import { Client, Connection, type ConnectionOptions } from '@temporalio/client';
import { afterAll, expect, test } from 'vitest';
import { inTransaction } from '../../../database/pool.ts';
import { depositWorkflowId } from '../../../domain/ids.ts';
import { placed } from '../../api/decisions.ts';
import { expectRefusal, type MemoryLog } from '../../api/evidence.ts';
import { loggedApi } from '../../api/parts.ts';
import { order as buildOrder, paid } from '../../support/builders.ts';
import { callbackAddress, callbackBody } from '../../support/messages/callbacks.ts';
import { byHand } from '../../support/database.ts';
import { startEngine } from '../../support/engine.ts';
import { insertCallback } from '../../support/messages/inbox.ts';
import { sealed } from '../../support/seals.ts';
import { until } from '../../support/until.ts';
import { openRows, QUICK } from './open-rows.ts';

/** A row that cannot be served blocks nothing behind it. */
const engine = await startEngine();
let api: MemoryLog = await loggedApi(engine, QUICK);
const { owner } = engine.db;
const { statusOf, write, ownerOf } = openRows(engine);

/** Rows that fail whenever they are served, and come first: 101 ahead of each step. */
async function poison(): Promise<void> {
  const each = `generate_series(1, 101) i`;
  const deposits = (name: string) =>
    `insert into engine.deposit (external_order_number, wallet, buy_coin_mode, mtc_amount, currency_code, support_language, fingerprint, settings, created_at)
     select 'a-poison-${name}-' || i || repeat('x', 1100), 'w', 'MtcAmount', 5000, 'CNY', 'en', '', '{}', clock_timestamp() - interval '1 day' from ${each}`;
  const callbacks = (name: string, receipt: string, acked: boolean) =>
    `insert into engine.callback (external_order_number, content_hash, raw, receipt, review_reason, acked, received_at)
     select 'a-poison-${name}-' || i || repeat('x', 1100), sha256(i::text::bytea), '', '${receipt}', ${receipt === 'first' ? 'null' : `'UNREADABLE'`}, ${acked}, clock_timestamp() - interval '1 day' from ${each}`;
  const where = (name: string) => `external_order_number like 'a-poison-${name}-%'`;
  await inTransaction(owner, async (client) => {
    for (const sql of [
      'set local session_replication_role = replica',
      // Temporal refuses ids of such a length.
      'alter table engine.deposit drop constraint deposit_external_order_number_check',
      // callbacks: bound ones without data.
      callbacks('callback', 'first', true),
      // reservations: none can be started.
      deposits('placing'),
      // late answers, and deposits: without the time that is to be reported, and none can be started.
      deposits('answered'),
      `update engine.deposit set state = 'PLACEMENT_UNKNOWN', redirect_url = 'https://pay.example/1' where ${where('answered')}`,
      // cases: none can be started.
      callbacks('case', 'unreadable', true),
      `insert into engine.review_case (workflow_id, callback, reason, opened_at)
       select 'a-poison-case-' || id || repeat('x', 1100), id, 'UNREADABLE', clock_timestamp() - interval '1 day' from engine.callback where ${where('case')}`,
      `update engine.callback set outcome = 'review:a-poison-case' where ${where('case')}`,
      // settled deposits: none can be started.
      deposits('settled'),
      `update engine.deposit set state = 'REJECTED', settled_by = (select min(workflow_id) from engine.review_case where workflow_id like 'a-poison-case-%')
        where ${where('settled')}`,
      // deposits without a case: the database refuses to have it written.
      callbacks('review', 'first', true),
      deposits('review'),
      `update engine.callback set outcome = 'review:a-poison-review' where ${where('review')}`,
      `update engine.deposit d set state = 'IN_REVIEW',
              bound_callback = (select c.id from engine.callback c where c.external_order_number = d.external_order_number)
        where ${where('review')}`,
      // unknown orders: they have turned up, and the database refuses to have them routed.
      callbacks('unknown', 'unknown_order', false),
      deposits('unknown'),
      `update engine.deposit set state = 'EXPIRED' where ${where('unknown')}`,
      `create function engine.poisoned() returns trigger language plpgsql as $$ begin raise exception 'poisoned'; end $$`,
      `create trigger poisoned before insert on engine.review_case for each row when (new.workflow_id like 'deposit:a-poison-review-%') execute function engine.poisoned()`,
      `create trigger poisoned before update on engine.callback for each row when (old.${where('unknown')}) execute function engine.poisoned()`,
    ])
      await client.query(sql);
  });
}

/** One good row for each step, behind all of those; resolves when each was served. */
async function servesBehind(): Promise<void> {
  const [answered, settled] = [await placed(engine), await placed(engine)];
  await engine.pay(settled.externalOrderNumber);
  await engine.untilState(settled.externalOrderNumber, 'CREDITED');
  const startedAt = performance.now();
  const times: Record<string, number> = {};
  const isServed = async (step: string, ask: () => Promise<boolean>) => {
    await until(`${step}: the row behind`, ask);
    times[step] = Math.round(performance.now() - startedAt);
  };
  const [reservation, deposit, held, unknown, alone] = Array.from({ length: 5 }, () => `z-${randomUUID()}`) as [
    string,
    string,
    string,
    string,
    string,
  ];
  await write(reservation, 'PLACING');
  await write(deposit, 'AWAITING_PAYMENT');
  await write(held, 'IN_REVIEW');
  await write(alone, 'without case');
  expectRefusal(
    await engine.callback(
      callbackAddress(engine, unknown),
      callbackBody(engine, paid(buildOrder({ externalOrderNumber: unknown }))),
    ),
    503,
    'unavailable',
  );
  await write(unknown, 'EXPIRED');
  const { id: inboxId } = await inTransaction(owner, (client) =>
    insertCallback(
      client,
      sealed({
        externalOrderNumber: deposit,
        deposit,
        contentHash: Buffer.alloc(32, 7),
        data: null,
        raw: Buffer.from(''),
        receipt: 'unreadable',
        reviewReason: 'UNREADABLE',
        acked: true,
      }),
    ),
  );
  await byHand(
    owner,
    `update engine.deposit set settled_by = (select min(workflow_id) from engine.review_case), told_at = null where external_order_number = $1`,
    [settled.externalOrderNumber],
  );
  await byHand(owner, `update engine.deposit set state = 'PLACEMENT_UNKNOWN' where external_order_number = $1`, [
    answered.externalOrderNumber,
  ]);
  const outcomeOf = async (where: string, value: string) =>
    (await owner.query(`select from engine.callback where ${where} = $1 and outcome is not null`, [value])).rowCount ===
    1;
  await Promise.all([
    isServed('callbacks', () => outcomeOf('id', inboxId)),
    isServed('reservations', async () => (await engine.deposit(reservation)).state === 'AWAITING_PAYMENT'),
    isServed('deposits', async () => (await statusOf(deposit)) === 'RUNNING'),
    isServed('cases', async () => (await statusOf(held)) === 'RUNNING'),
    isServed('deposits without a case', async () => (await ownerOf(alone, api)).held === 'RUNNING'),
    isServed('unknown orders', () => outcomeOf('external_order_number', unknown)),
    isServed('settled deposits', async () => {
      const { rows } = await owner.query('select told_at from engine.deposit where external_order_number = $1', [
        settled.externalOrderNumber,
      ]);
      return rows[0].told_at !== null;
    }),
    isServed('late answers', async () =>
      (
        (await engine.client.workflow.getHandle(depositWorkflowId(answered.externalOrderNumber)).fetchHistory())
          .events ?? []
      ).some((event) => event.workflowExecutionSignaledEventAttributes?.signalName === 'orderAnswered'),
    ),
  ]);
  if (process.env['SHOW_TIMES'] !== undefined) console.log(times);
}

test('a hundred and one rows that fail at every step hide no other row: each step serves what comes behind them', async () => {
  await poison();
  await servesBehind();
  // None of the others was served.
  const { rows } = await owner.query<{ n: string; left: number }>(
    `select substring(external_order_number from 'a-poison-([a-z]+)-') as n, count(*)::int as left
       from (select external_order_number from engine.deposit where state in ('PLACING', 'PLACEMENT_UNKNOWN', 'EXPIRED') or told_at is null
             union all
             select external_order_number from engine.callback where outcome is null or external_order_number like 'a-poison-case-%') x
      where external_order_number like 'a-poison-%' group by 1 order by 1`,
  );
  expect(rows.map(({ n }) => n)).toEqual(['answered', 'callback', 'case', 'placing', 'review', 'settled', 'unknown']);
  expect(rows.every(({ left }) => left % 101 === 0)).toBe(true);
  expect(await until('people to be told of one', async () => api.fields('relay_row_failed')[0])).toMatchObject({
    row: expect.stringMatching(/poison|^\d+$/),
  });
});

type Interceptor = NonNullable<ConnectionOptions['interceptors']>[number];
const hung = new Set<string>();

/** A client whose calls about a matching id never return, until their deadline. */
async function hangingClient(about: RegExp): Promise<Client> {
  const hanging: Interceptor = (options, nextCall) => {
    const call = nextCall(options);
    const send = call.sendMessageWithContext.bind(call);
    call.sendMessageWithContext = (context, message: Uint8Array) => {
      const [id] = about.exec(Buffer.from(message).toString('latin1')) ?? [];
      if (id === undefined) return send(context, message);
      hung.add(id);
      // The server waits for the message, and the call for its response.
      call.halfClose = () => undefined;
    };
    call.sendMessage = (message) => call.sendMessageWithContext({}, message);
    return call as ReturnType<Interceptor>;
  };
  const connection = await Connection.connect({ address: engine.temporal.address, interceptors: [hanging] });
  afterAll(() => connection.close());
  return new Client({ ...engine.client.options, connection });
}

test('a hundred and one rows that hang at every step hold up no other row for long', async () => {
  const client = await hangingClient(/a-poison-(?:callback|placing|answered|settled|case)-\d+/);
  // Makes payments and checkout links due while no API runs: no relay may raise them by a client that does not hang.
  const toTell = async () => {
    await byHand(
      owner,
      `update engine.callback set data = '{}' where external_order_number like 'a-poison-callback-%'`,
    );
    await byHand(
      owner,
      `update engine.deposit set expires_at = clock_timestamp() where external_order_number like 'a-poison-answered-%'`,
    );
  };
  const locker = await owner.connect();
  await locker.query(`set idle_in_transaction_session_timeout = 0; begin`);
  await locker.query(
    `select from engine.deposit where external_order_number like 'a-poison-unknown-%' for no key update`,
  );
  try {
    // Another process, which has seen none of them.
    api = await loggedApi(engine, QUICK, client, toTell);
    await servesBehind();
  } finally {
    locker.release(true);
  }
  // The last call may begin a moment after the row behind was served.
  await until('all to have hung', async () => hung.size === 5 * 101);
  const steps = [...hung].map((id) => id.replace(/\d+$/, ''));
  expect(new Set(steps).size).toBe(5);
  for (const step of new Set(steps)) expect(steps.filter((one) => one === step)).toHaveLength(101);
});

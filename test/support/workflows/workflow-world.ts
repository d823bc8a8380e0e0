import { randomBytes } from 'node:crypto';
import { Client, Connection, type WorkflowHandle } from '@temporalio/client';
import { TestWorkflowEnvironment } from '@temporalio/testing';
import { NativeConnection, Worker } from '@temporalio/worker';
import { afterAll } from 'vitest';
import { createActivities } from '../../../activities/index.ts';
import { archiveObjects } from '../../../archive/objects.ts';
import { fixedKeyring } from '../../../config/keys/keyring.ts';
import { Secret } from '../../../config/keys/secret.ts';
import { createLog } from '../../../telemetry/log.ts';
import { insertBound } from '../messages/inbox.ts';
import { reserve } from '../../../database/queries/deposits.ts';
import { inTransaction } from '../../../database/pool.ts';
import type { CallbackData, DepositSettings, Order, Payment } from '../../../domain/order.ts';
import { resolveTemporalTestServer } from '../../../local/servers/temporal-binary.ts';
import { capabilityKey } from '../../../providers/callback-address.ts';
import { createProviderClock } from '../../../providers/clock.ts';
import { createOwnStamps } from '../../../providers/own-stamps.ts';
import type { PlacementOutcome } from '../../../providers/port.ts';
import { callbackAccepted, depositStart, TASK_QUEUE } from '../../../workflows/messages.ts';
import { order as buildOrder, settings as buildSettings, reservation } from '../builders.ts';
import { temporalHistories } from '../../../worker/temporal-histories.ts';
import { registerSearchAttributes } from '../../../worker/search-attributes.ts';
import { quietRuntime } from '../runtime.ts';
import { openTemporal } from '../temporal.ts';
import { answering, PLACED } from './provider.ts';
import { createTestDatabase, required, type TestDatabase } from '../database.ts';
import { sealTrust } from '../seals.ts';

type Activities = ReturnType<typeof createActivities>['activities'];
export type DepositHandle = WorkflowHandle;

/** Deposits without the API and the sandbox: real Postgres, real workflow and activities; the provider's answer is forced. */
export interface WorkflowWorld {
  readonly db: TestDatabase;
  readonly client: Client;
  /** Time skipping only: lets time pass. */
  sleep(duration: string): Promise<void>;
  /** Sets the provider's response to the next placement of this order. Default: placed. */
  answers(externalOrderNumber: string, answer: () => Promise<PlacementOutcome>): void;
  /** Replaces an activity for one order, to force a fault. */
  instead(name: keyof Activities, externalOrderNumber: string, stand: StandIn): void;
  /** Reserves the row as the API does. */
  reserve(change?: Partial<Order>, settings?: Partial<DepositSettings>): Promise<Reserved>;
  start(reserved: Reserved): Promise<DepositHandle>;
  /** Commits the callback to the inbox, bound to its deposit, as the endpoint does. */
  receive(data: CallbackData): Promise<Payment>;
  signal(handle: DepositHandle, payment: Payment): Promise<void>;
  state(
    externalOrderNumber: string,
  ): Promise<{ state: string; late: boolean; review_reason: string | null; posting_id: string | null }>;
  postings(externalOrderNumber: string): Promise<number>;
}
/** Runs instead of an activity; `args` are those of the activity, whose own run is `real`. */
type StandIn = (real: () => Promise<unknown>, ...args: readonly unknown[]) => Promise<unknown>;
export interface Reserved {
  readonly order: Order;
  readonly settings: DepositSettings;
}

const secret = () => new Secret(randomBytes(32));

export async function startWorkflowWorld(server: 'real' | 'time-skipping'): Promise<WorkflowWorld> {
  quietRuntime();
  const db = await createTestDatabase();
  const temporal = server === 'real' ? await realServer() : await timeSkippingServer();
  const payerNameKey = secret();
  const answers = new Map<string, () => Promise<PlacementOutcome>>();
  const instead = new Map<string, StandIn>();
  const pool = db.poolFor('app_worker');
  const { activities } = createActivities({
    pool,
    decisions: db.poolFor('app_decisions'),
    providers: {
      mtpay: answering((request) => (answers.get(request.externalOrderNumber) ?? (() => Promise.resolve(PLACED)))()),
    },
    clock: createProviderClock(pool),
    stamps: createOwnStamps(1_000),
    capabilities: fixedKeyring(capabilityKey(secret())),
    payerNameKeys: fixedKeyring(payerNameKey),
    callbackBaseUrl: 'http://127.0.0.1:1',
    placeWithinMs: 120_000,
    callDeadlineMs: 1_000,
    histories: temporalHistories(temporal.client),
    objects: archiveObjects(pool, undefined),
    sealTrust,
    signatures: { required: false, keys: new Map() },
    version: 'test',
    log: createLog('worker', 'silent'),
  });
  const worker = await Worker.create({
    connection: temporal.nativeConnection,
    namespace: temporal.client.options.namespace,
    taskQueue: TASK_QUEUE,
    workflowBundle: { codePath: required('TEST_WORKFLOW_BUNDLE') },
    activities: withStandIns(activities, instead),
    shutdownGraceTime: '1s',
  });
  const running = worker.run();
  afterAll(async () => {
    worker.shutdown();
    await running;
    await temporal.stop();
  });
  const { client } = temporal;

  const world: WorkflowWorld = {
    db,
    client,
    sleep: (duration) => temporal.sleep(duration),
    answers: (externalOrderNumber, answer) => answers.set(externalOrderNumber, answer),
    instead: (name, externalOrderNumber, stand) => instead.set(`${name} ${externalOrderNumber}`, stand),
    async reserve(change = {}, settingsChange = {}) {
      const order = buildOrder(change);
      const settings = buildSettings(settingsChange);
      await reserve(db.owner, reservation(order, { settings }, payerNameKey));
      return { order, settings };
    },
    start: ({ order, settings }) => client.workflow.start('deposit', depositStart({ ...order, settings })),
    receive: (data) =>
      inTransaction(db.owner, async (connection) => {
        const row = await insertBound(connection, data);
        return {
          inboxId: row.id,
          transactionCode: data.transactionCode,
          transactionAmount: data.transactionAmount,
          currencyCode: data.currencyCode,
          paymentPrice: data.paymentPrice,
          receivedAt: row.receivedAt.toISOString(),
        };
      }),
    signal: (handle, payment) => handle.signal(callbackAccepted, payment),
    async state(externalOrderNumber) {
      const { rows } = await db.owner.query(
        'select state, late, review_reason, posting_id from engine.deposit where external_order_number = $1',
        [externalOrderNumber],
      );
      return rows[0];
    },
    async postings(externalOrderNumber) {
      const { rows } = await db.owner.query<{ n: number }>(
        'select count(*)::int as n from ledger.transaction where deposit = $1',
        [externalOrderNumber],
      );
      return rows[0]!.n;
    },
  };
  return world;
}

/** Every activity takes the order number first, or an object that names it. */
function withStandIns(real: Activities, instead: Map<string, StandIn>): Activities {
  const wrap = ([name, activity]: [string, (...args: never[]) => Promise<unknown>]) => [
    name,
    (...args: [string | number | { deposit?: string; externalOrderNumber?: string; workflowId?: string }]) => {
      const [first] = args;
      const named =
        typeof first !== 'object' ? String(first) : (first.deposit ?? first.externalOrderNumber ?? first.workflowId);
      const order = named?.replace(/^deposit:/, '');
      const stand = instead.get(`${name} ${order}`);
      const run = () => activity(...(args as unknown as never[]));
      return stand === undefined ? run() : stand(run, ...args);
    },
  ];
  return Object.fromEntries(Object.entries(real).map((entry) => wrap(entry as never))) as Activities;
}

interface Server {
  readonly client: Client;
  readonly nativeConnection: NativeConnection;
  sleep(duration: string): Promise<void>;
  stop(): Promise<void>;
}

async function realServer(): Promise<Server> {
  const { address, namespace, stop } = await openTemporal();
  const connection = await Connection.connect({ address });
  const nativeConnection = await NativeConnection.connect({ address });
  return {
    client: new Client({ connection, namespace }),
    nativeConnection,
    sleep: () => Promise.reject(new Error('a real server does not skip time')),
    async stop() {
      await connection.close();
      await nativeConnection.close();
      await stop();
    },
  };
}

async function timeSkippingServer(): Promise<Server> {
  const path = await resolveTemporalTestServer();
  const env = await TestWorkflowEnvironment.createTimeSkipping({
    server: { executable: { type: 'existing-path', path } },
  });
  await registerSearchAttributes(env.connection, 'default');
  return {
    client: env.client,
    nativeConnection: env.nativeConnection,
    sleep: (duration) => env.sleep(duration),
    stop: () => env.teardown(),
  };
}

import type pg from 'pg';
import { startDeposit } from '../../../intake/start-workflow.ts';
import { Secret } from '../../../config/keys/secret.ts';
import { findDeposit, reserve } from '../../../database/queries/deposits.ts';
import type { CallbackData, DepositSettings, Order } from '../../../domain/order.ts';
import { order as buildOrder, paid, settings as buildSettings, reservation } from '../../support/builders.ts';
import { callbackAddress, callbackBody } from '../../support/messages/callbacks.ts';
import type { Engine } from '../../support/engine.ts';
import { insertDecision, operatorKey } from '../../support/operators.ts';
import { until } from '../../support/until.ts';
import type { Provider } from './provider.ts';

/**
 * The targets of an adversary: one deposit or message of each kind, and all that is known of it. A statement names a
 * part of a situation, so that it can be repeated for another deposit in the same situation.
 */
export const SITUATIONS = [
  'waiting',
  'credited',
  'repeated',
  'expired',
  'unpaid',
  'refused',
  'unplaced',
  'placing',
  'pending',
  'doubtful',
  'proposed',
  'withdrawn',
  'agreed',
  'decided',
  'rejected',
  'second',
  'beside',
  'doubted',
  'reversed',
  'unreadable',
  'unknown',
  'fresh',
] as const;
export type Situation = (typeof SITUATIONS)[number];

export interface Subject {
  readonly situation: Situation;
  readonly order: string;
  readonly wallet: string | null;
  readonly url: string | null;
  readonly settings: unknown;
  readonly closedAt: string | null;
  readonly callback: string | null;
  readonly content: Buffer | null;
  readonly data: CallbackData | null;
  readonly raw: Buffer | null;
  readonly code: string | null;
  readonly seal: Buffer | null;
  readonly sealKey: string | null;
  readonly sealedMs: string | null;
  readonly stampKey: string | null;
  readonly stampMs: string | null;
  readonly ownKey: string | null;
  readonly ownMs: string | null;
  /** The newest case about it. */
  readonly case: string | null;
  readonly proposal: string | null;
  readonly confirmation: string | null;
  readonly posting: string | null;
  readonly run: string | null;
  readonly history: Buffer | null;
  readonly events: number | null;
  readonly archivedAs: string | null;
}
export type Part = Exclude<keyof Subject, 'situation'>;
export type Scene = Readonly<Record<Situation, Subject>>;

const SUBJECT = `
  select n.n as order, d.wallet, d.redirect_url as url, d.settings, d.closed_at::text as "closedAt",
         c.id::text as callback, c.content_hash as content, c.data, c.raw, c.transaction_code as code, c.seal, c.seal_key as "sealKey",
         c.sealed_ms::text as "sealedMs", a.key_id as "stampKey", a.timestamp_ms::text as "stampMs",
         o.key_id as "ownKey", o.timestamp_ms::text as "ownMs", v.workflow_id as case, p.id::text as proposal, k.id::text as confirmation,
         (select t.id::text from ledger.transaction t where t.deposit = n.n order by t.id desc limit 1) as posting,
         h.run_id as run, h.history_hash as history, h.events, h.n::text as "archivedAs"
    from (select $1::text as n) n
    left join engine.deposit d on d.external_order_number = n.n
    left join lateral (select * from engine.callback c where c.external_order_number = n.n order by c.id desc limit 1) c on true
    left join engine.callback_attempt a on a.callback = c.id and a.n = 1
    left join lateral (select s.* from engine.own_stamp s join engine.placement_attempt t on t.external_order_number = n.n
                        order by abs(s.timestamp_ms - extract(epoch from t.started_at) * 1000) limit 1) o on true
    left join lateral (select * from engine.review_case v where v.callback = c.id order by v.opened_at desc limit 1) v on true
    left join lateral (select * from engine.decision p where p.workflow_id = v.workflow_id and p.step = 'propose' order by p.id desc limit 1) p on true
    left join lateral (select * from engine.decision k where k.proposal = p.id and k.step = 'confirm' order by k.id desc limit 1) k on true
    left join lateral (select * from engine.archive h where h.workflow_id = 'deposit:' || n.n order by h.n desc limit 1) h on true`;

export async function readSubject(owner: pg.Pool, situation: Situation, order: string): Promise<Subject> {
  const { rows } = await owner.query<Omit<Subject, 'situation'>>(SUBJECT, [order]);
  return { situation, ...rows[0]! };
}

/** A payment that the provider has really reported. */
export interface Paid {
  readonly code: string;
  readonly order: string;
  readonly wallet: string;
}

/** Brings deposits into a situation, on a running engine; its worker is stopped where no step may follow by itself. */
export interface Stage {
  readonly engine: Engine;
  /** Makes any number of them, each its own; returns their order numbers. */
  makeAll(situations: readonly Situation[]): Promise<string[]>;
  /** A genuine message of the provider about an order. */
  pays(order: Order): Promise<void>;
  /** All that was ever paid. */
  readonly paid: readonly Paid[];
}

/** These must not proceed while the adversary is at work. */
export const WITHOUT_WORKER: ReadonlySet<Situation> = new Set(['placing', 'pending', 'agreed']);
/** Windows that are over before any poll. */
const SHORT = { paymentWindowMs: 50, listeningWindowMs: 60 };
const AT_ONCE = 8;

export function createStage(engine: Engine, provider: Provider): Stage {
  const { owner } = engine.db;
  const payerNameKey = new Secret(Buffer.from(engine.env['PAYER_NAME_KEY']!, 'base64url'));
  let made = 0;
  const payments: Paid[] = [];
  /** Steps for after the last worker has stopped. */
  const last: (() => Promise<unknown>)[] = [];

  /** Reserves as the API does, with windows of its own; the caller starts it. */
  async function reserved(order: Order, change: Partial<DepositSettings>) {
    await reserve(owner, reservation(order, { settings: buildSettings(change) }, payerNameKey));
    await startDeposit(engine.client, (await findDeposit(owner, order.externalOrderNumber))!);
    return order;
  }
  const newOrder = (situation: Situation): Order => buildOrder({ wallet: `wallet-${situation}-${(made += 1)}` });
  const waiting = async (situation: Situation) => {
    const order = await reserved(newOrder(situation), {});
    await untilState(order, 'AWAITING_PAYMENT');
    return order;
  };
  const untilState = (order: Order, state: string) =>
    until(`${order.externalOrderNumber} to be ${state}`, async () => {
      const { rows } = await owner.query<{ state: string }>(
        'select state from engine.deposit where external_order_number = $1',
        [order.externalOrderNumber],
      );
      return rows[0]?.state === state;
    });

  async function pays(order: Order, change: Record<string, unknown> = {}, accepted = true) {
    const address = callbackAddress(engine, order.externalOrderNumber);
    const data = { ...paid(order), ...change } as CallbackData;
    const body = callbackBody(engine, data);
    payments.push({ code: data.transactionCode, order: order.externalOrderNumber, wallet: order.wallet });
    const { status, text } = await engine.callback(address, body);
    if ((status === 200) !== accepted) throw new Error(`a payment was answered ${status} ${text}`);
    return { address, body };
  }
  const credited = async (situation: Situation) => {
    const order = await waiting(situation);
    const message = await pays(order);
    await untilState(order, 'CREDITED');
    return { order, message };
  };

  /** The open case about an order, once its workflow holds it. */
  async function caseOf({ externalOrderNumber }: Order, like: string): Promise<string> {
    return until(`a case of ${externalOrderNumber}`, async () => {
      const { rows } = await owner.query<{ id: string }>(
        `select v.workflow_id as id from engine.review_case v join engine.callback c on c.id = v.callback
          where c.external_order_number = $1 and v.closed_at is null and v.workflow_id like $2 and c.outcome is not null`,
        [externalOrderNumber, like],
      );
      return rows[0]?.id;
    });
  }
  const by = (name: string, path: string, body: unknown) =>
    until(`${name}: ${path}`, async () => {
      const answer = await engine.call('POST', path, body, { key: operatorKey(name) });
      // A case is visible a moment before its workflow holds it.
      if (answer.status === 503 || answer.status === 404) return null;
      if (answer.status !== 200 && answer.status !== 201) throw new Error(`${name} ${path}: ${answer.text}`);
      return answer;
    });
  const step = (id: string, kind: string) => `/v1/reviews/${encodeURIComponent(id)}/${kind}`;
  const proposes = async (id: string, body: Record<string, unknown>) =>
    (await by('alice', step(id, 'propose'), { reason: 'compared with the statement', ...body })).body.proposal
      .id as string;
  const together = async (id: string, body: Record<string, unknown>) =>
    by('bob', step(id, 'confirm'), { proposal: await proposes(id, body) });

  async function short(situation: Situation) {
    const order = await waiting(situation);
    await pays(order, { transactionAmount: '4999' });
    return { order, id: await caseOf(order, 'deposit:%') };
  }
  async function second(situation: Situation) {
    const { order } = await credited(situation);
    await pays(order);
    return { order, id: await caseOf(order, 'review:%') };
  }
  async function doubt(situation: Situation) {
    const { order } = await credited(situation);
    const { externalOrderNumber } = order;
    await by('alice', '/v1/reviews', { externalOrderNumber, reason: 'it was recalled' });
    return { order, id: await caseOf(order, 'review:%') };
  }

  const ways: Readonly<Record<Situation, () => Promise<Order>>> = {
    waiting: () => waiting('waiting'),
    credited: async () => (await credited('credited')).order,
    fresh: async () => (await credited('fresh')).order,
    repeated: async () => {
      const { order, message } = await credited('repeated');
      await engine.callback(message.address, message.body);
      return order;
    },
    expired: async () => {
      const order = await reserved(newOrder('expired'), { paymentWindowMs: 50 });
      await untilState(order, 'EXPIRED');
      return order;
    },
    unpaid: async () => {
      const order = await reserved(newOrder('unpaid'), SHORT);
      await untilState(order, 'UNPAID');
      return order;
    },
    refused: async () => {
      const order = newOrder('refused');
      provider.answers(order.externalOrderNumber, 'refused');
      await reserved(order, {});
      await untilState(order, 'PLACEMENT_REFUSED');
      return order;
    },
    unplaced: async () => {
      const order = newOrder('unplaced');
      provider.answers(order.externalOrderNumber, 'cut');
      await reserved(order, {});
      await untilState(order, 'PLACEMENT_UNKNOWN');
      return order;
    },
    placing: async () => {
      const order = newOrder('placing');
      last.push(() => reserved(order, {}));
      return order;
    },
    pending: async () => {
      const order = await waiting('pending');
      last.push(() => pays(order));
      return order;
    },
    doubtful: async () => (await short('doubtful')).order,
    proposed: async () => {
      const { order, id } = await short('proposed');
      await proposes(id, { decision: 'credit' });
      return order;
    },
    withdrawn: async () => {
      const { order, id } = await short('withdrawn');
      const proposal = await proposes(id, { decision: 'credit' });
      await by('alice', step(id, 'withdraw'), { proposal, reason: 'thought again' });
      return order;
    },
    // Two operators have decided, and the decision is not carried out yet.
    agreed: async () => {
      const { order, id } = await short('agreed');
      const proposal = await proposes(id, { decision: 'credit' });
      const confirm = { step: 'confirm', proposal, reason: null } as const;
      last.push(() => insertDecision(owner, { workflowId: id, operator: 'bob', ...confirm }));
      return order;
    },
    decided: async () => {
      const { order, id } = await short('decided');
      await together(id, { decision: 'credit' });
      return order;
    },
    rejected: async () => {
      const { order, id } = await short('rejected');
      await together(id, { decision: 'reject' });
      return order;
    },
    second: async () => (await second('second')).order,
    beside: async () => {
      const { order, id } = await second('beside');
      const { rows } = await owner.query<{ posting: string }>(
        'select posting_id::text as posting from engine.deposit where external_order_number = $1',
        [order.externalOrderNumber],
      );
      await together(id, { decision: 'credit', beside: rows[0]!.posting });
      return order;
    },
    doubted: async () => (await doubt('doubted')).order,
    reversed: async () => {
      const { order, id } = await doubt('reversed');
      await together(id, { decision: 'reverse' });
      return order;
    },
    unreadable: async () => {
      const order = await waiting('unreadable');
      await pays(order, { transactionAmount: 'true' });
      await caseOf(order, 'review:%');
      return order;
    },
    unknown: async () => {
      const order = newOrder('unknown');
      await pays(order, {}, false);
      return order;
    },
  };
  return {
    engine,
    paid: payments,
    async makeAll(situations) {
      const orders = new Map<number, string>();
      const waitingFor = [...situations.entries()];
      const lane = async () => {
        for (let next = waitingFor.shift(); next !== undefined; next = waitingFor.shift())
          orders.set(next[0], (await ways[next[1]]()).externalOrderNumber);
      };
      await Promise.all(Array.from({ length: AT_ONCE }, lane));
      if (last.length > 0) {
        await atRest(owner);
        await engine.stopWorker();
        for (const work of last.splice(0)) await work();
      }
      return situations.map((_, i) => orders.get(i)!);
    },
    pays: async (order) => void (await pays(order)),
  };
}

/** Every payment has an outcome, and closed rows have closed workflows: all are due for the archive. */
const atRest = (owner: pg.Pool) =>
  until('every payment to have an outcome', async () => {
    const { rows } = await owner.query<{ n: number }>(
      'select count(*)::int as n from engine.callback where acked and outcome is null',
    );
    return rows[0]!.n === 0;
  });

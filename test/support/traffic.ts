import type { Answer, Engine } from './engine.ts';
import type { CallbackData, Order } from '../../domain/order.ts';
import { type OperatorHands, operator, placed } from '../api/decisions.ts';
import { createRandom, type Random } from '../attack/random.ts';
import { paid, transactionCode } from './builders.ts';
import { callbackAddress, callbackBody } from './messages/callbacks.ts';

/** One request over HTTP, and its response. */
export interface Act {
  readonly what: string;
  readonly answer: Answer;
  /** The statuses that are allowed, whatever else goes on. */
  readonly may: readonly number[];
}

export interface Traffic {
  readonly orders: readonly Order[];
  readonly people: readonly OperatorHands[];
  /** Does something to these deposits: orders, payments of every kind, doubts, steps of operators, reads. */
  act(): Promise<Act | null>;
}

const reason = 'compared with the statement';
const FACTS = { amount: '5000', currencyCode: 'CNY', paymentPrice: '36000' };

/** Few deposits of few wallets, few operators, few transaction codes that more than one deposit claims. */
export async function trafficOf(engine: Engine, name: string, seed: number): Promise<Traffic> {
  const random = createRandom(seed);
  const orders: Order[] = [];
  for (let i = 0; i < 4; i += 1) orders.push(await placed(engine, { wallet: `wallet-${name}-${i % 2}` }));
  const people = await Promise.all(['a', 'b', 'c'].map((letter) => operator(engine, `${name}-${letter}`)));
  const codes = Array.from({ length: 3 }, transactionCode);
  const one = { engine, orders, people, codes, random, stated: new Map<string, Record<string, string>>() };
  const acts = [order, payment, payment, doubt, read, step, step, step, step, step];
  return { orders, people, act: () => random.pick(acts)(one) };
}

interface Of {
  readonly engine: Engine;
  readonly orders: readonly Order[];
  readonly people: readonly OperatorHands[];
  readonly codes: readonly string[];
  readonly random: Random;
  /** The statement of a proposal, to be repeated with its confirmation. */
  readonly stated: Map<string, Record<string, string>>;
}

async function order({ engine, orders, random }: Of): Promise<Act> {
  const { externalOrderNumber, wallet } = random.pick(orders);
  const answer = await engine.create(random.int(2) === 0 ? { externalOrderNumber, wallet } : { wallet });
  return { what: `order ${wallet}`, answer, may: [200, 201, 202] };
}

async function payment({ engine, orders, codes, random }: Of): Promise<Act> {
  const order = random.pick(orders);
  const data: CallbackData = {
    ...paid(order),
    ...random.pick([{}, {}, { transactionAmount: '4999' }, { transactionAmount: '6000', paymentPrice: '43200' }]),
    ...(random.int(3) === 0 ? { transactionCode: random.pick(codes) } : {}),
  };
  const readable = callbackBody(engine, data);
  const body = random.int(8) === 0 ? readable.replace(`"transactionAmount":`, '"transactionAmount":-') : readable;
  const answer = await engine.callback(callbackAddress(engine, order.externalOrderNumber), body);
  return { what: `callback ${data.transactionCode} ${data.transactionAmount}`, answer, may: [200, 503] };
}

async function doubt({ engine, orders, people, random }: Of): Promise<Act> {
  const hands = random.pick(people);
  const { rows } = await engine.db.owner.query<{ id: string }>(
    'select id from ledger.transaction order by random() limit 1',
  );
  const about =
    rows[0] === undefined || random.int(2) === 0
      ? { externalOrderNumber: random.pick(orders).externalOrderNumber }
      : { postingId: rows[0].id };
  const answer = await hands.doubt({ ...about, reason: 'is this ours?' });
  return { what: `doubt ${JSON.stringify(about)}`, answer, may: [201, 404, 503] };
}

async function read({ engine, orders, people, random }: Of): Promise<Act> {
  const { externalOrderNumber, wallet } = random.pick(orders);
  const path = random.pick([
    `/v1/deposits/${externalOrderNumber}`,
    `/v1/deposits?wallet=${wallet}`,
    `/v1/wallets/${wallet}`,
  ]);
  const answer =
    random.int(3) === 0 ? await random.pick(people).listed('?state=closed') : await engine.call('GET', path);
  return { what: `read ${path}`, answer, may: [200] };
}

/** The next step of a case: a proposal, or its confirmation by another, or, at times, its withdrawal. */
async function step(of: Of): Promise<Act | null> {
  const { people, random, stated } = of;
  const hands = random.pick(people);
  const { items } = await hands.list('?limit=200');
  if (items.length === 0) return null;
  const found = random.pick<Answer['body']>(items);
  const { proposal } = found;
  const may = [200, 202, 409, 503];
  if (proposal === null) {
    const body = await proposalTo(of, found);
    const answer = await hands.propose(found.id, body);
    if (answer.status === 200 && 'facts' in body) stated.set(answer.body.proposal.id, body['facts'] as never);
    return { what: `propose ${found.id} ${JSON.stringify(body)}`, answer, may };
  }
  if (random.int(8) === 0) {
    return { what: `withdraw ${found.id}`, answer: await hands.withdraw(found.id, proposal.id), may };
  }
  const other = people.find(({ name }) => name !== proposal.operator)!;
  const by = random.int(8) === 0 ? hands : other;
  const answer = await by.confirm(found.id, proposal.id, stated.get(proposal.id));
  return { what: `confirm ${found.id} ${proposal.decision}`, answer, may };
}

/** One of the decisions that the case shows as allowed, mostly with what it takes. */
async function proposalTo({ engine, orders, random }: Of, found: Answer['body']): Promise<Record<string, unknown>> {
  const decision = random.pick<string>(found.allowed);
  const named = decision === 'credit' && (found.standing === 'withdrawn' || random.int(4) === 0);
  const toDeposit = named ? random.pick(orders).externalOrderNumber : undefined;
  const to = toDeposit ?? found.externalOrderNumber;
  const { rows } = await engine.db.owner.query<{ id: string }>(
    'select t.id from ledger.slot s join ledger.transaction t on t.key = s.key where s.deposit = $1',
    [to],
  );
  const enters =
    decision === 'credit' || decision === 'restore' || (decision === 'reject' && found.standing === 'withdrawn');
  const whole = found.standing === 'unreadable' && decision === 'credit';
  return {
    decision,
    reason,
    ...(toDeposit === undefined ? {} : { toDeposit }),
    ...(enters && rows[0] !== undefined && random.int(8) > 0 ? { beside: rows[0].id } : {}),
    ...(decision === 'reverse' && found.standing === 'credited' && random.int(2) === 0 ? { keep: true } : {}),
    ...(whole ? { facts: { transactionCode: transactionCode(), ...FACTS } } : {}),
  };
}

import { expect } from 'vitest';
import { createApiKey } from '../../database/queries/api-keys.ts';
import { paid } from '../support/builders.ts';
import { callbackAddress, callbackBody } from '../support/messages/callbacks.ts';
import { type Answer, type Engine, isLate } from '../support/engine.ts';
import type { CallbackData, Order } from '../../domain/order.ts';
import { until } from '../support/until.ts';

/** The calls of one operator; each holds a personal key of their own. */
export interface OperatorHands {
  readonly name: string;
  list(query?: string): Promise<Answer['body']>;
  /** The whole response of the same. */
  listed(query?: string): Promise<Answer>;
  case(id: string): Promise<Answer['body']>;
  propose(id: string, body: Record<string, unknown>): Promise<Answer>;
  /** `facts` where the callback cannot be read. */
  confirm(id: string, proposal: string, facts?: Record<string, string>): Promise<Answer>;
  withdraw(id: string, proposal: string, reason?: string): Promise<Answer>;
  doubt(body: Record<string, unknown>): Promise<Answer>;
}

export async function operator(engine: Engine, name: string): Promise<OperatorHands> {
  const key = await createApiKey(engine.db.owner, { name, scopes: ['reviews:decide', 'deposits:read'] });
  const path = (id: string, step = '') => `/v1/reviews/${encodeURIComponent(id)}${step}`;
  const must = async (answer: Promise<Answer>) => {
    const { status, body, text } = await answer;
    expect(status, text).toBe(200);
    return body;
  };
  return {
    name,
    listed: (query = '') => engine.call('GET', `/v1/reviews${query}`, undefined, { key }),
    list: (query = '') => must(engine.call('GET', `/v1/reviews${query}`, undefined, { key })),
    case: (id) => must(engine.call('GET', path(id), undefined, { key })),
    propose: (id, body) => engine.call('POST', path(id, '/propose'), body, { key }),
    confirm: (id, proposal, facts) =>
      engine.call('POST', path(id, '/confirm'), { proposal, ...(facts === undefined ? {} : { facts }) }, { key }),
    withdraw: (id, proposal, reason = 'thought again') =>
      engine.call('POST', path(id, '/withdraw'), { proposal, reason }, { key }),
    doubt: (body) => engine.call('POST', '/v1/reviews', body, { key }),
  };
}

/** Sends a step of an operator, again where the case does not show it (docs/guides/reviews.md#when-a-case-does-not-answer). */
function stepped(
  hands: OperatorHands,
  id: string,
  send: () => Promise<Answer>,
  isShown: (found: Answer['body']) => boolean,
): Promise<Answer> {
  let wasLate = false;
  return until('the step to count', async () => {
    const answer = await send();
    if (!isLate(answer) && !(wasLate && answer.status === 409)) return answer;
    wasLate = true;
    const body = await hands.case(id);
    return isShown(body) && { ...answer, status: 200, body };
  });
}

/** A deposit that waits for its payment. */
export async function placed(engine: Engine, change: Record<string, unknown> = {}): Promise<Order> {
  const { externalOrderNumber, wallet, buyCoinMode, mtcAmount, totalPrice, currencyCode } = await engine.place(change);
  return { externalOrderNumber, wallet, buyCoinMode, mtcAmount, totalPrice, currencyCode };
}

/** Sends an authentic callback, which is acknowledged; returns its data. */
export async function arrives(
  engine: Engine,
  order: Order,
  change: Partial<Record<keyof CallbackData, unknown>> = {},
): Promise<CallbackData> {
  const data = { ...paid(order), ...change } as CallbackData;
  const address = callbackAddress(engine, order.externalOrderNumber);
  const answer = await engine.callback(address, callbackBody(engine, data));
  expect(answer.status, answer.text).toBe(200);
  return data;
}

/** Returns the open case about a callback, once its standing is `standing`. */
export function opened(hands: OperatorHands, order: Order, reason: string, standing: string): Promise<Answer['body']> {
  return until(`a case ${reason} of ${order.externalOrderNumber}`, async () => {
    const { items } = await hands.list('?limit=200');
    return items.find(
      (found: Answer['body']) =>
        found.externalOrderNumber === order.externalOrderNumber &&
        found.reason === reason &&
        found.standing === standing,
    );
  });
}

/** One proposes, the other confirms; returns the case as it is then. */
export async function decideTogether(
  first: OperatorHands,
  second: OperatorHands,
  id: string,
  body: Record<string, unknown>,
): Promise<Answer['body']> {
  const proposal = { reason: 'compared with the statement', ...body };
  const proposed = await stepped(
    first,
    id,
    () => first.propose(id, proposal),
    (found) => found.proposal !== null,
  );
  expect(proposed.status, proposed.text).toBe(200);
  const confirmed = await stepped(
    second,
    id,
    () => second.confirm(id, proposed.body.proposal.id),
    (found) => found.proposal?.id !== proposed.body.proposal.id,
  );
  expect(confirmed.status, confirmed.text).toBe(200);
  return confirmed.body;
}

export interface BookedPosting {
  readonly id: string;
  readonly key: string;
  readonly kind: string;
  readonly amount: string;
  readonly debit: string;
  readonly credit: string;
  readonly actor: string | null;
}

/** Every posting of a transaction code and all that followed from it, oldest first. */
export async function bookedFor(engine: Engine, transactionCode: string): Promise<BookedPosting[]> {
  const { rows } = await engine.db.owner.query<BookedPosting>(
    `with recursive line as (
       select t.* from ledger.transaction t where provider_code = $1
       union all select t.* from ledger.transaction t join line on t.origin = line.id)
     select id, key, kind, trim_scale(amount)::text as amount, debit_code as debit, credit_code as credit, actor from line order by id`,
    [transactionCode],
  );
  return rows;
}

export async function walletBalance(engine: Engine, wallet: string): Promise<string> {
  return (await engine.call('GET', `/v1/wallets/${wallet}`)).body.balance;
}

import { isDeepStrictEqual } from 'node:util';
import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import { recordState } from '../../activities/bound-payment.ts';
import { close } from '../../activities/closing.ts';
import { credit } from '../../activities/crediting.ts';
import { decide, parkCase, recordProposal, recordReview } from '../../activities/deciding.ts';
import { classifyLedgerFailure } from '../../activities/failures.ts';
import { type Message, route, routeRepeat, type Routing } from '../../intake/route-callback.ts';
import { findCallback, markRaised, openOwnCase, paymentOf } from '../../database/queries/callbacks.ts';
import { type CaseRow, findOpenCase, openDoubt } from '../../database/queries/cases.ts';
import type { StatedFacts } from '../../database/queries/decisions.ts';
import { findDeposit } from '../../database/queries/deposits.ts';
import { inTransaction } from '../../database/pool.ts';
import {
  confirmationFault,
  type Proposal as Proposed,
  proposalFault,
  type DecisionAnswer,
} from '../../domain/decision.ts';
import { judge } from '../../domain/judge.ts';
import type { Payment } from '../../domain/order.ts';
import type { DecisionItem } from '../../ledger/decide.ts';
import { findPosting } from '../../ledger/read.ts';
import type { Index } from './observe.ts';
import type { Delivery } from './plays.ts';
import type { Facts, Proposal } from './reference.ts';
import { cutAt, killedAfter } from './seams.ts';
import { dataOf, hashOf, log, type Names, orderOf, PEOPLE, placeOrder, PRICE, settingsOf, type Site } from './world.ts';
import { insertDecision, proofFor } from '../support/operators.ts';
import { cameEarlier, seal, sealTrust } from '../support/seals.ts';
import { byHand } from '../support/database.ts';
import { depositWorkflowId } from '../../domain/ids.ts';

export type Kill = 0 | 1 | 2;
/** The point at which the connection breaks while a decision is carried out; 0: none. */
export interface Cut {
  readonly statement: number;
  readonly before: boolean;
}

/** The memory of a case's workflow. */
interface Memory {
  proposal: (Proposed & { readonly n: number }) | null;
  confirmed: { readonly label: string; readonly item: DecisionItem } | null;
  /** The count of decisions whose end it has received: earlier reads of the row are stale. */
  concluded: number;
}

/** Counts events of a run. */
export interface Tally {
  count(kind: string, name: string): void;
}

/**
 * Each used once, by concurrent sequences too: a stamp that we have signed ourselves makes any message with it a
 * reflection.
 */
let stamps = Date.now();

const isLost = (error: unknown): boolean => (error as { code?: string }).code === 'ECONNRESET';

/** The money does not exist, or its case is open. */
function nothingToDoubt(error: unknown): null {
  if ((error as { code?: string }).code !== 'P0E36') throw error;
  return null;
}

/** The engine without Temporal: each method runs the real code for one message, and a few lines of the workflow. */
export class Driver {
  readonly names: Names;
  readonly #site: Site;
  readonly #tally: Tally;
  readonly #cases = new Map<string, Memory>();
  readonly #steps = new Map<number, string>();
  readonly #heard = new Map<number, Payment>();
  readonly carried: { readonly item: DecisionItem; readonly answer: DecisionAnswer }[] = [];
  /** The commands so far, in words. */
  readonly told: string[] = [];
  /** State as of the last step. */
  index: Index = { inbox: {}, labels: new Map(), tokens: new Map(), postings: new Map() };

  constructor(site: Site, names: Names, tally: Tally) {
    this.#site = site;
    this.names = names;
    this.#tally = tally;
  }

  get site(): Site {
    return this.#site;
  }

  /** As Temporal calls an activity: retries until the outcome is known. */
  async #again<T>(activity: () => Promise<T>, isKilled = false): Promise<T> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await activity();
      } catch (error) {
        const { code } = error as { code?: string };
        if (code === '40P01' || (isKilled && isLost(error))) throw error;
        // P0E37: what is doubted was moved meanwhile, and the caller is told to repeat.
        if ((code !== 'P0E37' && classifyLedgerFailure(error) !== 'retry') || attempt === 20) throw error;
        this.#tally.count('tried again', code ?? (error as Error).name);
        await sleep(5 * attempt);
      }
    }
  }

  async receive(delivery: Delivery): Promise<string> {
    const { manner, order } = delivery;
    const message = this.#messageOf(delivery);
    if (manner === 'waited') await cameEarlier(this.#site.owner, this.names.orders[order]!, 7 * 3_600_000);
    if (manner === 'reflected') {
      await this.#site.owner.query('insert into engine.own_stamp (key_id, timestamp_ms) values ($1, $2)', [
        message.keyId,
        message.timestampMs,
      ]);
    }
    let routed = await this.#route(message);
    if (routed.alarm === 'callback_reflected') routed = await this.#route(message);
    if (routed.signal !== null) await this.#raise(routed.signal);
    return routed.answer === 'ack' ? 'acknowledged' : 'unavailable';
  }

  #messageOf({ label, order, code, amount, manner }: Delivery): Message {
    const aheadMs = { ahead: 5 * 60_000, stale: -80 * 3_600_000, 'before order': -20 * 60_000 }[manner as string] ?? 0;
    const hash = hashOf(this.names, label, order, code, amount);
    const externalOrderNumber = this.names.orders[order]!;
    return {
      externalOrderNumber,
      timestampMs: stamps++,
      kept: () => Buffer.from('{}'),
      reading:
        code === null
          ? { readable: false, fault: 'amount', contentHash: hash }
          : { readable: true, data: dataOf(this.names, label, order, code, amount), contentHash: hash },
      keyId: 'key',
      aheadMs,
      stampedMs: Date.now() + aheadMs,
      receivedMs: Date.now(),
    };
  }

  /** As the callback endpoint does once a message is authentic. */
  async #route(message: Message): Promise<Routing> {
    const { api } = this.#site;
    const repeated = await routeRepeat(api, message);
    if (repeated !== null) return repeated;
    try {
      return await inTransaction(api, (client) => route(client, message, seal));
    } catch (error) {
      if ((error as { code?: unknown }).code !== '23505') throw error;
      return inTransaction(api, (client) => route(client, message, seal));
    }
  }

  /** Signals the deposit's workflow about its payment; every other callback gets a case, which parks good money. */
  async #raise(callback: NonNullable<Routing['signal']>): Promise<void> {
    const { api, worker } = this.#site;
    const order = this.names.orders.indexOf(callback.externalOrderNumber);
    if (callback.receipt === 'first') {
      this.#heard.set(order, paymentOf(callback));
    } else {
      const { workflowId, reason } = (await openOwnCase(api, callback.id))!;
      const { data } = callback;
      const waits = reason === 'SECOND_CODE' || reason === 'DEPOSIT_FINAL';
      if (waits && data !== null && (await findPosting(api, data.transactionCode)) === null) {
        const facts = { callback: data, receivedAt: callback.receivedAt.toISOString(), expiresAt: null };
        const isGood = judge(settingsOf(order), orderOf(this.names, order), facts).kind === 'credit';
        if (isGood) await this.#again(() => parkCase({ pool: worker, sealTrust, log }, workflowId));
      }
    }
    await markRaised(api, callback.id, callback.receipt !== 'first');
  }

  async provide(order: number): Promise<string> {
    await placeOrder(this.#site.owner, this.names, [order]);
    return 'provided';
  }

  async endWindow(order: number): Promise<string> {
    const number = this.names.orders[order]!;
    await byHand(
      this.#site.owner,
      'update engine.deposit set expires_at = clock_timestamp() where external_order_number = $1 and expires_at > clock_timestamp()',
      [number],
    );
    await recordState(this.#site.worker, log, number, 'EXPIRED');
    // Times are compared in milliseconds.
    await sleep(3);
    return 'over';
  }

  async close(order: number): Promise<string> {
    const found = await this.#again(() => close(this.#site.worker, this.names.orders[order]!, 'UNPAID', null));
    if (found === null) return 'closed';
    return 'settled' in found ? 'settled' : 'paid';
  }

  /** `acts`: the workflow waits for the result; otherwise it is a retry whose result is lost. */
  async machine(order: number, acts: boolean, manner: 'once' | 'twice' | 'lost'): Promise<string> {
    const { worker } = this.#site;
    const payment = this.#heard.get(order)!;
    const asked = orderOf(this.names, order);
    const row = (await findDeposit(this.#site.api, asked.externalOrderNumber))!;
    const { receivedAt, inboxId, ...callback } = payment;
    const expiresAt = row.expiresAt?.toISOString() ?? null;
    const verdict = judge(settingsOf(order), asked, { callback, receivedAt, expiresAt });
    const review = {
      externalOrderNumber: asked.externalOrderNumber,
      inboxId,
      late: verdict.late,
      workflowId: depositWorkflowId(asked.externalOrderNumber),
      payment,
    };
    let reason = verdict.kind === 'credit' ? null : verdict.reason;
    let conflict: string | null = null;
    if (!acts || reason === null) {
      const item = {
        inboxId,
        deposit: asked.externalOrderNumber,
        wallet: asked.wallet,
        transactionCode: payment.transactionCode,
        amount: payment.transactionAmount,
        currencyCode: payment.currencyCode,
        paymentPrice: payment.paymentPrice,
        late: verdict.late,
        workflowId: review.workflowId,
        receivedAt,
      };
      const run = () => this.#again(() => credit({ pool: worker, post: this.#site.credit, log }, item));
      if (manner === 'lost') await run();
      const result = manner === 'twice' ? (await Promise.all([run(), run()]))[1] : await run();
      if (!acts) return result.kind === 'credited' ? 'credited' : 'nothing';
      if (result.kind === 'credited') return 'credited';
      if (result.kind === 'unbound') return 'settled';
      conflict = result.reason;
    }
    const why = (conflict ?? reason) as Parameters<typeof recordReview>[1]['reason'];
    const recorded = await this.#again(() =>
      recordReview({ pool: worker, sealTrust, log }, { ...review, reason: why, detail: '', park: why === 'LATE' }),
    );
    reason = null;
    if ('binds' in recorded) return 'settled';
    this.#tally.count('given to people', why);
    return 'review';
  }

  #memory(workflowId: string): Memory {
    const held = this.#cases.get(workflowId) ?? { proposal: null, confirmed: null, concluded: 0 };
    this.#cases.set(workflowId, held);
    return held;
  }

  async #open(label: string): Promise<CaseRow | null> {
    const inboxId = this.index.inbox[label];
    return inboxId === undefined ? null : findOpenCase(this.#site.api, inboxId);
  }

  /** The case as its workflow sees it: never older than a decision whose end the workflow has received. */
  async #held(label: string, workflowId: string): Promise<{ readonly found: CaseRow | null; readonly memory: Memory }> {
    const memory = this.#memory(workflowId);
    for (;;) {
      const before = memory.concluded;
      const found = await this.#open(label);
      if (memory.concluded === before) return { found, memory };
    }
  }

  #statedFacts(facts: Facts | null): StatedFacts | null {
    if (facts === null) return null;
    return {
      transactionCode: this.names.codes[facts.code]!,
      amount: String(facts.amount),
      currencyCode: 'CNY',
      paymentPrice: String(Math.round(facts.amount * PRICE * 100) / 100),
      statementLine: null,
    };
  }

  /** Null: the table rejects the step. */
  async #write(step: Parameters<typeof insertDecision>[1]): Promise<string | null> {
    try {
      return (await insertDecision(this.#site.api, step)).id;
    } catch (error) {
      const { code, message } = error as { code?: string; message: string };
      if (!/^P0E3[1-4]$/.test(code ?? '')) throw error;
      this.#tally.count('step refused by the table', message);
      return null;
    }
  }

  #untaken(fault: string): string {
    this.#tally.count('step refused by the workflow', fault);
    return 'not taken';
  }

  async propose(label: string, n: number, proposal: Omit<Proposal, 'withdrawn' | 'answer'>): Promise<string> {
    const found = await this.#open(label);
    if (found === null) return 'not taken';
    const { by, decision, keep, to, beside, facts } = proposal;
    const body = {
      decision,
      keep,
      toDeposit: to === null ? null : this.names.orders[to]!,
      beside: beside === null ? null : (this.index.postings.get(beside) ?? '1'),
      reason: 'compared with the statement',
    };
    const about = { workflowId: found.workflowId, operator: PEOPLE[by]! };
    const id = await this.#write({ ...about, step: 'propose', ...body, facts: this.#statedFacts(facts) });
    if (id === null) return 'not taken';
    this.#steps.set(n, id);
    const { found: now, memory } = await this.#held(label, found.workflowId);
    if (now?.workflowId !== found.workflowId) return this.#untaken('case_closed');
    const said = { decisionId: id, operator: PEOPLE[by]!, ...body };
    const fault = proposalFault({ ...now, open: memory.confirmed === null, proposal: memory.proposal }, said);
    if (fault !== null) return this.#untaken(fault);
    memory.proposal = { ...said, n };
    const { stands } = await recordProposal(this.#site.worker, log, found.workflowId, id, said);
    if (!stands) throw new Error(`proposal ${id} is written down and is not found`);
    return 'taken';
  }

  async withdraw(label: string, n: number, by: number): Promise<string> {
    const found = await this.#open(label);
    const proposal = this.#steps.get(n);
    if (found === null || proposal === undefined) return 'not taken';
    const about = { workflowId: found.workflowId, operator: PEOPLE[by]! };
    const id = await this.#write({ ...about, step: 'withdraw', proposal, reason: 'thought again' });
    if (id === null) return 'not taken';
    const memory = this.#memory(found.workflowId);
    if (memory.confirmed !== null || memory.proposal?.n !== n) return this.#untaken('case_closed');
    memory.proposal = null;
    await recordProposal(this.#site.worker, log, found.workflowId, null);
    return 'taken';
  }

  async confirm(
    label: string,
    n: number,
    by: number,
    facts: Facts | null,
    kill: Kill,
    cut: Cut | null,
  ): Promise<string> {
    const found = await this.#open(label);
    const proposal = this.#steps.get(n);
    if (found === null || proposal === undefined) return 'not taken';
    const about = { workflowId: found.workflowId, operator: PEOPLE[by]! };
    const step = { ...about, step: 'confirm', proposal, reason: null, facts: this.#statedFacts(facts) } as const;
    const id = await this.#write(step);
    if (id === null) return 'not taken';
    const { found: now, memory } = await this.#held(label, found.workflowId);
    if (now?.workflowId !== found.workflowId) return this.#untaken('case_closed');
    const state = { ...now, open: memory.confirmed === null, proposal: memory.proposal };
    const fault = confirmationFault(state, { decisionId: id, proposalId: proposal, operator: PEOPLE[by]! });
    if (fault !== null) return this.#untaken(fault);
    memory.confirmed = { label, item: { workflowId: found.workflowId, proposalId: proposal, confirmationId: id } };
    return this.#carryOut(memory, kill, cut);
  }

  /** The worker is back: repeats the interrupted activity. */
  async resume(label: string): Promise<string> {
    const held = [...this.#cases.values()].find(({ confirmed }) => confirmed?.label === label)!;
    return this.#carryOut(held, 0, null);
  }

  async #carryOut(memory: Memory, kill: Kill, cut: Cut | null): Promise<string> {
    const { item } = memory.confirmed!;
    const { decisions, worker } = this.#site;
    let pool: pg.Pool = decisions;
    if (kill === 1) pool = killedAfter(decisions, 1);
    else if (cut !== null) pool = cutAt(decisions, cut.statement, cut.before);
    let answer: DecisionAnswer;
    try {
      answer = await this.#again(async () => {
        const now = pool;
        if (kill !== 1) pool = decisions;
        return decide({ pool: now, sealTrust, log }, item);
      }, kill === 1);
    } catch (error) {
      if (kill !== 1 || !isLost(error)) throw error;
      return 'killed';
    }
    // A signal to a dead worker is lost.
    if (kill === 2) return 'killed';
    memory.concluded += 1;
    memory.confirmed = null;
    memory.proposal = null;
    if (answer.kind === 'refused') {
      this.#tally.count('decision refused', answer.refusal);
      await recordProposal(worker, log, item.workflowId, null);
    }
    this.carried.push({ item, answer });
    return { decided: 'decided', withdrawn: 'goes on', refused: 'refused' }[answer.kind];
  }

  /** `order`: doubts the credit of that deposit; null: the last decision of a closed case, or the posting. */
  async doubt(label: string, order: number | null): Promise<string> {
    const { api, owner } = this.#site;
    const inboxId = this.index.inbox[label]!;
    const { rows } = await owner.query<{ id: string }>(
      `select v.workflow_id as id from engine.review_case v where v.callback = $1 and v.closed_at is not null order by v.opened_at desc limit 1`,
      [inboxId],
    );
    const callback = (await findCallback(api, inboxId))!;
    const own = await findPosting(api, callback.data?.transactionCode ?? '');
    const closed = rows[0] === undefined ? { postingId: own! } : { case: rows[0].id };
    const by = order === null ? closed : { externalOrderNumber: this.names.orders[order]! };
    const doubted = await this.#again(() => openDoubt(api, proofFor('alice'), by, 'the customer says so')).catch(
      nothingToDoubt,
    );
    if (doubted === null) return 'open already';
    if (doubted.inboxId !== inboxId) throw new Error(`${label} was doubted, and it is ${doubted.inboxId}`);
    return doubted.opened ? 'opened' : 'open already';
  }

  /** A decision that was carried out returns the same forever, whatever followed. */
  async askAgain(which: number): Promise<string> {
    const { item, answer } = this.carried[which % this.carried.length]!;
    const now = await this.#again(() => decide({ pool: this.#site.decisions, sealTrust, log }, item));
    if (!isDeepStrictEqual(now, JSON.parse(JSON.stringify(answer)))) {
      throw new Error(`answered ${JSON.stringify(answer)} at first, and now ${JSON.stringify(now)}`);
    }
    return 'the same';
  }
}

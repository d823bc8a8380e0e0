import type pg from 'pg';
import { crashPoint } from '../config/crash.ts';
import { type CaseRow, findCase, findNewestCredit, recordParked } from '../database/cases.ts';
import { findCarried, listDecisions, recordCarried } from '../database/decisions.ts';
import { findDeposit } from '../database/deposits.ts';
import { inTransaction } from '../database/pool.ts';
import { type Decision, restOf, type Standing } from '../domain/decision.ts';
import { conclude } from './conclude.ts';
import { park } from './park.ts';
import { type Proven, prove, refuseForeignCode, type Refusal, Refused } from './proof.ts';

/** A confirmed decision. The rows are named and not quoted: what they say is read again where the money moves. */
export interface DecisionItem {
  readonly workflowId: string;
  readonly proposalId: string;
  readonly confirmationId: string;
}

/**
 * `decided`: the case is closed; `postingId` is null where no money moved; `settled`: see `Concluded` of the workflow's
 * messages. `withdrawn`: the money is in suspense, for the next decision of the same case.
 */
export type DecisionAnswer =
  | {
      readonly kind: 'decided';
      readonly decision: Decision;
      readonly postingId: string | null;
      readonly decidedBy: string;
      readonly settled?: { readonly postingId: string; readonly transactionCode: string | null };
      readonly elsewhere?: true;
    }
  | {
      readonly kind: 'withdrawn';
      readonly postingId: string;
      readonly decidedBy: string;
      readonly standing: Standing;
    }
  | { readonly kind: 'refused'; readonly refusal: Refusal; readonly detail: string; readonly standing?: Standing };

/**
 * Carries a confirmed decision out: first the money onto the books where it is not, then everything else, in two
 * transactions with one posting each (docs/ledger.md#locks). Killed between the two it leaves money in suspense and the
 * case open, which is true. Idempotent: what was carried out answers first, whatever came after it. Database errors pass
 * through; the outcome may then be unknown, so call again. `isGenuine`: whether the case's inbox row is one that the API
 * wrote; no other is credited.
 */
export async function decide(pool: pg.Pool, item: DecisionItem, isGenuine: IsGenuine): Promise<DecisionAnswer> {
  if (!isRowId(item.proposalId) || !isRowId(item.confirmationId)) {
    return { kind: 'refused', refusal: 'not_written', detail: 'no rows are named' };
  }
  const bringInGenuine: Work = async (client, found, proven) => {
    if (proven.decision === 'credit' && !(await isGenuine(client, found.workflowId))) {
      throw new Refused('not_possible', 'its inbox row bears no seal of the API: nobody knows who wrote it');
    }
    return bringIn(client, found, proven);
  };
  const early = await inTransaction(pool, (client) => attempt(client, item, bringInGenuine));
  if (early !== null) return early;
  crashPoint('decide.betweenTx');
  return (await inTransaction(pool, (client) => attempt(client, item, carryOut)))!;
}

export type IsGenuine = (client: pg.ClientBase, workflowId: string) => Promise<boolean>;

type Work = (client: pg.ClientBase, found: CaseRow, proven: Proven) => Promise<DecisionAnswer | null>;

/** Locks, proves, works; a refusal is written down as what the proposal came to. Null: goes on in the next transaction. */
async function attempt(client: pg.ClientBase, item: DecisionItem, work: Work): Promise<DecisionAnswer | null> {
  await lock(client, item);
  const before = await findCarried<DecisionAnswer>(client, item.workflowId, item.proposalId);
  if (before?.confirmation === item.confirmationId) return before.answer;
  // A proposal comes to something once; whoever tells an old one again has nothing to confirm.
  if (before !== null) return { kind: 'refused', refusal: 'unproven', detail: 'the proposal was carried out before' };
  try {
    const found = await findCase(client, item.workflowId);
    if (found === null) throw new Refused('not_written', `there is no case ${item.workflowId}`);
    if (found.closedAt !== null) return alreadyDecided(found, item);
    const proven = await prove(client, found, await listDecisions(client, item.workflowId), item);
    const answer = await work(client, found, proven);
    if (answer !== null) await record(client, item, answer);
    return answer;
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    const standing = (await findCase(client, item.workflowId))?.standing;
    const answer = {
      kind: 'refused' as const,
      refusal: error.refusal,
      detail: error.message,
      ...(standing === undefined ? {} : { standing }),
    };
    if (error.refusal !== 'not_written' && error.refusal !== 'case_closed') await record(client, item, answer);
    return answer;
  }
}

const record = (client: pg.ClientBase, item: DecisionItem, answer: DecisionAnswer) =>
  recordCarried(client, {
    proposal: item.proposalId,
    confirmation: item.confirmationId,
    outcome: answer.kind,
    posting: answer.kind === 'refused' ? null : answer.postingId,
    answer,
  });

/**
 * What the database itself refused for the decision's own sake, in a transaction that is gone; or, `unproven`, what is not
 * signed by who took the steps.
 */
export async function recordRefused(
  pool: pg.Pool,
  item: DecisionItem,
  detail: string,
  refusal: 'not_possible' | 'unproven' = 'not_possible',
): Promise<DecisionAnswer> {
  return (await inTransaction(pool, (client) =>
    attempt(client, item, async () => {
      throw new Refused(refusal, detail);
    }),
  ))!;
}

/** The case, then the deposits it can touch by number: the one order of every path. */
async function lock(client: pg.ClientBase, { workflowId, proposalId }: DecisionItem): Promise<void> {
  await client.query('select from engine.review_case where workflow_id = $1 for no key update', [workflowId]);
  await client.query(
    `select from engine.deposit where external_order_number in (
       select c.external_order_number from engine.review_case v join engine.callback c on c.id = v.callback where v.workflow_id = $1
       union select to_deposit from engine.decision where id = $2)
      order by external_order_number for no key update`,
    [workflowId, proposalId],
  );
}

const isRowId = (id: string): boolean => /^[1-9]\d{0,17}$/.test(id);

/** A case that was decided before what was carried out was written down. */
function alreadyDecided(found: CaseRow, item: DecisionItem): DecisionAnswer {
  if (found.proposal?.decisionId !== item.proposalId) throw new Refused('case_closed', 'the case was decided before');
  return { kind: 'decided', decision: found.decision!, postingId: found.posting, decidedBy: found.decidedBy! };
}

/** First transaction: money that is to go to a wallet and is not booked yet goes into suspense. */
async function bringIn(client: pg.ClientBase, found: CaseRow, proven: Proven): Promise<null> {
  if (proven.decision !== 'credit' || (found.standing !== 'nothing' && found.standing !== 'unreadable')) return null;
  // Before the code is used up: what the next transaction would refuse for certain.
  const stands = await findNewestCredit(client, (proven.toDeposit ?? found.deposit)!);
  if (stands !== proven.beside) throw creditedMeanwhile(stands);
  const { facts } = proven;
  const money = facts === null ? found : { ...found, ...facts };
  if (facts !== null) await refuseForeignCode(client, found, facts);
  const parked = await park(client, money);
  if (parked === null) throw new Refused('code_stands', 'the transaction code stands in the ledger');
  await recordParked(client, found.workflowId, parked);
  return null;
}

/** Second transaction: one posting, the deposit, the case, and the word to the outside. */
async function carryOut(client: pg.ClientBase, found: CaseRow, proven: Proven): Promise<DecisionAnswer> {
  const postingId = await move(client, found, proven);
  const decidedBy = proven.actor;
  const after = (await findCase(client, found.workflowId))!;
  if (postingId !== null && (after.standing === 'withdrawn' || after.standing === 'parked')) {
    await client.query('update engine.review_case set parked = $2, proposal = null where workflow_id = $1', [
      found.workflowId,
      postingId,
    ]);
    return { kind: 'withdrawn', postingId, decidedBy, standing: after.standing };
  }
  const settled = await conclude(client, found, proven, postingId);
  const decided = { kind: 'decided' as const, decision: proven.decision, postingId, decidedBy };
  const elsewhere = proven.decision === 'credit' && (proven.toDeposit ?? found.deposit) !== found.deposit;
  return {
    ...decided,
    ...(settled === null ? {} : { settled }),
    ...(elsewhere ? { elsewhere } : {}),
  };
}

/** The posting of a decision, or null when it moves nothing. */
async function move(client: pg.ClientBase, found: CaseRow, proven: Proven): Promise<string | null> {
  const { decision, keep, beside, actor, reason } = proven;
  const key = `after:${found.tip}`;
  const by = [found.workflowId, actor, reason];
  switch (decision) {
    case 'credit': {
      const to = await findDeposit(client, (proven.toDeposit ?? found.deposit)!);
      if (to === null) throw new Refused('not_possible', `there is no deposit ${proven.toDeposit}`);
      return post(client, 'select outcome, id from ledger.release($1, $2, $3, $4, 0, $5, $6, $7, $8, $9)', [
        key,
        found.tip,
        to.externalOrderNumber,
        to.wallet,
        ...by,
        beside,
        proven.onlyOrdered ? restOf(to.mtcAmount, found.amount)! : null,
      ]);
    }
    case 'reverse':
      return found.standing === 'withdrawn'
        ? giveBack(client, key, found.tip, by)
        : undo(client, key, found.tip, keep, by);
    case 'reject':
      if (found.standing === 'parked') return giveBack(client, key, found.tip, by);
      return found.standing === 'withdrawn' ? undo(client, key, found.tip, false, by, beside) : null;
    case 'restore':
      return undo(client, key, found.tip, false, by, beside);
  }
}

const undo = (
  client: pg.ClientBase,
  key: string,
  tip: string | null,
  keep: boolean,
  by: readonly string[],
  beside: string | null = null,
) =>
  post(client, 'select outcome, id from ledger.reverse($1, $2, $3, $4, $5, $6, $7)', [key, tip, keep, ...by, beside]);

const giveBack = (client: pg.ClientBase, key: string, tip: string | null, by: readonly string[]) =>
  post(client, 'select outcome, id from ledger.give_back($1, $2, $3, $4, $5)', [key, tip, ...by]);

async function post(client: pg.ClientBase, call: string, values: readonly unknown[]): Promise<string> {
  const { rows } = await client.query<{ outcome: string; id: string | null }>(call, [...values]);
  // A chain is a list and its tip was read under the case's lock: what stands in the way is the deposit's slot.
  if (rows[0]!.outcome === 'conflict') throw creditedMeanwhile(rows[0]!.id);
  return rows[0]!.id!;
}

const creditedMeanwhile = (stands: string | null): Refused =>
  new Refused(
    'credited_meanwhile',
    stands === null
      ? 'the credit that the proposal names does not stand any more'
      : `posting ${stands} stands in the wallet of this deposit: two people may credit beside it, naming it`,
  );

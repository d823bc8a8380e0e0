import { setTimeout as sleep } from 'node:timers/promises';
import {
  type Client,
  WorkflowNotFoundError,
  WorkflowUpdateFailedError,
  WorkflowUpdateRPCTimeoutOrCancelledError,
} from '@temporalio/client';
import { ApplicationFailure } from '@temporalio/common';
import type pg from 'pg';
import { type CaseRow, findCase, findNewestCredit } from '../database/queries/cases.ts';
import {
  insertDecision,
  type NewDecision,
  refuseStep,
  type VerifiedSignature,
  type StatedFacts,
  type WrittenStep,
} from '../database/queries/decisions.ts';
import { findDeposit } from '../database/queries/deposits.ts';
import { findSealed, isGenuine, type SealTrust, type SealVerdict, verdictOn } from '../providers/sealed-rows.ts';
import type { SignedStep } from '../domain/signed-step.ts';
import {
  DECISION_FAULTS,
  type Decision,
  type DecisionFault,
  entersWallet,
  needsTwo,
  type DecisionAnswer,
} from '../domain/decision.ts';
import { signalSettled } from './signal-workflow.ts';
import { confirm, lookAgain, propose, withdraw } from '../workflows/messages.ts';
import { type SignatureTrust, operatorKeyOf } from '../config/keys/operator-keys.ts';
import type { ProvenCaller } from '../database/queries/api-keys.ts';
import { mayUse } from '../database/queries/api-keys.ts';
import { UNSIGNED } from '../contract/errors.ts';
import { RequestRefused } from './refusal.ts';
import type { LimitPerKey } from './admission-control.ts';
import { isPlain } from '../domain/ids.ts';

export interface DecideDependencies {
  readonly pool: pg.Pool;
  readonly client: Client;
  readonly limitPerKey: LimitPerKey;
  /** With what the seals of inbox rows are verified. */
  readonly sealTrust: () => SealTrust;
  /** With what people's steps are verified. */
  readonly signatures: SignatureTrust;
}

/** How long an update may take before the caller is told that it is under way. */
const ANSWER_WITHIN_MS = 8_000;

/** Who asks, and what proves it to the database. `wallets` null: not limited to some. */
export type Operator = Pick<ProvenCaller, 'name' | 'wallets' | 'proof'>;

/** The case if this operator may see it. Throws {@link RequestRefused} `not_found` for every other. */
export async function visibleCase(pool: pg.Pool, operator: Operator, workflowId: string): Promise<CaseRow> {
  const found = await findCase(pool, workflowId);
  if (found === null || !mayUse(operator, found.wallet ?? ''))
    throw new RequestRefused('not_found', `no case ${workflowId}`);
  return found;
}

/** What the seals of the cases' inbox rows say, by the row. */
export async function verdictsOn(
  { pool, sealTrust }: Pick<DecideDependencies, 'pool' | 'sealTrust'>,
  cases: readonly CaseRow[],
): Promise<Map<string, SealVerdict>> {
  const rows = await findSealed(
    pool,
    cases.map(({ inboxId }) => inboxId),
  );
  return new Map([...rows].map(([id, row]) => [id, verdictOn(sealTrust(), row)]));
}

/** Whether nobody knows who wrote the row of a case. */
async function isForged(deps: DecideDependencies, found: CaseRow): Promise<boolean> {
  return !isGenuine((await verdictsOn(deps, [found])).get(found.inboxId)!);
}

export interface ProposeBody {
  readonly decision: Decision;
  readonly reason: string;
  readonly keep: boolean;
  readonly toDeposit: string | null;
  /** The newest credit of the deposit that gets the money, as the operator was shown it. */
  readonly beside: string | null;
  /** The wallet gets what was ordered, and the rest of what was received stays in suspense. */
  readonly onlyOrdered: boolean;
  /** What the operator reads in the statement, where the callback cannot be read. */
  readonly facts: StatedFacts | null;
}

/** What the operator's own device adds to a step: both, or neither. */
export interface StepSignature {
  readonly signature?: Buffer | undefined;
  readonly nonce?: string | undefined;
}

/**
 * Each step is written down first, in the operator's name, and then told to the case's workflow, which alone decides
 * whether it counts. Throws {@link RequestRefused} `decision_refused` with the fault as its code, or `unavailable` (the same
 * request may be repeated).
 */
export async function proposeDecision(
  deps: DecideDependencies,
  operator: Operator,
  found: CaseRow,
  { facts, signature, nonce, ...asked }: ProposeBody & StepSignature,
): Promise<void> {
  assertOpen(found);
  // The workflow was opened before there was such an order, and asks for its name.
  const appeared = found.reason === 'UNKNOWN_ORDER' && asked.decision === 'credit' ? found.deposit : null;
  const body = { ...asked, toDeposit: asked.toDeposit ?? appeared };
  if (body.decision === 'credit' && found.standing === 'elsewhere') throw refusal('code_stands');
  if (body.decision === 'credit' && (await isForged(deps, found))) throw refusal('decision_not_allowed');
  if (!isWhole(body)) throw refusal('decision_not_allowed');
  if (needsFacts(found, body.decision) !== (facts !== null)) throw refusal('facts_required');
  if (body.toDeposit !== null) await assertDeposit(deps.pool, operator, body.toDeposit);
  await assertBeside(deps.pool, found, body);
  const step = { step: 'propose', proposal: { ...body, operator: operator.name, signature: null } } as const;
  const signed = await verified(deps, operator, found, { ...step, reason: null, facts, signature, nonce });
  const written = await write(deps, operator, {
    workflowId: found.workflowId,
    step: 'propose',
    ...body,
    facts,
    signed,
  });
  const { beside, onlyOrdered, ...said } = body;
  await tell(deps, found, refused(deps, operator, written), () =>
    handleOf(deps, found).executeUpdate(propose, {
      args: [
        {
          decisionId: written.id,
          operator: operator.name,
          ...said,
          ...(beside === null ? {} : { beside }),
          ...(onlyOrdered ? { onlyOrdered } : {}),
        },
      ],
      updateId: updateIdOf(written),
    }),
  );
}

/** Returns what the decision came to; null: it is confirmed and still being carried out. Throws too when the books refuse. */
export async function confirmDecision(
  deps: DecideDependencies,
  operator: Operator,
  found: CaseRow,
  body: { readonly proposal: string; readonly facts: StatedFacts | null } & StepSignature,
): Promise<DecisionAnswer | null> {
  assertOpen(found);
  assertProposal(found, body.proposal);
  const { decision, beside, operator: proposer } = found.proposal!;
  if (needsFacts(found, decision) !== (body.facts !== null)) throw refusal('facts_required');
  if (proposer === operator.name && needsTwo(found, { beside })) throw refusal('same_operator');
  const step = { step: 'confirm', reason: null } as const;
  const signed = await verified(deps, operator, found, { ...body, ...step, proposal: found.proposal! });
  const written = await write(deps, operator, {
    ...step,
    workflowId: found.workflowId,
    proposal: body.proposal,
    facts: body.facts,
    signed,
  });
  const refuse = refused(deps, operator, written);
  const update = (await tell(deps, found, refuse, () =>
    handleOf(deps, found).startUpdate(confirm, {
      args: [{ decisionId: written.id, proposalId: body.proposal, operator: operator.name }],
      updateId: updateIdOf(written),
      waitForStage: 'ACCEPTED',
    }),
  ))!;
  const concluded = await outcomeWithin(deps, found, refuse, () => update.result());
  if (concluded?.kind === 'refused') {
    // As whoever holds the case in Temporal says.
    const { refusal: code, detail } = concluded;
    throw new RequestRefused('decision_refused', `not carried out: ${detail}`.slice(0, 1_000), {
      shownCode: isPlain(code) ? code : 'decision_refused',
    });
  }
  // A deposit that was settled hears of it at once; if it cannot, the relay tells it.
  if (found.deposit !== null) await signalSettled(deps, found.deposit).catch(() => undefined);
  return concluded;
}

export async function withdrawDecision(
  deps: DecideDependencies,
  operator: Operator,
  found: CaseRow,
  body: { readonly proposal: string; readonly reason: string } & StepSignature,
): Promise<void> {
  assertOpen(found);
  assertProposal(found, body.proposal);
  const { proposal, reason } = body;
  const step = { step: 'withdraw', reason } as const;
  const signed = await verified(deps, operator, found, { ...body, ...step, facts: null, proposal: found.proposal! });
  const written = await write(deps, operator, { ...step, workflowId: found.workflowId, proposal, signed });
  await tell(deps, found, refused(deps, operator, written), () =>
    handleOf(deps, found).executeUpdate(withdraw, {
      args: [{ decisionId: written.id, proposalId: body.proposal, operator: operator.name, reason: body.reason }],
      updateId: updateIdOf(written),
    }),
  );
}

/** Marks a step that the workflow did not take, or says that it counts all the same. */
const refused =
  ({ pool }: DecideDependencies, { proof }: Operator, step: WrittenStep) =>
  (fault: DecisionFault): Promise<boolean> =>
    refuseStep(pool, proof, step.id, fault);

const handleOf = ({ client }: DecideDependencies, found: CaseRow) =>
  client.workflow.getHandle(found.heldBy ?? found.workflowId);

/** Temporal remembers it for as long as the case runs, and ids of rows are given out again after a restore. */
const updateIdOf = ({ id, uid }: WrittenStep): string => `decision:${uid ?? id}`;

/** What the table itself refuses, under the case's lock: the step is not written. */
const REFUSED_BY_TABLE: Readonly<Record<string, DecisionFault>> = {
  P0E31: 'case_closed',
  P0E32: 'no_proposal',
  P0E33: 'other_proposal',
  P0E34: 'same_operator',
};

async function write(
  { pool, limitPerKey }: DecideDependencies,
  { proof }: Operator,
  step: NewDecision,
): Promise<WrittenStep> {
  try {
    return await limitPerKey(step.workflowId, () => insertDecision(pool, proof, step));
  } catch (error) {
    const fault = REFUSED_BY_TABLE[String((error as { code?: unknown }).code)];
    if ((error as { constraint?: unknown }).constraint === 'decision_nonce') throw unsigned('signature_used');
    if (fault === undefined) return refusedByProof(error);
    throw Object.assign(refusal(fault), { cause: error });
  }
}

const unsigned = (code: keyof typeof UNSIGNED) =>
  new RequestRefused('decision_refused', UNSIGNED[code], { shownCode: code });

/** The signature of a step, if it is one of this operator's over it; null: there is none, and none is asked for. */
async function verified(
  { pool, signatures }: DecideDependencies,
  operator: Operator,
  found: CaseRow,
  of: StepSignature & {
    readonly step: SignedStep['step'];
    readonly proposal: Omit<SignedStep['proposed'], 'wallet'> & { readonly signature: string | null };
    readonly reason: string | null;
    readonly facts: StatedFacts | null;
  },
): Promise<VerifiedSignature | null> {
  const { step, signature, nonce, proposal, reason, facts } = of;
  if (signature === undefined || nonce === undefined) {
    if (signatures.required) throw unsigned('signature_required');
    return null;
  }
  const { operator: proposer, decision, keep, toDeposit, beside, onlyOrdered } = proposal;
  const named = toDeposit === null ? null : await findDeposit(pool, toDeposit);
  const wallet = decision === 'credit' ? (named?.wallet ?? found.wallet) : null;
  const signed: SignedStep = {
    step,
    case: found.workflowId,
    contentHash: found.contentHash,
    amount: found.amount,
    proposed: {
      operator: proposer,
      decision,
      reason: proposal.reason,
      keep,
      toDeposit,
      wallet,
      beside,
      onlyOrdered,
    },
    proposalSignature: proposal.signature,
    reason,
    facts,
    nonce,
  };
  const signerKey = operatorKeyOf(signatures.keys, operator.name, signed, signature);
  if (signerKey === null) throw unsigned('signature_wrong');
  return { signature, signerKey, nonce: Buffer.from(nonce, 'base64url') };
}

/** What the database says of the key itself, which may have been revoked since the request was let through. */
const REFUSED_BY_PROOF: Readonly<Record<string, () => RequestRefused>> = {
  P0E30: () => new RequestRefused('not_found', 'no such case'),
  P0E35: () => new RequestRefused('unauthorized', 'the API key may not decide any more'),
  P0E36: () => new RequestRefused('not_found', 'no such credit, no such deposit, and no such closed case'),
  P0E37: () => new RequestRefused('unavailable', 'another case about this money was decided just now: repeat'),
};

/** Throws the {@link RequestRefused} that stands for a refusal of the database's, or the error itself. */
export function refusedByProof(error: unknown): never {
  const refused = REFUSED_BY_PROOF[String((error as { code?: unknown }).code)];
  throw refused === undefined ? error : Object.assign(refused(), { cause: error });
}

/** Crediting what cannot be read takes what each of two people reads in the statement, and nothing else does. */
const needsFacts = (found: CaseRow, decision: Decision): boolean =>
  decision === 'credit' && found.standing === 'unreadable';

/** Into a wallet: nothing stands there, or it is named as it stands. */
async function assertBeside(pool: pg.Pool, found: CaseRow, body: Omit<ProposeBody, 'facts'>): Promise<void> {
  const { decision, beside } = body;
  const to = decision === 'credit' ? (body.toDeposit ?? found.deposit) : found.backTo;
  const enters = entersWallet(found.standing, decision) && to !== null;
  const stands = enters ? await findNewestCredit(pool, to) : null;
  if (stands === beside) return;
  throw new RequestRefused(
    'decision_refused',
    stands === null
      ? 'no such credit stands in a wallet of the deposit: look again'
      : `${WORDS.credited_meanwhile} (posting ${stands})`,
    { shownCode: 'credited_meanwhile' },
  );
}

/** The table has no row for the others. */
const isWhole = ({ decision, keep, toDeposit, onlyOrdered }: Omit<ProposeBody, 'facts'>): boolean =>
  (!keep || decision === 'reverse') &&
  (toDeposit === null || decision === 'credit') &&
  (!onlyOrdered || (decision === 'credit' && toDeposit === null));

function assertOpen(found: CaseRow): void {
  if (found.closedAt !== null) throw refusal('case_closed');
}

/** What is certainly refused is not written down; whether the rest counts is the workflow's to say. */
function assertProposal(found: CaseRow, proposalId: string): void {
  if (found.proposal === null) throw refusal('no_proposal');
  if (found.proposal.decisionId !== proposalId) throw refusal('other_proposal');
}

async function assertDeposit(pool: pg.Pool, operator: Operator, externalOrderNumber: string): Promise<void> {
  const deposit = await findDeposit(pool, externalOrderNumber);
  if (deposit === null || !mayUse(operator, deposit.wallet))
    throw new RequestRefused('not_found', `no deposit ${externalOrderNumber}`);
}

const WORDS: Readonly<Record<DecisionFault, string>> = {
  case_closed: 'the case is decided, or a decision is being carried out',
  proposal_open: 'another proposal waits: confirm it or withdraw it first',
  no_proposal: 'there is no proposal to confirm or withdraw',
  other_proposal: 'another proposal waits by now: read it first',
  same_operator: 'above the review limit a second person has to confirm',
  decision_not_allowed: 'this cannot be decided here: see `allowed`; keep goes with reverse, toDeposit with credit',
  code_stands: 'the transaction code stands in the ledger: its money was posted already',
  reason_required: 'give a reason of 3 to 1000 characters',
  deposit_required: 'name the deposit whose wallet gets the money: toDeposit',
  credited_meanwhile:
    'another payment of this deposit stands in its wallet: two people may credit beside it, naming it as `beside`',
  facts_required: 'to credit what cannot be read, and only that, state the `facts` as you read them in the statement',
  not_written: 'the step is not in the table as it was told',
};

const refusal = (fault: DecisionFault) => new RequestRefused('decision_refused', WORDS[fault], { shownCode: fault });

/**
 * Faults that may pass: the workflow is asking whether somebody else's step was written down; or it knows another state of
 * the case than its row, because one of the two was restored. It is told to look, and asked again.
 */
const MAY_PASS: readonly DecisionFault[] = [
  'proposal_open',
  'no_proposal',
  'other_proposal',
  'decision_not_allowed',
  'code_stands',
];
const ASK_AGAIN_MS = [300, 1_000];

/**
 * Asks the workflow. A refused step is its answer; everything else means that Temporal or the worker is away. `refuse` marks
 * the step, or says that it counts all the same.
 */
async function tell<T>(
  deps: DecideDependencies,
  found: CaseRow,
  refuse: (fault: DecisionFault) => Promise<boolean>,
  ask: () => Promise<T>,
): Promise<T | undefined> {
  try {
    return await askOnce(deps, found, ask);
  } catch (error) {
    const fault = faultIn(error);
    if (fault === undefined) throw error;
    let last: unknown = error;
    for (const pauseMs of ASK_AGAIN_MS) {
      const lastFault = faultIn(last);
      if (lastFault === undefined || !MAY_PASS.includes(lastFault)) break;
      await handleOf(deps, found)
        .signal(lookAgain)
        .catch(() => undefined);
      await sleep(pauseMs);
      try {
        return await askOnce(deps, found, ask);
      } catch (again) {
        last = again;
      }
    }
    const refusedFor = faultIn(last);
    if (refusedFor !== undefined && (await refuse(refusedFor))) return undefined;
    throw last;
  }
}

const faultIn = (error: unknown): DecisionFault | undefined =>
  error instanceof RequestRefused && error.code === 'decision_refused'
    ? DECISION_FAULTS.find((known) => known === error.shownCode)
    : undefined;

async function askOnce<T>({ pool, client }: DecideDependencies, found: CaseRow, ask: () => Promise<T>): Promise<T> {
  try {
    return await client.withDeadline(Date.now() + ANSWER_WITHIN_MS, ask);
  } catch (error) {
    const cause = error instanceof WorkflowUpdateFailedError ? error.cause : undefined;
    const type = cause instanceof ApplicationFailure ? cause.type : undefined;
    const fault = DECISION_FAULTS.find((known) => known === type);
    if (fault !== undefined) throw Object.assign(refusal(fault), { cause: error });
    // Decided while we looked; if not, its workflow was not started yet or is gone, and the relay sees to that.
    const gone = error instanceof WorkflowNotFoundError;
    if (gone && (await findCase(pool, found.workflowId))?.closedAt instanceof Date) {
      throw Object.assign(refusal('case_closed'), { cause: error });
    }
    throw Object.assign(
      new RequestRefused(
        'unavailable',
        'the step is written down and nobody heard of it yet; look at the case, then repeat',
      ),
      { cause: error },
    );
  }
}

async function outcomeWithin(
  deps: DecideDependencies,
  found: CaseRow,
  refuse: (fault: DecisionFault) => Promise<boolean>,
  result: () => Promise<DecisionAnswer>,
): Promise<DecisionAnswer | null> {
  try {
    return (await tell(deps, found, refuse, result)) ?? null;
  } catch (error) {
    if (error instanceof RequestRefused && error.cause instanceof WorkflowUpdateRPCTimeoutOrCancelledError) return null;
    throw error;
  }
}

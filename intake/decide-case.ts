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
import type { ProposedStep, SignedStep } from '../domain/signed-step.ts';
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
import { mayUse, type ProvenCaller } from '../database/queries/api-keys.ts';
import { type ErrorCode, UNSIGNED } from '../contract/errors.ts';
import { RequestRefused } from './refusal.ts';
import type { LimitPerKey } from './admission-control.ts';
import { isPlain } from '../domain/ids.ts';

export interface DecideDependencies {
  readonly pool: pg.Pool;
  readonly client: Client;
  readonly limitPerKey: LimitPerKey;
  /** The keys that verify the seals of inbox rows. */
  readonly sealTrust: () => SealTrust;
  /** The keys that verify the signatures of operators' steps. */
  readonly signatures: SignatureTrust;
}

/**
 * The deadline of one call to the workflow, in ms. A confirmation that was accepted by then is still in progress; any
 * other step is `unavailable`.
 */
const ANSWER_WITHIN_MS = 8_000;

/** The caller, with the proof of the key for the database. `wallets` null: not limited to some. */
export type Operator = Pick<ProvenCaller, 'name' | 'wallets' | 'proof'>;

/** Returns the case if this operator may see it. Throws {@link RequestRefused} `not_found` otherwise. */
export async function visibleCase(pool: pg.Pool, operator: Operator, workflowId: string): Promise<CaseRow> {
  const found = await findCase(pool, workflowId);
  if (found === null || !mayUse(operator, found.wallet ?? ''))
    throw new RequestRefused('not_found', `no case ${workflowId}`);
  return found;
}

/** Verifies the seals of the cases' inbox rows. Returns the verdicts by the id of the inbox row. */
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

/** Whether the inbox row of a case has no genuine seal, so that its writer is unknown. */
async function isForged(deps: DecideDependencies, found: CaseRow): Promise<boolean> {
  return !isGenuine((await verdictsOn(deps, [found])).get(found.inboxId)!);
}

export interface ProposeBody extends Omit<ProposedStep, 'operator' | 'wallet'> {
  /** The facts in the provider's statement, where the callback cannot be read. */
  readonly facts: StatedFacts | null;
}

/** The signature that the operator's own device makes for a step, with its nonce: both, or neither. */
export interface StepSignature {
  readonly signature?: Buffer | undefined;
  readonly nonce?: string | undefined;
}

/**
 * Proposes a decision. Like every step it is stored first, in the operator's name, and then sent to the case's
 * workflow, which alone decides whether it counts. Throws {@link RequestRefused} `decision_refused` with the fault as
 * its code, or `unavailable`: the step is stored and may still count.
 */
export async function proposeDecision(
  deps: DecideDependencies,
  operator: Operator,
  found: CaseRow,
  { facts, signature, nonce, ...asked }: ProposeBody & StepSignature,
): Promise<void> {
  assertOpen(found);
  // The case was opened before the order existed, so its workflow needs the order number.
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

/**
 * Returns the result of the decision; null: it is confirmed and still being carried out. Throws also when the ledger
 * refuses.
 */
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
    // Code and detail are those of the workflow that holds the case, so they are limited here.
    const { refusal: code, detail } = concluded;
    throw new RequestRefused('decision_refused', `not carried out: ${detail}`.slice(0, 1_000), {
      shownCode: isPlain(code) ? code : 'decision_refused',
    });
  }
  // Signal a settled deposit at once. If that fails, the relay does it.
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

/** Marks a step that the workflow refused. Resolves true when the step counts all the same. */
const refused =
  ({ pool }: DecideDependencies, { proof }: Operator, step: WrittenStep) =>
  (fault: DecisionFault): Promise<boolean> =>
    refuseStep(pool, proof, step.id, fault);

const handleOf = ({ client }: DecideDependencies, found: CaseRow) =>
  client.workflow.getHandle(found.heldBy ?? found.workflowId);

/**
 * Temporal deduplicates updates by this id while the case runs. `uid` comes first: a restore reuses the ids of rows.
 */
const updateIdOf = ({ id, uid }: WrittenStep): string => `decision:${uid ?? id}`;

/** The faults that the table itself finds, under the case's lock, by SQLSTATE: the step is not stored. */
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
    throw refusal(fault, error);
  }
}

const unsigned = (code: keyof typeof UNSIGNED) =>
  new RequestRefused('decision_refused', UNSIGNED[code], { shownCode: code });

/**
 * Returns the signature of a step, verified; null: there is none and none is required. Throws {@link RequestRefused}
 * `signature_required` or `signature_wrong`.
 */
async function verified(
  { pool, signatures }: DecideDependencies,
  operator: Operator,
  found: CaseRow,
  of: StepSignature & {
    readonly step: SignedStep['step'];
    readonly proposal: Omit<ProposedStep, 'wallet'> & { readonly signature: string | null };
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

/** The refusals that depend on the key, by SQLSTATE: it may have been revoked since the request was admitted. */
const REFUSED_BY_PROOF: Readonly<Record<string, readonly [ErrorCode, string]>> = {
  P0E30: ['not_found', 'no such case'],
  P0E35: ['unauthorized', 'the API key may not decide any more'],
  P0E36: ['not_found', 'no such credit, no such deposit, and no such closed case'],
  P0E37: ['unavailable', 'another case about this money was decided just now: repeat'],
};

/** Throws the {@link RequestRefused} for a refusal by the database, or the error itself. */
export function refusedByProof(error: unknown): never {
  const refused = REFUSED_BY_PROOF[String((error as { code?: unknown }).code)];
  throw refused === undefined ? error : new RequestRefused(...refused, { cause: error });
}

/** Only a credit of an unreadable callback takes facts: each of two operators reads them in the statement. */
const needsFacts = (found: CaseRow, decision: Decision): boolean =>
  decision === 'credit' && found.standing === 'unreadable';

/**
 * Throws `credited_meanwhile` unless `beside` is the newest credit of the deposit that gets the money; null: it has
 * none, or the decision enters no wallet.
 */
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

/** Whether the options fit the decision; the table accepts no other rows. */
const isWhole = ({ decision, keep, toDeposit, onlyOrdered }: Omit<ProposeBody, 'facts'>): boolean =>
  (!keep || decision === 'reverse') &&
  (toDeposit === null || decision === 'credit') &&
  (!onlyOrdered || (decision === 'credit' && toDeposit === null));

function assertOpen(found: CaseRow): void {
  if (found.closedAt !== null) throw refusal('case_closed');
}

/** A step that is certainly refused is not stored. The workflow decides whether any other step counts. */
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

const refusal = (fault: DecisionFault, cause?: unknown) =>
  new RequestRefused('decision_refused', WORDS[fault], { shownCode: fault, cause });

/**
 * Faults that a retry may cure, after a signal to look at the row:
 * - the workflow is still checking whether another operator's step was stored;
 * - the workflow and the row know different states of the case, because one of the two was restored.
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
 * Sends a step to the workflow. Throws {@link RequestRefused}: the fault of a refused step, or `unavailable` when
 * Temporal or the worker is away. `refuse` marks the step. Undefined: the step was refused and counts all the same.
 */
async function tell<T>(
  deps: DecideDependencies,
  found: CaseRow,
  refuse: (fault: DecisionFault) => Promise<boolean>,
  ask: () => Promise<T>,
): Promise<T | undefined> {
  for (let tries = 0; ; tries += 1) {
    try {
      return await askOnce(deps, found, ask);
    } catch (error) {
      const [fault, pauseMs] = [faultIn(error), ASK_AGAIN_MS[tries]];
      if (fault === undefined) throw error;
      if (pauseMs === undefined || !MAY_PASS.includes(fault)) {
        if (await refuse(fault)) return undefined;
        throw error;
      }
      await handleOf(deps, found)
        .signal(lookAgain)
        .catch(() => undefined);
      await sleep(pauseMs);
    }
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
    if (fault !== undefined) throw refusal(fault, error);
    // The case was decided meanwhile. If not, its workflow was not started yet or is gone, and the relay starts one.
    const gone = error instanceof WorkflowNotFoundError;
    if (gone && (await findCase(pool, found.workflowId))?.closedAt instanceof Date) throw refusal('case_closed', error);
    const detail =
      'the step is stored and its case did not answer in time: it may still count; read the case, then repeat it';
    throw new RequestRefused('unavailable', detail, { cause: error });
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

import { randomBytes } from 'node:crypto';
import type { ReviewCase } from '../client/src/client.ts';
import { UsageError } from '../config/command-line.ts';
import { signStep } from '../config/keys/operator-keys.ts';
import type { Decision } from '../domain/decision.ts';
import { formatUnits, known, parseFiat, parseMtc } from '../domain/money.ts';
import type { ProposedStep, SignedFacts, SignedStep } from '../domain/signed-step.ts';
import { type StepSigner, type StepBody } from './reviews-terminal.ts';

/** A text as the step stores it: trimmed, and in Unicode NFC. */
const line = (text: unknown): string => String(text).normalize('NFC').trim();

interface Device {
  /** The private key as in its file, PKCS8 PEM. */
  readonly pem: string;
  /** Whether the operator wants to sign what he is shown. */
  readonly agrees: (shown: readonly string[]) => Promise<boolean>;
}

/**
 * Signs a step of the operator `name` on this device. It reads the case, shows the content to be signed, asks, and adds
 * signature and nonce to the body. The operator names the wallet of another deposit than the case's own; it is not
 * taken from the API.
 */
export const createSigner =
  (name: string, { pem, agrees }: Device): StepSigner =>
  async ({ client, id, step, body, wallet }) => {
    const found = await client.reviews.read(id);
    if (found.id !== id) throw new Error(`the API shows ${found.id}, and ${id} was asked for`);
    if (found.contentHash === undefined) throw new Error('this API knows no signatures: it is of an older version');
    const said = step === 'propose' ? proposedIn(found, name, body) : waitingIn(found, body);
    const proposed: ProposedStep = { ...said, wallet: walletOf(found, said, wallet) };
    const signed: SignedStep = {
      step,
      case: id,
      contentHash: found.contentHash,
      amount: found.transactionAmount,
      proposed,
      proposalSignature: step === 'propose' ? null : (found.proposal?.signature ?? null),
      reason: step === 'withdraw' ? line(body.reason) : null,
      facts: factsIn(body),
      nonce: randomBytes(16).toString('base64url'),
    };
    if (!(await agrees(shownOf(found, signed)))) return null;
    const toDeposit = step === 'propose' && proposed.toDeposit !== null ? { toDeposit: proposed.toDeposit } : {};
    return { ...body, ...toDeposit, signature: signStep(pem, signed).toString('base64url'), nonce: signed.nonce };
  };

function proposedIn(found: ReviewCase, operator: string, body: StepBody): Omit<ProposedStep, 'wallet'> {
  const decision = body.decision as Decision;
  // The case was opened before its order existed, so its workflow needs the order's name.
  const appeared =
    found.reason === 'UNKNOWN_ORDER' && decision === 'credit' && found.wallet !== null
      ? found.externalOrderNumber
      : null;
  return {
    operator,
    decision,
    reason: line(body.reason),
    keep: body.keep === true,
    toDeposit: body.toDeposit ?? appeared,
    beside: body.beside ?? null,
    onlyOrdered: body.onlyOrdered === true,
  };
}

function waitingIn({ proposal }: ReviewCase, body: StepBody): Omit<ProposedStep, 'wallet'> {
  if (proposal === null || proposal.id !== body.proposal) throw new Error('this proposal waits no more: look again');
  const { operator, decision, reason, keep, toDeposit, beside, onlyOrdered } = proposal;
  return { operator, decision, reason, keep, toDeposit, beside, onlyOrdered };
}

function walletOf(found: ReviewCase, said: Omit<ProposedStep, 'wallet'>, named: string | null): string | null {
  if (said.decision !== 'credit') return null;
  const isOwn = said.toDeposit === null || said.toDeposit === found.externalOrderNumber;
  if (named === null && !isOwn) throw new UsageError(`--wallet is missing: whose wallet is that of ${said.toDeposit}?`);
  return named ?? found.wallet;
}

/** The facts in the canonical form of the API. */
function factsIn({ facts }: StepBody): SignedFacts | null {
  if (facts === undefined) return null;
  return {
    transactionCode: facts.transactionCode,
    amount: formatUnits(known(parseMtc(facts.amount), '--amount')),
    currencyCode: facts.currencyCode,
    paymentPrice: formatUnits(known(parseFiat(facts.paymentPrice), '--price')),
    statementLine: facts.statementLine ?? null,
  };
}

/** Characters that a terminal obeys instead of printing: they could show another wallet than the signed one. */
const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu;
const printable = (text: string): string =>
  text.replaceAll(UNPRINTABLE, (char) => `\\u{${char.codePointAt(0)!.toString(16)}}`);

/** The signed content, as lines for the operator. */
function shownOf(found: ReviewCase, { step, proposed: p, reason, facts }: SignedStep): string[] {
  const amount = found.transactionAmount ?? facts?.amount;
  return [
    `You sign: ${step} ${p.decision}${p.keep ? ', keep' : ''}${p.onlyOrdered ? ', only what was ordered' : ''}`,
    `  case     ${found.id}`,
    `  amount   ${amount === undefined ? 'not to be read' : `${amount} MTC`}`,
    `  paid     ${found.paymentPrice ?? facts?.paymentPrice ?? 'not to be read'} ${found.currencyCode ?? facts?.currencyCode ?? ''}`,
    `  code     ${found.transactionCode ?? facts?.transactionCode ?? 'not to be read'}`,
    `  wallet   ${p.wallet ?? 'as it stands'}${p.toDeposit === null ? '' : `, of deposit ${p.toDeposit}`}`,
    ...(p.beside === null ? [] : [`  beside   posting ${p.beside}`]),
    ...(step === 'propose' ? [] : [`  proposed by ${p.operator}`]),
    `  reason   ${p.reason}`,
    ...(reason === null ? [] : [`  withdrawn because ${reason}`]),
  ].map(printable);
}

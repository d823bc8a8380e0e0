import { isFinal } from '../../domain/deposit.ts';
import { DEPOSITS } from './world.ts';
import {
  ALLOWED,
  book,
  type Case,
  type Callback,
  codeOf,
  creditByMachine,
  type Facts,
  inWallet,
  move,
  newest,
  type Place,
  type Proposal,
  type Reference,
  standingOf,
  tipOf,
} from './reference.ts';

/**
 * The effect of each command on the reference. At a `yield` another command may run: each stretch is one transaction of
 * the engine, or one turn of a workflow. The returned word is the caller's result.
 */
export type Play = (ref: Reference) => Generator<void, string>;

/** No other command can run in between. */
const inOneTurn = (turn: (ref: Reference) => string): Play =>
  function* (ref) {
    yield* [];
    return turn(ref);
  };

export type Manner = 'fresh' | 'ahead' | 'stale' | 'before order' | 'reflected' | 'waited';

export interface Delivery {
  readonly label: string;
  readonly order: number;
  readonly code: string | null;
  readonly amount: number;
  readonly manner: Manner;
}

/** Why a callback is not bound; null: it is. The gravest reason first. */
function reasonAgainst(ref: Reference, { order, code, manner }: Delivery): string | null {
  const deposit = ref.deposits[order]!;
  if (code === null) return 'UNREADABLE';
  if (manner === 'reflected') return 'REFLECTED';
  if (manner === 'ahead') return 'STAMP_AHEAD';
  if (deposit.bound !== null) return ref.callbacks[deposit.bound]!.code === code ? 'OTHER_CONTENT' : 'SECOND_CODE';
  if (isFinal(deposit.state)) return 'DEPOSIT_FINAL';
  if (manner === 'stale') return 'STALE';
  return manner === 'before order' ? 'STAMP_BEFORE_ORDER' : null;
}

const isGood = ({ amount }: Callback): boolean => amount >= 4500 && amount <= 5000;

export const receive = (message: Delivery): Play =>
  function* (ref) {
    const { label, order, code, amount, manner } = message;
    const deposit = ref.deposits[order]!;
    if (manner === 'waited') {
      // Hours pass before its receipt, not during it.
      if (!deposit.known && Object.values(ref.callbacks).some((one) => one.order === order)) ref.aged.push(order);
      yield;
    }
    if (ref.callbacks[label]?.acked) return 'acknowledged';
    const callback = (ref.callbacks[label] ??= {
      order,
      code,
      amount,
      late: deposit.over,
      early: !deposit.known,
      acked: false,
      reviewed: false,
    });
    if (!deposit.known && !ref.aged.includes(order)) return 'unavailable';
    callback.acked = true;
    const reason = deposit.known ? reasonAgainst(ref, message) : 'UNKNOWN_ORDER';
    if (reason === null) {
      deposit.bound = label;
      if (deposit.flow === 'waiting') deposit.flow = 'heard';
      return 'acknowledged';
    }
    yield;
    ref.cases[label] ??= { open: true, doubt: false, proposal: null, confirmed: null };
    yield;
    if ((reason === 'SECOND_CODE' || reason === 'DEPOSIT_FINAL') && isGood(callback) && ref.cases[label].open)
      book(ref, code!, label, amount);
    callback.reviewed = true;
    return 'acknowledged';
  };

export const provide = (order: number): Play =>
  inOneTurn((ref) => {
    ref.deposits[order]!.known = true;
    return 'provided';
  });

export const endWindow = (order: number): Play =>
  inOneTurn((ref) => {
    const deposit = ref.deposits[order]!;
    deposit.over = true;
    if (deposit.state === 'AWAITING_PAYMENT') deposit.state = 'EXPIRED';
    return 'over';
  });

export const close = (order: number): Play =>
  inOneTurn((ref) => {
    const deposit = ref.deposits[order]!;
    if (deposit.state === 'CREDITED' || deposit.state === 'REJECTED') return 'settled';
    if (deposit.bound !== null) return 'paid';
    if (!isFinal(deposit.state)) deposit.state = 'UNPAID';
    return 'closed';
  });

/**
 * The workflow judges the signaled payment, and credits it or opens a case; later runs are retries whose result is
 * lost.
 */
export const machine = (order: number): Play =>
  function* (ref) {
    const deposit = ref.deposits[order]!;
    const label = deposit.bound!;
    const callback = ref.callbacks[label]!;
    const settings = DEPOSITS[order]!;
    const acts = deposit.flow === 'heard';
    const isLate = callback.late && settings.latePolicy === 'review';
    let answer = 'review';
    if (!acts || (isGood(callback) && !isLate)) {
      answer = credited(ref, order, label);
      if (answer === 'conflict') yield;
    }
    if (!acts) return answer === 'credited' ? 'credited' : 'nothing';
    deposit.flow = 'over';
    if (answer === 'credited' || answer === 'settled') return answer;
    if (deposit.state === 'CREDITED' || deposit.state === 'REJECTED') return 'settled';
    ref.cases[label] ??= { open: true, doubt: false, proposal: null, confirmed: null };
    deposit.state = 'IN_REVIEW';
    callback.reviewed = true;
    if (answer === 'review' && isLate && isGood(callback)) book(ref, callback.code!, label, callback.amount);
    return 'review';
  };

function credited(ref: Reference, order: number, label: string): 'credited' | 'conflict' | 'settled' {
  const { state } = ref.deposits[order]!;
  const callback = ref.callbacks[label]!;
  if (state === 'IN_REVIEW' || state === 'REJECTED' || callback.reviewed)
    return state === 'CREDITED' || state === 'REJECTED' ? 'settled' : 'conflict';
  if (state === 'CREDITED' && !ref.deposits[order]!.machine.includes(callback.code!)) return 'settled';
  return creditByMachine(ref, callback.code!, label, order);
}

const depositOf = (ref: Reference, label: string): number | null => {
  const { order } = ref.callbacks[label]!;
  return ref.deposits[order]!.known ? order : null;
};

export const needsTwo = (ref: Reference, label: string, { beside }: Pick<Proposal, 'beside'>): boolean => {
  const { code, amount, early } = ref.callbacks[label]!;
  const deposit = depositOf(ref, label);
  const limit = deposit === null || early ? 0 : DEPOSITS[deposit]!.reviewLimit;
  return code === null || beside !== null || amount > limit;
};

/** Whether the rules forbid it, for every operator. */
function isForbidden(ref: Reference, label: string, { decision, keep, to, beside }: Proposal): boolean {
  const standing = standingOf(ref, label);
  if (!ALLOWED[standing].includes(decision)) return true;
  if (keep && standing !== 'credited') return true;
  const enters = decision === 'credit' || decision === 'restore' || (decision === 'reject' && standing === 'withdrawn');
  if (beside !== null && !enters) return true;
  return decision === 'credit' && to === null && (standing === 'withdrawn' || depositOf(ref, label) === null);
}

export const propose = (label: string, n: number, proposal: Omit<Proposal, 'withdrawn' | 'answer'>): Play =>
  function* (ref) {
    const found = ref.cases[label]!;
    ref.proposals[n] = { ...proposal, withdrawn: false, answer: null };
    if (!found.open) return 'not taken';
    yield;
    if (found.confirmed !== null || found.proposal !== null || isForbidden(ref, label, ref.proposals[n]))
      return 'not taken';
    found.proposal = n;
    return 'taken';
  };

export const withdraw = (label: string, n: number): Play =>
  function* (ref) {
    const found = ref.cases[label]!;
    if (!found.open || found.proposal !== n) return 'not taken';
    ref.proposals[n]!.withdrawn = true;
    yield;
    if (!found.open || found.confirmed !== null || found.proposal !== n) return 'not taken';
    found.proposal = null;
    return 'taken';
  };

/** `kill`: the worker is killed after that transaction, and its result is lost. */
export const confirm = (label: string, n: number, by: number, facts: Facts | null, kill: 0 | 1 | 2): Play =>
  function* (ref) {
    const found = ref.cases[label]!;
    const proposal = ref.proposals[n];
    if (proposal === undefined || !found.open || found.proposal !== n) return 'not taken';
    if (needsTwo(ref, label, proposal) && proposal.by === by) return 'not taken';
    yield;
    if (!found.open || found.confirmed !== null || found.proposal !== n) return 'not taken';
    found.confirmed = { n, facts };
    yield;
    return yield* carryOut(ref, label, kill);
  };

export const resume = (label: string): Play =>
  function* (ref) {
    return yield* carryOut(ref, label, 0);
  };

function* carryOut(ref: Reference, label: string, kill: 0 | 1 | 2): Generator<void, string> {
  const found = ref.cases[label]!;
  const { n, facts } = found.confirmed!;
  const proposal = ref.proposals[n]!;
  if (proposal.answer === null) {
    proposal.answer = bringIn(ref, label, proposal, facts);
    if (proposal.answer === null) {
      if (kill === 1) return 'killed';
      yield;
      proposal.answer = finish(ref, label, proposal, facts);
    }
    if (kill === 2) return 'killed';
  }
  found.confirmed = null;
  if (found.proposal === n) found.proposal = null;
  return proposal.answer;
}

/** The obstacles to carrying it out, apart from the money. */
function isRefused(ref: Reference, label: string, proposal: Proposal, facts: Facts | null): boolean {
  if (proposal.withdrawn || isForbidden(ref, label, proposal)) return true;
  if (proposal.decision !== 'credit' || ref.callbacks[label]!.code !== null) return false;
  if (proposal.facts === null && facts === null) return standingOf(ref, label) === 'unreadable';
  return proposal.facts?.code !== facts?.code || proposal.facts?.amount !== facts?.amount;
}

function bringIn(ref: Reference, label: string, proposal: Proposal, facts: Facts | null): 'refused' | null {
  if (isRefused(ref, label, proposal, facts)) return 'refused';
  const standing = standingOf(ref, label);
  if (proposal.decision !== 'credit' || (standing !== 'nothing' && standing !== 'unreadable')) return null;
  const callback = ref.callbacks[label]!;
  if (newest(ref, proposal.to ?? depositOf(ref, label)!) !== proposal.beside) return 'refused';
  const code = callback.code ?? facts!.code;
  const isForeign = Object.values(ref.callbacks).some((other) => other.code === code && other.order !== callback.order);
  if (callback.code === null && isForeign) return 'refused';
  return book(ref, code, label, callback.code === null ? facts!.amount : callback.amount) ? null : 'refused';
}

function finish(ref: Reference, label: string, proposal: Proposal, facts: Facts | null): string {
  const found = ref.cases[label]!;
  if (isRefused(ref, label, proposal, facts)) return 'refused';
  const to = destination(ref, label, proposal);
  if (to !== null && !move(ref, codeOf(ref, label)!, to, inWallet(to) ? proposal.beside : null)) return 'refused';
  found.proposal = null;
  if (to === 'suspense') return 'goes on';
  conclude(ref, label, to, found);
  found.open = false;
  return 'decided';
}

/** Where the decision puts the money; null: nowhere. */
function destination(ref: Reference, label: string, { decision, keep, to }: Proposal): Place | null {
  const standing = standingOf(ref, label);
  const cameFrom = ref.money[codeOf(ref, label) ?? '']?.path.at(-2) ?? 'none';
  if (decision === 'credit') return `wallet:${to ?? depositOf(ref, label)!}`;
  if (decision === 'reverse') return keep ? 'suspense' : 'provider';
  if (decision === 'restore') return cameFrom;
  if (standing === 'parked') return 'provider';
  return standing === 'withdrawn' ? cameFrom : null;
}

/** The deposit's row afterwards: only its own payment ends it, or one that is credited while none is bound. */
function conclude(ref: Reference, label: string, to: Place | null, { doubt }: Case): void {
  const own = depositOf(ref, label);
  if (own === null) return;
  const deposit = ref.deposits[own]!;
  const isBound = deposit.bound === label;
  if (to === `wallet:${own}`) {
    if (isFinal(deposit.state) || (deposit.bound !== null && !isBound)) return;
    deposit.bound ??= label;
    deposit.state = 'CREDITED';
    deposit.posting = tipOf(ref, codeOf(ref, label)!);
  } else if (!doubt && isBound && !isFinal(deposit.state)) {
    const stands = newest(ref, own);
    deposit.state = stands === null ? 'REJECTED' : 'CREDITED';
    if (stands !== null) deposit.posting = stands;
  }
}

/** An operator doubts the money of a code, or the decision of a closed case. */
export const doubt = (label: string): Play =>
  inOneTurn((ref) => {
    const found = ref.cases[label];
    if (found?.open === true) return 'open already';
    const booked = ref.money[codeOf(ref, label) ?? ''] !== undefined;
    ref.cases[label] = { open: true, doubt: booked, proposal: null, confirmed: null };
    return 'opened';
  });

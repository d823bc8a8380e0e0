import type { Decision, Standing } from '../../domain/decision.ts';
import type { DepositState } from '../../domain/deposit.ts';

/**
 * The reference ledger: the required state of books and rows, specified once more and without SQL. Plain data, so that
 * it can be cloned.
 */

/** A wallet is named by the deposit whose payment is in it. */
export type Place = 'none' | 'suspense' | 'provider' | `wallet:${number}`;

/** The money of one transaction code: whose callback brought it onto the books, and every place it has been in. */
export interface Money {
  readonly owner: string;
  readonly amount: number;
  readonly path: Place[];
}

export interface Deposit {
  known: boolean;
  state: DepositState;
  /** The payment window has ended. */
  over: boolean;
  bound: string | null;
  /** The posting that the row shows. */
  posting: string | null;
  /** All codes that a machine ever credited to it. */
  readonly machine: string[];
  /** The credits in its wallet, oldest first: postings as `code#place`. */
  readonly standing: string[];
  /** Whether its workflow has received the payment, and still acts upon it. */
  flow: 'waiting' | 'heard' | 'over';
}

/** An inbox row. */
export interface Callback {
  readonly order: number;
  readonly code: string | null;
  readonly amount: number;
  readonly late: boolean;
  /** Received before its order existed: one operator never suffices for it. */
  readonly early: boolean;
  acked: boolean;
  reviewed: boolean;
}

export interface Facts {
  readonly code: string;
  readonly amount: number;
}

export interface Proposal {
  readonly by: number;
  readonly decision: Decision;
  readonly keep: boolean;
  readonly to: number | null;
  readonly beside: string | null;
  readonly facts: Facts | null;
  withdrawn: boolean;
  answer: string | null;
}

/** The case about one callback. `confirmed`: its workflow carries a confirmation out. */
export interface Case {
  open: boolean;
  doubt: boolean;
  proposal: number | null;
  confirmed: { readonly n: number; readonly facts: Facts | null } | null;
}

export interface Reference {
  readonly deposits: Deposit[];
  readonly money: Record<string, Money>;
  readonly callbacks: Record<string, Callback>;
  readonly cases: Record<string, Case>;
  readonly proposals: Record<number, Proposal>;
  /** Postings that two operators put beside another. */
  readonly besides: string[];
  /** Unknown orders that were claimed for the first time hours ago. */
  readonly aged: number[];
}

export const at = (money: Money | undefined): Place => money?.path.at(-1) ?? 'none';
export const inWallet = (place: Place): boolean => place.startsWith('wallet:');
export const depositIn = (place: Place): number => Number(place.slice('wallet:'.length));
export const newest = (ref: Reference, deposit: number): string | null =>
  ref.deposits[deposit]!.standing.at(-1) ?? null;
/** The newest posting of a code. */
export const tipOf = (ref: Reference, code: string): string => `${code}#${ref.money[code]!.path.length}`;

/** Brings money onto the books. False: the code is used already. */
export function book(ref: Reference, code: string, owner: string, amount: number): boolean {
  if (ref.money[code] !== undefined) return false;
  ref.money[code] = { owner, amount, path: ['suspense'] };
  return true;
}

/** Moves into a wallet only if it holds no credit, or beside its newest one. */
export function move(ref: Reference, code: string, to: Place, beside: string | null = null): boolean {
  const money = ref.money[code]!;
  if (inWallet(to) && newest(ref, depositIn(to)) !== beside) return false;
  const from = at(money);
  if (inWallet(from)) {
    const { standing } = ref.deposits[depositIn(from)]!;
    standing.splice(standing.indexOf(tipOf(ref, code)), 1);
  }
  money.path.push(to);
  if (!inWallet(to)) return true;
  ref.deposits[depositIn(to)]!.standing.push(tipOf(ref, code));
  if (beside !== null) ref.besides.push(tipOf(ref, code));
  return true;
}

/** A machine's credit goes from the provider to the wallet in one posting. */
export function creditByMachine(ref: Reference, code: string, owner: string, deposit: number): 'credited' | 'conflict' {
  const to = ref.deposits[deposit]!;
  if (to.machine.includes(code)) return 'credited';
  if (ref.money[code] !== undefined || to.machine.length > 0 || to.standing.length > 0) return 'conflict';
  ref.money[code] = { owner, amount: ref.callbacks[owner]!.amount, path: [`wallet:${deposit}`] };
  to.standing.push(tipOf(ref, code));
  to.machine.push(code);
  to.posting ??= tipOf(ref, code);
  to.state = 'CREDITED';
  return 'credited';
}

/** The code under which a callback's money is or would be booked; null: it is unreadable and not stated yet. */
export const codeOf = (ref: Reference, label: string): string | null =>
  ref.callbacks[label]!.code ?? Object.keys(ref.money).find((code) => ref.money[code]!.owner === label) ?? null;

export function standingOf(ref: Reference, label: string): Standing {
  const money = ref.money[codeOf(ref, label) ?? ''];
  if (money === undefined) return ref.callbacks[label]!.code === null ? 'unreadable' : 'nothing';
  if (money.owner !== label) return 'elsewhere';
  if (inWallet(at(money))) return 'credited';
  if (at(money) === 'provider') return 'returned';
  return inWallet(money.path.at(-2) ?? 'none') ? 'withdrawn' : 'parked';
}

/** The decisions that operators may take, by where the money is. */
export const ALLOWED: Readonly<Record<Standing, readonly Decision[]>> = {
  nothing: ['credit', 'reject'],
  parked: ['credit', 'reject'],
  credited: ['reject', 'reverse'],
  withdrawn: ['credit', 'reject', 'reverse', 'restore'],
  returned: ['reject', 'restore'],
  elsewhere: ['reject'],
  unreadable: ['credit', 'reject'],
};

import type { Decision } from '../../domain/decision.ts';
import type { DepositState } from '../../domain/deposit.ts';
import type { BuyCoinMode, Currency } from '../../domain/order.ts';
import type { CheckId, FindingKind } from './findings.ts';
import type { DrawOrder } from './sample-draw.ts';
import type { Period } from './roll-forward.ts';

/**
 * The report of an audit. Amounts are canonical decimals, MTC unless they are called fiat; times are RFC 3339 in UTC;
 * hashes are lower-case hexadecimal. Every list has a fixed order and at most {@link LISTED} entries, with the total
 * number beside it. So the same facts give the same report.
 */
export interface AuditReport {
  readonly version: 1;
  readonly audit: AuditFacts;
  readonly heads: { readonly ledger: ReportChainHead | null; readonly archive: ReportChainHead | null };
  readonly counts: Counts;
  readonly totals: readonly Total[];
  readonly days: readonly Day[];
  readonly states: readonly { readonly state: DepositState; readonly deposits: number }[];
  /** Trial balance, schedule and sample; null with `deposit`. */
  readonly books: Books | null;
  /** The evidence of the credits without findings. */
  readonly evidence: readonly { readonly basis: Basis; readonly credits: number; readonly credited: string }[];
  /** The operators who decided, each with the number of decisions. */
  readonly people: readonly Person[];
  readonly checks: readonly AuditCheck[];
  /** Number of findings of all checks. */
  readonly unexplained: number;
  readonly decisions: readonly DecisionFact[];
  readonly open: readonly OpenWork[];
  readonly bundles: readonly Bundle[];
  /** Facts that are explained and worth knowing, one sentence each. */
  readonly notes: readonly string[];
}

/** Maximum number of entries in each list. */
export const LISTED = 1_000;

export interface AuditFacts {
  readonly startedAt: string;
  readonly finishedAt: string;
  readonly scope: AuditScope;
  /** Version of the auditing program: package version, and the commit where it is known. */
  readonly codeVersion: string;
  /** sha256 of the workflow code that histories were replayed on. */
  readonly bundleHash: string;
  readonly temporal: ComparedWithTemporal;
  /** sha256 of database/catalogue.txt, which the database's catalogue was compared with. */
  readonly catalogueHash: string;
}

/** How many archived histories were compared with Temporal's own copies. */
export interface ComparedWithTemporal {
  /** Rows of the archive in scope. */
  readonly of: number;
  readonly asked: number;
  /** Number of those that Temporal still had. */
  readonly compared: number;
  /** The seed of the selection; null: all were asked for, or none. */
  readonly chosenBy: string | null;
}

/**
 * The owner of the books, the preparer, the period, and the selection. Null `since`, `sample` and `deposit`:
 * everything.
 */
export interface AuditScope extends Period {
  readonly entity: string | null;
  readonly preparer: string | null;
  /** Limits the histories to those that closed or were archived since, and open ones. */
  readonly since: string | null;
  /** In words: `1,000 deposits chosen at random, seed 7`. */
  readonly sample: string | null;
  readonly deposit: string | null;
}

export interface ReportChainHead {
  readonly n: number;
  readonly hash: string;
}

/** Numbers of audited items. */
export interface Counts {
  readonly deposits: number;
  readonly wallets: number;
  readonly histories: number;
  readonly callbacks: number;
  readonly postings: number;
  readonly cases: number;
  readonly decisions: number;
  readonly openDeposits: number;
  readonly openCases: number;
}

/** `credited`: MTC in wallets after reversals; `fiat`: the amount that customers paid for them. */
export interface Total {
  readonly currency: Currency;
  readonly mode: BuyCoinMode;
  readonly deposits: number;
  readonly credits: number;
  readonly credited: string;
  readonly fiat: string;
}

/** Deposits by the day of creation, in UTC. */
export interface Day {
  readonly day: string;
  readonly deposits: number;
  readonly credits: number;
  readonly credited: string;
}

/**
 * Kinds of evidence of a credit. `unsealed`: a callback from before seals, whose writer is not proved. `on_its_way`:
 * its workflow is not archived yet. `finding`: there is a finding about it, so it has no evidence.
 */
export const BASES = ['callback', 'two_people', 'one_person', 'unsealed', 'on_its_way', 'finding'] as const;
export type Basis = (typeof BASES)[number];

export interface Books {
  readonly accounts: readonly AccountMovement[];
  /** Debits less credits at the end of the period; 0 unless the books do not balance. */
  readonly differences: readonly { readonly asset: string; readonly difference: string }[];
  readonly schedule: ScheduleSums;
  /** The first lines of the schedule; all of them are in its files. */
  readonly lines: readonly ScheduleLine[];
  readonly drawn: Drawn | null;
}

/** An account in the period, or all wallets. MTC; an amount is positive on the account's normal side. */
export interface AccountMovement {
  /** `wallets` or the account's code. */
  readonly account: string;
  readonly kind: 'asset' | 'liability' | 'income' | 'expense';
  readonly asset: string;
  readonly opening: string;
  readonly came: string;
  readonly went: string;
  readonly closing: string;
  /** The stored balance; null: the period ends before now. */
  readonly kept: string | null;
}

/** Sums of all lines of the schedule. Amounts are increases of the accounts. */
export interface ScheduleSums {
  readonly lines: number;
  readonly wallets: string;
  readonly suspense: string;
  readonly fees: string;
  readonly clearing: string;
  /** Whether they equal the accounts' movements in the period. */
  readonly agrees: boolean;
  readonly flagged: { readonly lines: number; readonly wallets: string };
}

/** A posting as a line. Null: the posting has no such fact. */
export interface ScheduleLine {
  readonly line: number;
  readonly posting: string;
  readonly kind: string;
  readonly at: string;
  readonly deposit: string | null;
  readonly wallet: string | null;
  /** Signed: negative for a reversal. */
  readonly amount: string;
  readonly fee: string;
  readonly currency: string | null;
  readonly paid: string | null;
  readonly code: string | null;
  readonly evidence: Basis;
  readonly findings: readonly FindingKind[];
  readonly callback: string | null;
  readonly archiveRow: string | null;
  readonly block: string | null;
  readonly decidedBy: string | null;
}

/** The sample, and the population it was drawn from. */
export interface Drawn {
  readonly by: DrawOrder['by'];
  readonly seed: number;
  readonly asked: number;
  readonly ofLines: number;
  readonly ofAmount: string;
  /** For a draw by amount: the interval of the selection points, and the first point. */
  readonly interval: string | null;
  readonly start: string | null;
  readonly lines: readonly ScheduleLine[];
}

export interface Person {
  readonly name: string;
  readonly proposed: number;
  readonly confirmed: number;
  /** Number of the confirmed ones that the person had also proposed. */
  readonly alone: number;
  /** When the first key was issued with which this name may decide; null: there is no such key. */
  readonly since: string | null;
}

export interface AuditCheck {
  readonly id: CheckId;
  readonly title: string;
  readonly meaning: string;
  readonly checked: number;
  /** The unit of `checked`. */
  readonly unit: string;
  readonly findings: readonly Finding[];
  readonly found: number;
  /** The total number of findings of each kind. */
  readonly kinds: readonly { readonly kind: FindingKind; readonly found: number }[];
}

export interface Finding {
  readonly kind: FindingKind;
  /** A workflow id, `posting 12`, `callback 5`, `archive row 7`, `block 3`, `account wallet:w-1`, … */
  readonly where: string;
  /** The expected and the found value. */
  readonly detail: string;
  /** The payment at the place, as the tables say; null: none. Absent until the report is made. */
  readonly about?: FindingAbout | null;
}

/** The payment of a finding. Null: not known, or none. */
export interface FindingAbout {
  readonly deposit: string | null;
  /** The wallet that was credited, or that would be. */
  readonly wallet: string | null;
  readonly isPaid: boolean;
  /** MTC, with its sign. */
  readonly amount: string | null;
  readonly at: string | null;
}

/** A decision that was carried out. */
export interface DecisionFact {
  readonly workflowId: string;
  readonly decision: Decision;
  /** Null when the callback cannot be read. */
  readonly amount: string | null;
  /** The wallet that was credited or debited; null: none. */
  readonly wallet: string | null;
  readonly proposedBy: string;
  readonly confirmedBy: string;
  /** Whether the frozen limit asks for two. */
  readonly needsTwo: boolean;
  readonly reason: string;
  readonly decidedAt: string;
  /** The posting that carried it out; null: none was needed. */
  readonly posting: string | null;
}

/** A deposit that is not closed, or a case that waits for operators. */
export interface OpenWork {
  readonly workflowId: string;
  /** The deposit's state, or the case's reason. */
  readonly state: string;
  readonly isCase: boolean;
  readonly since: string;
  /** When a deposit closes by itself at the latest; null: operators decide. */
  readonly until: string | null;
  readonly wallet: string | null;
  /** The amount at stake, with its unit: `{ amount: '5000', unit: 'MTC' }`; null: not known. */
  readonly asked: { readonly amount: string; readonly unit: Currency | 'MTC' } | null;
}

/** Workflow code that decided something. */
export interface Bundle {
  readonly hash: string;
  readonly sdk: string;
  readonly version: string;
  readonly histories: number;
  /** `itself`: by a recorded exception, not on the code of today. */
  readonly replayedOn: 'today' | 'itself';
  readonly kept: boolean;
}

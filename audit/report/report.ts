import type { Decision } from '../../domain/decision.ts';
import type { DepositState } from '../../domain/deposit.ts';
import type { BuyCoinMode, Currency } from '../../domain/order.ts';
import type { CheckId, FindingKind } from './findings.ts';
import type { DrawOrder } from './sample-draw.ts';
import type { Period } from './roll-forward.ts';

/**
 * What an audit says. Amounts are canonical decimals, MTC unless they are called fiat; times are RFC 3339 in UTC;
 * hashes are lower-case hexadecimal. Every list is in an order of its own and at most {@link LISTED} long, with the
 * whole number beside it, so that the same facts give the same report.
 */
export interface AuditReport {
  readonly version: 1;
  readonly audit: AuditFacts;
  readonly heads: { readonly ledger: ReportChainHead | null; readonly archive: ReportChainHead | null };
  readonly counts: Counts;
  readonly totals: readonly Total[];
  readonly days: readonly Day[];
  readonly states: readonly { readonly state: DepositState; readonly deposits: number }[];
  /** Trial balance, schedule and sample; null: of a single deposit there are none. */
  readonly books: Books | null;
  /** On what the credits rest, as far as nothing was found about them. */
  readonly evidence: readonly { readonly basis: Basis; readonly credits: number; readonly credited: string }[];
  /** Those who decided, each with how often. */
  readonly people: readonly Person[];
  readonly checks: readonly AuditCheck[];
  /** Findings of all checks together; 0 is what an auditor wants to see. */
  readonly unexplained: number;
  readonly decisions: readonly DecisionFact[];
  readonly open: readonly OpenWork[];
  readonly bundles: readonly Bundle[];
  /** What is explained and should be known all the same, one sentence each. */
  readonly notes: readonly string[];
}

/** At most so many in each list. */
export const LISTED = 1_000;

export interface AuditFacts {
  readonly startedAt: string;
  readonly finishedAt: string;
  readonly scope: AuditScope;
  /** Of the program that audited: package version, and the commit where it is known. */
  readonly codeVersion: string;
  /** Of the workflow code that histories were replayed on. */
  readonly bundleHash: string;
  readonly temporal: ComparedWithTemporal;
  /** Of the lines that the database's catalogue was compared with: sha256 of database/catalogue.txt. */
  readonly catalogueHash: string;
}

/** How many archived histories were held against Temporal's own copies. */
export interface ComparedWithTemporal {
  /** Rows of the archive in scope. */
  readonly of: number;
  readonly asked: number;
  /** Those that Temporal still had. */
  readonly compared: number;
  /** The seed by which they were chosen; null: all were asked for, or none. */
  readonly chosenBy: string | null;
}

/** Who is audited, by whom, for which period; and what was left out: nothing where `since`, `sample`, `deposit` are null. */
export interface AuditScope extends Period {
  readonly entity: string | null;
  readonly preparer: string | null;
  /** What closed since this time, and what is still open. */
  readonly since: string | null;
  /** In words: `1,000 deposits chosen at random, seed 7`. */
  readonly sample: string | null;
  readonly deposit: string | null;
}

export interface ReportChainHead {
  readonly n: number;
  readonly hash: string;
}

/** How much was looked at. */
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

/** `credited`: MTC that stand in wallets after reversals; `fiat`: what customers paid for them. */
export interface Total {
  readonly currency: Currency;
  readonly mode: BuyCoinMode;
  readonly deposits: number;
  readonly credits: number;
  readonly credited: string;
  readonly fiat: string;
}

/** By the day of creation, in UTC. */
export interface Day {
  readonly day: string;
  readonly deposits: number;
  readonly credits: number;
  readonly credited: string;
}

/**
 * `unsealed`: on a callback from before seals, of which nothing proves who wrote it. `on_its_way`: its workflow is not
 * archived yet. `finding`: something was found about it, so nothing is said of it.
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

/** An account in the period, or all wallets; grows by what came. MTC, negative where it stands on its other side. */
export interface AccountMovement {
  /** `wallets` or the account's code. */
  readonly account: string;
  readonly kind: 'asset' | 'liability' | 'income' | 'expense';
  readonly asset: string;
  readonly opening: string;
  readonly came: string;
  readonly went: string;
  readonly closing: string;
  /** The kept balance; null: the period ends before now. */
  readonly kept: string | null;
}

/** Of all lines of the schedule. Amounts are what the accounts grew by. */
export interface ScheduleSums {
  readonly lines: number;
  readonly wallets: string;
  readonly suspense: string;
  readonly fees: string;
  readonly clearing: string;
  /** Whether those are what the accounts moved by in the period. */
  readonly agrees: boolean;
  readonly flagged: { readonly lines: number; readonly wallets: string };
}

/** A posting as a line. Null: it has none. */
export interface ScheduleLine {
  readonly line: number;
  readonly posting: string;
  readonly kind: string;
  readonly at: string;
  readonly deposit: string | null;
  readonly wallet: string | null;
  /** With its sign: negative when it takes back. */
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

/** What was drawn for people to look at, and from what. */
export interface Drawn {
  readonly by: DrawOrder['by'];
  readonly seed: number;
  readonly asked: number;
  readonly ofLines: number;
  readonly ofAmount: string;
  /** Of a selection by amount: the distance of the cuts, and where the first is. */
  readonly interval: string | null;
  readonly start: string | null;
  readonly lines: readonly ScheduleLine[];
}

export interface Person {
  readonly name: string;
  readonly proposed: number;
  readonly confirmed: number;
  /** Of the confirmed ones, those the person had proposed as well. */
  readonly alone: number;
  /** When the first key was made with which this name may decide; null: no key of that kind is on record. */
  readonly since: string | null;
}

export interface AuditCheck {
  readonly id: CheckId;
  readonly title: string;
  readonly meaning: string;
  readonly checked: number;
  /** What `checked` counts. */
  readonly unit: string;
  readonly findings: readonly Finding[];
  readonly found: number;
  /** The whole number of each kind that was found. */
  readonly kinds: readonly { readonly kind: FindingKind; readonly found: number }[];
}

export interface Finding {
  readonly kind: FindingKind;
  /** A workflow id, `posting 12`, `callback 5`, `archive row 7`, `block 3`, `account wallet:w-1`, … */
  readonly where: string;
  /** With what was expected and what was found. */
  readonly detail: string;
  /** What the tables say of the place; null: it is about no payment. Absent until the report is made. */
  readonly about?: FindingAbout | null;
}

/** Which payment a finding is about. Null: not known, or none. */
export interface FindingAbout {
  readonly deposit: string | null;
  /** Who was paid; where nobody was, who is to be paid. */
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
  /** Whose wallet got or lost the money; null: nobody's. */
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

/** A deposit that is not closed, or a case that waits for people. */
export interface OpenWork {
  readonly workflowId: string;
  /** The deposit's state, or the case's reason. */
  readonly state: string;
  readonly isCase: boolean;
  readonly since: string;
  /** When a deposit closes by itself at the latest; null: when people decide. */
  readonly until: string | null;
  readonly wallet: string | null;
  /** What is at stake, with its unit: `{ amount: '5000', unit: 'MTC' }`; null: not known. */
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

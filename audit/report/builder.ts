import type { DepositState } from '../../domain/deposit.ts';
import { DEPOSIT_STATES } from '../../domain/deposit.ts';
import { formatUnits } from '../../domain/money.ts';
import { BUY_COIN_MODES, type BuyCoinMode, CURRENCIES, type Currency } from '../../domain/order.ts';
import { CappedList, type CappedState, natural } from './capped-list.ts';
import { compareText } from '../../encoding/canonical-json.ts';
import { CHECK_IDS, type CheckId, CHECKS, FINDING_KINDS, type FindingKind, FINDINGS } from './findings.ts';
import {
  type AuditCheck,
  type AuditFacts,
  type AuditReport,
  BASES,
  type Basis,
  type Books,
  type Bundle,
  type Counts,
  type DecisionFact,
  type Finding,
  type FindingAbout,
  LISTED,
  type OpenWork,
} from './report.ts';
import { Sums, type SumsState } from './sums.ts';
import { allVisible, visible } from '../../encoding/visible.ts';

/** The counted facts of a deposit. */
export interface DepositFact {
  readonly currency: Currency;
  readonly mode: BuyCoinMode;
  readonly state: DepositState;
  readonly createdAt: string;
}

/** A credit of a deposit that is in a wallet and was not reversed. */
export interface CreditFact {
  /** The currency the customer paid in. */
  readonly currency: Currency;
  readonly mode: BuyCoinMode;
  /** When the deposit was created. */
  readonly createdAt: string;
  readonly amount: string;
  readonly fiat: string;
  readonly basis: Basis;
}

/** Counts that the audit adds by itself; the others follow from added facts. */
type Counted = 'wallets' | 'histories' | 'callbacks' | 'postings' | 'cases';

export interface BuilderState {
  readonly sums: SumsState;
  readonly findings: Readonly<Partial<Record<CheckId, CappedState<Finding>>>>;
  readonly places: CappedState<Place>;
  readonly decisions: CappedState<DecisionFact>;
  readonly open: CappedState<OpenWork>;
}

/** The place of a finding, as the tables name it. */
interface Place {
  readonly where: string;
  readonly kind: FindingKind;
}

/** Findings beyond this number are counted but are on no line of the schedule; a note says so. */
const PLACES = 100_000;

export interface Finish {
  readonly audit: AuditFacts;
  readonly heads: AuditReport['heads'];
  readonly books: Books | null;
  /** The payment of each finding, by its place. */
  readonly about?: ReadonlyMap<string, FindingAbout>;
}

/**
 * Collects the findings of an audit's parts, in any order and in constant memory. Builders of several processes, or
 * from before an interruption, are merged by {@link state} and {@link absorb}.
 */
export class ReportBuilder {
  readonly #sums = new Sums();
  readonly #findings = new Map<CheckId, CappedList<Finding>>();
  readonly #places = new CappedList<Place>(PLACES, ({ where, kind }) => `${natural(where)}\n${where}\n${kind}`);
  /** Not in the state: only the process that reads the tables adds these. */
  readonly #deciders = new Map<string, string>();
  readonly #decisions = new CappedList<DecisionFact>(LISTED, (one) => `${one.decidedAt} ${orderOf(one)}`);
  readonly #open = new CappedList<OpenWork>(LISTED, (one) => `${one.since} ${orderOf(one)}`);

  /** Adds to the number of checked items. */
  checked(check: CheckId, many = 1): void {
    this.#sums.add('checked', check, 'many', BigInt(many));
  }

  find(finding: Finding): void {
    const { check } = FINDINGS[finding.kind];
    this.#sums.add('found', check, finding.kind);
    this.#places.add({ where: finding.where, kind: finding.kind });
    this.#listOf(check).add(allVisible(finding));
  }

  findAll(findings: readonly Finding[]): void {
    for (const finding of findings) this.find(finding);
  }

  /** The places of the findings that will be listed. */
  listedPlaces(): string[] {
    return [...new Set([...this.#findings.values()].flatMap((list) => list.state().listed.map(({ where }) => where)))];
  }

  /**
   * Returns a function from places to the kinds of findings there so far; each kind once, in the order of the kinds.
   */
  findingsAt(): (places: readonly string[]) => readonly FindingKind[] {
    const { found, listed } = this.#places.state();
    if (found > listed.length)
      this.note(
        `Of ${found} findings ${listed.length} are shown on the lines of the schedule; the others are counted.`,
      );
    const kinds = new Map<string, Set<FindingKind>>();
    for (const { where, kind } of listed) kinds.set(where, (kinds.get(where) ?? new Set()).add(kind));
    return (places) => {
      const here = new Set(places.flatMap((place) => [...(kinds.get(place) ?? [])]));
      return here.size === 0 ? [] : FINDING_KINDS.filter((kind) => here.has(kind));
    };
  }

  count(what: Counted, many = 1): void {
    this.#sums.add('count', what, 'many', BigInt(many));
  }

  deposit({ currency, mode, state, createdAt }: DepositFact): void {
    const groups: readonly (readonly [string, string])[] = [
      ['total', `${currency} ${mode}`],
      ['day', createdAt.slice(0, 10)],
      ['state', state],
      ['count', 'deposits'],
    ];
    for (const [group, name] of groups) this.#sums.add(group, name, group === 'count' ? 'many' : 'deposits');
  }

  /** Adds a credit. A deposit has none, one or, when operators credited further payments, several. */
  credit({ currency, mode, createdAt, amount, fiat, basis }: CreditFact): void {
    const groups: readonly (readonly [string, string])[] = [
      ['total', `${currency} ${mode}`],
      ['day', createdAt.slice(0, 10)],
      ['basis', basis],
    ];
    for (const [group, name] of groups) {
      this.#sums.add(group, name, 'credits');
      this.#sums.addDecimal(group, name, 'credited', amount);
      this.#sums.addDecimal(group, name, 'fiat', fiat);
    }
  }

  /** Adds a decision that was carried out. */
  decision(fact: DecisionFact): void {
    const { proposedBy, confirmedBy } = fact;
    this.#sums.add('count', 'decisions', 'many');
    this.#sums.add('person', proposedBy, 'proposed');
    this.#sums.add('person', confirmedBy, 'confirmed');
    if (proposedBy === confirmedBy) this.#sums.add('person', confirmedBy, 'alone');
    this.#decisions.add(allVisible(fact));
  }

  /** Adds the time since which an operator may decide, RFC 3339; the earliest counts. */
  decider(name: string, since: string): void {
    const before = this.#deciders.get(name);
    if (before === undefined || since < before) this.#deciders.set(name, since);
  }

  open(work: OpenWork): void {
    this.#sums.add('count', work.isCase ? 'openCases' : 'openDeposits', 'many');
    this.#open.add(allVisible(work));
  }

  /** Adds the number of histories that this bundle decided. */
  bundle(bundle: Omit<Bundle, 'histories'>, histories = 1): void {
    const { hash, sdk, version, replayedOn, kept } = bundle;
    this.#sums.add('bundle', JSON.stringify({ hash, sdk, version, replayedOn, kept }), 'histories', BigInt(histories));
  }

  /** Adds a sentence about something that is explained and worth knowing. Equal sentences are listed once. */
  note(sentence: string): void {
    this.#sums.add('note', sentence, 'many');
  }

  /** Plain JSON, for another process or a file. */
  state(): BuilderState {
    return {
      sums: this.#sums.state(),
      findings: Object.fromEntries([...this.#findings].map(([check, list]) => [check, list.state()])),
      places: this.#places.state(),
      decisions: this.#decisions.state(),
      open: this.#open.state(),
    };
  }

  absorb(other: BuilderState): void {
    this.#sums.absorb(other.sums);
    for (const check of CHECK_IDS) {
      const list = other.findings[check];
      if (list !== undefined) this.#listOf(check).absorb(list);
    }
    this.#places.absorb(other.places);
    this.#decisions.absorb(other.decisions);
    this.#open.absorb(other.open);
  }

  /** Returns the report, without later additions. */
  finish({ audit, heads, books, about = new Map() }: Finish): AuditReport {
    const checks = CHECK_IDS.map((id) => this.#check(id, about));
    return {
      version: 1,
      audit: allVisible(audit),
      heads,
      counts: this.#counts(),
      totals: this.#totals(),
      days: this.#sums.names('day').map((day) => ({ day: visible(day), ...this.#amounts('day', day) })),
      states: this.#states(),
      books: allVisible(books),
      evidence: this.#evidence(),
      people: this.#people(),
      checks,
      unexplained: checks.reduce((sum, { found }) => sum + found, 0),
      decisions: this.#decisions.state().listed,
      open: this.#open.state().listed,
      bundles: this.#bundles(),
      notes: this.#sums.names('note').slice(0, LISTED).map(visible),
    };
  }

  #listOf(check: CheckId): CappedList<Finding> {
    const list = this.#findings.get(check) ?? new CappedList<Finding>(LISTED, keyOfFinding);
    this.#findings.set(check, list);
    return list;
  }

  #check(id: CheckId, about: ReadonlyMap<string, FindingAbout>): AuditCheck {
    const kinds = FINDING_KINDS.map((kind) => ({ kind, found: this.#sums.number('found', id, kind) }));
    const { found, listed } = this.#findings.get(id)?.state() ?? { found: 0, listed: [] };
    return {
      id,
      ...CHECKS[id],
      checked: this.#sums.number('checked', id, 'many'),
      findings: listed.map((finding) => ({ ...finding, about: allVisible(about.get(finding.where) ?? null) })),
      found,
      kinds: kinds.filter((kind) => kind.found > 0),
    };
  }

  #counts(): Counts {
    const count = (what: keyof Counts) => this.#sums.number('count', what, 'many');
    return {
      deposits: count('deposits'),
      wallets: count('wallets'),
      histories: count('histories'),
      callbacks: count('callbacks'),
      postings: count('postings'),
      cases: count('cases'),
      decisions: count('decisions'),
      openDeposits: count('openDeposits'),
      openCases: count('openCases'),
    };
  }

  #totals(): AuditReport['totals'] {
    return CURRENCIES.flatMap((currency) => BUY_COIN_MODES.map((mode) => ({ currency, mode })))
      .map(({ currency, mode }) => {
        const name = `${currency} ${mode}`;
        const fiat = formatUnits(this.#sums.value('total', name, 'fiat'));
        return { currency, mode, ...this.#amounts('total', name), fiat };
      })
      .filter(({ deposits, credits }) => deposits + credits > 0);
  }

  #amounts(group: string, name: string): { deposits: number; credits: number; credited: string } {
    return {
      deposits: this.#sums.number(group, name, 'deposits'),
      credits: this.#sums.number(group, name, 'credits'),
      credited: formatUnits(this.#sums.value(group, name, 'credited')),
    };
  }

  #states(): AuditReport['states'] {
    return DEPOSIT_STATES.map((state) => ({ state, deposits: this.#sums.number('state', state, 'deposits') })).filter(
      ({ deposits }) => deposits > 0,
    );
  }

  #evidence(): AuditReport['evidence'] {
    return BASES.map((basis) => ({
      basis,
      credits: this.#sums.number('basis', basis, 'credits'),
      credited: formatUnits(this.#sums.value('basis', basis, 'credited')),
    })).filter(({ credits }) => credits > 0);
  }

  #people(): AuditReport['people'] {
    const names = this.#sums.names('person').slice(0, LISTED);
    return names.map((name) => ({
      name: visible(name),
      proposed: this.#sums.number('person', name, 'proposed'),
      confirmed: this.#sums.number('person', name, 'confirmed'),
      alone: this.#sums.number('person', name, 'alone'),
      since: this.#deciders.get(name) ?? null,
    }));
  }

  #bundles(): readonly Bundle[] {
    const names = this.#sums.names('bundle').slice(0, LISTED);
    return names.map((name) => ({
      ...allVisible(JSON.parse(name) as Omit<Bundle, 'histories'>),
      histories: this.#sums.number('bundle', name, 'histories'),
    }));
  }
}

/** A key from all fields, so that two items with one key are equal. */
const orderOf = (one: { readonly workflowId: string }): string =>
  `${natural(one.workflowId)} ${JSON.stringify(Object.entries(one).toSorted(([a], [b]) => compareText(a, b)))}`;

const keyOfFinding = ({ kind, where, detail }: Finding): string =>
  `${natural(where)}\n${where}\n${String(FINDING_KINDS.indexOf(kind)).padStart(3, '0')}\n${detail}`;

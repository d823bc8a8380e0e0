import { createHash, generateKeyPairSync } from 'node:crypto';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ReportBuilder } from '../../../audit/report/builder.ts';
import { CHECK_IDS, FINDING_KINDS, type FindingKind } from '../../../audit/report/findings.ts';
import type { AuditReport, Books, Finding, ScheduleLine } from '../../../audit/report/report.ts';
import type { Finish } from '../../../audit/report/builder.ts';
import { type ReportSigningKey, reportSigningKey } from '../../../audit/report/sign.ts';
import { DEPOSIT_STATES, type DepositState } from '../../../domain/deposit.ts';
import { BUY_COIN_MODES, CURRENCIES } from '../../../domain/order.ts';

/** A report with every kind of content, made by the builder from invented facts; the same at every call. */

export interface SampleOptions {
  readonly deposits?: number;
  /** Lines of the schedule that are listed. */
  readonly lines?: number;
  /** From the first to the last deposit. */
  readonly days?: number;
  /** How many of each kind. */
  readonly findings?: Readonly<Partial<Record<FindingKind, number>>>;
}

const START_MS = Date.parse('2026-09-14T08:00:00Z');
const DAY_MS = 86_400_000;
export const hashOf = (text: string): string => createHash('sha256').update(text).digest('hex');
const at = (ms: number): string => new Date(ms).toISOString();

export function sampleReport(options: SampleOptions = {}): AuditReport {
  const lines = sampleLines.slice(0, options.lines ?? sampleLines.length);
  const drawn = options.lines === undefined ? sampleBooks.drawn : null;
  return finish(fill(new ReportBuilder(), options), { books: { ...sampleBooks, lines, drawn } });
}

export const finish = (builder: ReportBuilder, known: Partial<Pick<Finish, 'books' | 'about'>> = {}): AuditReport =>
  builder.finish({
    books: sampleBooks,
    ...known,
    audit: {
      startedAt: '2026-11-03T10:05:00.120Z',
      finishedAt: '2026-11-03T10:11:12.345Z',
      scope: {
        since: null,
        sample: null,
        deposit: null,
        from: null,
        to: null,
        entity: 'Example Exchange Ltd.',
        preparer: 'D. Auditor',
      },
      codeVersion: '0.6.0 (956d63d)',
      temporal: { of: 1_278, asked: 1_278, compared: 1_100, chosenBy: null },
      bundleHash: hashOf('bundle of today'),
      catalogueHash: 'c'.repeat(64),
    },
    heads: {
      ledger: { n: 18_213, hash: hashOf('ledger') },
      archive: { n: 20_004, hash: hashOf('archive') },
    },
  });

const sampleLines: readonly ScheduleLine[] = Array.from({ length: 1_000 }, (_, n) => ({
  line: n + 1,
  posting: String(n + 1),
  kind: n % 97 === 0 ? 'reversal' : 'credit',
  at: at(START_MS + n * 3_600_000),
  deposit: `order-${79_000 + n}`,
  wallet: n % 50 === 0 ? null : `wallet-${n % 300}`,
  amount: n % 97 === 0 ? '-4521.0625' : String(100 + n),
  fee: '0',
  currency: CURRENCIES[n % 3]!,
  paid: `${(100 + n) * 7}.2`,
  code: `AT${hashOf(String(n)).slice(0, 14).toUpperCase()}`,
  evidence: n % 41 === 0 ? 'finding' : n % 97 === 0 ? 'two_people' : 'callback',
  findings: n % 41 === 0 ? ['posting_differs', 'block_broken'] : [],
  callback: String(n + 5),
  archiveRow: String(n + 9),
  block: String(Math.floor(n / 10)),
  decidedBy: n % 97 === 0 ? 'alice.w+bob.k' : null,
}));

const sampleBooks: Books = {
  accounts: (
    [
      ['clearing:mtpay', 'asset'],
      ['wallets', 'liability'],
      ['suspense:mtpay', 'liability'],
      ['fees', 'income'],
    ] as const
  ).map(([account, kind]) => ({
    account,
    kind,
    asset: 'MTC',
    opening: '1000000',
    came: '599500',
    went: '4521.0625',
    closing: '1594978.9375',
    kept: '1594978.9375',
  })),
  differences: [{ asset: 'MTC', difference: '0' }],
  schedule: {
    lines: 1_015,
    wallets: '594978.9375',
    suspense: '0',
    fees: '0',
    clearing: '594978.9375',
    agrees: true,
    flagged: { lines: 25, wallets: '15000' },
  },
  lines: sampleLines,
  drawn: {
    by: 'amount',
    seed: 7,
    asked: 25,
    ofLines: 990,
    ofAmount: '599500',
    interval: '23980',
    start: '12.5',
    lines: sampleLines.filter(({ line }) => line % 40 === 3),
  },
};

export function fill(builder: ReportBuilder, { deposits = 1_260, days = 29, findings = {} }: SampleOptions = {}) {
  for (let n = 0; n < deposits; n += 1) addDeposit(builder, n, START_MS + Math.floor((n / deposits) * days * DAY_MS));
  for (let n = 0; n < 18; n += 1) addDecision(builder, n);
  addOpen(builder);
  addCounts(builder, deposits);
  for (const [kind, many] of Object.entries(findings) as [FindingKind, number][]) {
    for (let n = 0; n < many; n += 1) builder.find(sampleFinding(kind, n));
  }
  return builder;
}

/** Any state and amount; the usual ones more often. */
function addDeposit(builder: ReportBuilder, n: number, createdMs: number): void {
  const usual: readonly DepositState[] = ['CREDITED', 'CREDITED', 'CREDITED', 'CREDITED', 'UNPAID'];
  const state = n % 41 === 0 ? DEPOSIT_STATES[(n / 41) % DEPOSIT_STATES.length]! : usual[(n * 7) % usual.length]!;
  const whole = 100 + ((n * 7919) % 9_000);
  const deposit = {
    currency: CURRENCIES[n % 7 < 4 ? 0 : n % 7 < 6 ? 1 : 2],
    mode: BUY_COIN_MODES[n % 3 === 0 ? 1 : 0],
    createdAt: at(createdMs),
  };
  builder.deposit({ ...deposit, state });
  if (state !== 'CREDITED') return;
  builder.credit({
    ...deposit,
    amount: n % 5 === 0 ? `${whole}.0625` : String(whole),
    fiat: `${whole * 7}.2`,
    basis: n % 97 === 0 ? 'two_people' : n % 211 === 0 ? 'one_person' : 'callback',
  });
}

const PEOPLE = ['alice.w', 'bob.k', 'chen.l'] as const;

function addDecision(builder: ReportBuilder, n: number): void {
  const isSmall = n % 9 === 4;
  builder.decision({
    workflowId: n % 3 === 0 ? `deposit:order-${79_500 + n}` : `review:${4_100 + n}`,
    decision: n % 4 === 1 ? 'reject' : n === 14 ? 'reverse' : 'credit',
    amount: n === 9 ? null : isSmall ? '12.5' : String(1_000 + n * 211),
    wallet: n % 4 === 1 ? null : `wallet-${n * 13}`,
    proposedBy: PEOPLE[n % 3]!,
    confirmedBy: isSmall ? PEOPLE[n % 3]! : PEOPLE[(n + 1) % 3]!,
    needsTwo: !isSmall,
    reason:
      n % 4 === 1
        ? 'The provider says that the second transfer was returned to the customer on the same day.'
        : 'Paid late; the statement of the provider shows the transfer.',
    decidedAt: at(START_MS + (n + 2) * DAY_MS),
    posting: n % 4 === 1 ? null : `posting ${1_200 + n}`,
  });
}

function addOpen(builder: ReportBuilder): void {
  const states = ['AWAITING_PAYMENT', 'AWAITING_PAYMENT', 'EXPIRED', 'PLACEMENT_UNKNOWN'] as const;
  for (const [n, state] of states.entries()) {
    builder.open({
      workflowId: `deposit:order-${80_000 + n}`,
      state,
      isCase: false,
      since: at(START_MS + 28 * DAY_MS + n * 3_600_000),
      until: at(START_MS + 31 * DAY_MS + n * 3_600_000),
      wallet: `wallet-${n}`,
      asked: { amount: n % 2 === 0 ? '32551.2' : '5000', unit: n % 2 === 0 ? 'CNY' : 'MTC' },
    });
  }
  for (const [n, reason] of ['SECOND_CODE', 'UNREADABLE'].entries()) {
    builder.open({
      workflowId: `review:${4_200 + n}`,
      state: reason,
      isCase: true,
      since: at(START_MS + (26 + n) * DAY_MS),
      until: null,
      wallet: null,
      asked: n === 0 ? { amount: '640.5', unit: 'MTC' } : null,
    });
  }
}

function addCounts(builder: ReportBuilder, deposits: number): void {
  builder.count('wallets', Math.ceil(deposits / 3));
  builder.count('histories', deposits + 18);
  builder.count('callbacks', deposits + 40);
  builder.count('postings', deposits - 90);
  builder.count('cases', 20);
  for (const check of CHECK_IDS) builder.checked(check, deposits + check.length);
  const today = { sdk: '1.24.0', replayedOn: 'today', kept: true } as const;
  builder.bundle({ ...today, hash: hashOf('bundle of today'), version: '0.6.0' }, deposits - 200);
  builder.bundle({ ...today, hash: hashOf('bundle of before'), version: '0.5.1', replayedOn: 'itself' }, 218);
  builder.note('218 histories were replayed on the bundle that decided them: the wait before a review was shortened.');
  builder.note(
    'The names of payers were erased after 24h, as they have to be; nothing in this report depends on them.',
  );
}

const sampleFinding = (kind: FindingKind, n: number): Finding => ({
  kind,
  where: ['posting', 'callback', 'archive row', 'deposit:order-'][n % 4]! + (n % 4 === 3 ? n : ` ${n * 17}`),
  detail: `expected 4,521 MTC to wallet-${n}, found 4,512 MTC to wallet-${n + 1}; ${hashOf(`${kind} ${n}`)}`,
});

/** One of each kind, and of some more than the report lists. */
export const everyKind: Readonly<Record<FindingKind, number>> = Object.fromEntries(
  FINDING_KINDS.map((kind, n) => [kind, kind === 'entries_differ' ? 30 : 1 + (n % 3)]),
) as Record<FindingKind, number>;

export const newSigner = (isMachineOwn = false): ReportSigningKey =>
  reportSigningKey(generateKeyPairSync('ed25519').privateKey, isMachineOwn);

export const newDirectory = (): string => mkdtempSync(join(tmpdir(), 'audit-'));

const HOSTILE =
  '</style></title></textarea><script>fetch("http://127.0.0.1:1/")</script><img src=http://127.0.0.1:1/x onerror=alert(1)>"\' onload=x {}@import url(http://127.0.0.1:1/y); \u202Etxt\u0000\u2028';

/** Appends hostile text to every text in it; the original stays in front, so that all differ. */
export function hostile<T>(value: T): T {
  if (typeof value === 'string') return `${value}${HOSTILE}` as T;
  if (Array.isArray(value)) return value.map((item) => hostile<unknown>(item)) as T;
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, hostile<unknown>(item)])) as T;
}

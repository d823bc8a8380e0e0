import { describe, expect, test } from 'vitest';
import { ReportBuilder } from '../../../audit/report/builder.ts';
import { canonicalJson } from '../../../encoding/canonical-json.ts';
import { CHECKS, FINDING_KINDS, FINDINGS } from '../../../audit/report/findings.ts';
import { LISTED } from '../../../audit/report/report.ts';
import { everyKind, fill, finish, sampleReport } from './sample.ts';

describe('the builder', () => {
  test('adds up exactly: totals, days, states and evidence tell of the same credits', () => {
    const { totals, days, states, evidence, counts } = sampleReport();
    const units = (rows: readonly { readonly credited: string }[]) =>
      rows.reduce((sum, { credited }) => sum + BigInt(Math.round(Number(credited) * 10_000)), 0n);
    expect(units(totals)).toBe(units(days));
    expect(units(totals)).toBe(units(evidence));
    const sum = (rows: readonly { readonly deposits: number }[]) => rows.reduce((all, row) => all + row.deposits, 0);
    expect([sum(totals), sum(days), sum(states)]).toEqual([1_260, 1_260, 1_260]);
    expect(counts).toMatchObject({ deposits: 1_260, decisions: 18, openDeposits: 4, openCases: 2 });
    const builder = new ReportBuilder();
    const fact = { currency: 'CNY', mode: 'MtcAmount', state: 'CREDITED', createdAt: '2026-01-01T00:00:00Z' } as const;
    builder.deposit(fact);
    for (let n = 0; n < 3; n += 1)
      builder.credit({ ...fact, amount: '999999999999.00000001', fiat: '0.1', basis: 'callback' });
    expect(finish(builder).totals).toMatchObject([{ credits: 3, credited: '2999999999997.00000003', fiat: '0.3' }]);
  });

  test('gives the same report whatever the order, and from parts that were kept as text in between', () => {
    const many = { deposits: 40, findings: { ...everyKind, entries_differ: 3 * LISTED } };
    const whole = finish(fill(new ReportBuilder(), many));
    const facts: ((builder: ReportBuilder) => void)[] = whole.checks.flatMap(({ findings }) =>
      findings.map((finding) => (builder: ReportBuilder) => builder.find(finding)),
    );
    const forward = new ReportBuilder();
    const backward = new ReportBuilder();
    for (const add of facts) add(forward);
    for (const add of facts.toReversed()) add(backward);
    expect(finish(backward)).toEqual(finish(forward));

    const parts = [new ReportBuilder(), new ReportBuilder()];
    fill(parts[0]!, many);
    for (const add of facts) add(parts[1]!);
    const together = new ReportBuilder();
    for (const part of parts.toReversed()) together.absorb(JSON.parse(JSON.stringify(part.state())));
    for (const add of facts) add(parts[0]!);
    expect(finish(together)).toEqual(finish(parts[0]!));
  });

  test('keeps at most a thousand findings of a check, the first ones, and counts all of them', () => {
    const builder = new ReportBuilder();
    for (let n = 5_000; n > 0; n -= 1) {
      builder.find({ kind: 'entries_differ', where: `posting ${n}`, detail: 'expected it, found nothing' });
    }
    expect(builder.state().findings.ledger?.listed).toHaveLength(LISTED);
    const check = finish(builder).checks.find(({ id }) => id === 'ledger')!;
    expect(check.found).toBe(5_000);
    expect(check.kinds).toEqual([{ kind: 'entries_differ', found: 5_000 }]);
    expect(check.findings.map(({ where }) => where)).toEqual(
      Array.from({ length: LISTED }, (_, at) => `posting ${at + 1}`),
    );
    expect(finish(builder).unexplained).toBe(5_000);
  });

  test('spells out what cannot be seen, and cuts what nobody reads', () => {
    const builder = new ReportBuilder();
    builder.find({
      kind: 'posting_differs',
      where: 'posting 1\n\u202E',
      detail: `\u0000\uD800${'x'.repeat(1e6)}`,
    });
    const [finding] = finish(builder).checks.find(({ id }) => id === 'books')!.findings;
    expect(finding!.where).toBe('posting 1⟨U+000A⟩⟨U+202E⟩');
    expect(finding!.detail).toMatch(/^⟨U\+0000⟩⟨U\+D800⟩x+… \(cut, 1000002 characters\)$/);
    expect(finding!.detail.length).toBeLessThan(2_200);
    expect(() => canonicalJson(finish(builder))).not.toThrow();
  });

  test('says a note once, and counts the histories of a bundle together', () => {
    const builder = new ReportBuilder();
    const bundle = { hash: 'ab', sdk: '1', version: '1', replayedOn: 'today', kept: true } as const;
    for (let n = 0; n < 5; n += 1) builder.note('as it is');
    for (let n = 0; n < 5; n += 1) builder.bundle(bundle);
    expect(finish(builder)).toMatchObject({ notes: ['as it is'], bundles: [{ ...bundle, histories: 5 }] });
  });
});

test('every finding says what it means and what to do, in sentences', () => {
  expect(FINDING_KINDS.length).toBeGreaterThan(24);
  for (const kind of FINDING_KINDS) {
    const { title, means, todo } = FINDINGS[kind];
    expect(
      [title, means, todo].every((text) => /^[A-Z]/.test(text)),
      kind,
    ).toBe(true);
    expect(
      [means, todo].every((text) => text.endsWith('.')),
      kind,
    ).toBe(true);
  }
  const titles = [...Object.values(FINDINGS), ...Object.values(CHECKS)].map(({ title }) => title);
  expect(new Set(titles).size).toBe(titles.length);
});

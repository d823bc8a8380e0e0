import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  actorOf,
  allowedDecisions,
  type CaseState,
  confirmationFault,
  DECISIONS,
  entersWallet,
  isReason,
  needsTwo,
  type Proposal,
  proposalFault,
  restOf,
  STANDINGS,
  withdrawalFault,
} from '../../domain/decision.ts';

const proposal = (change: Partial<Proposal> = {}): Proposal => ({
  decisionId: '7',
  decision: 'credit',
  reason: 'stands in the statement',
  operator: 'alice',
  keep: false,
  toDeposit: null,
  ...change,
});
const state = (change: Partial<CaseState> = {}): CaseState => ({
  open: true,
  standing: 'nothing',
  deposit: 'A-1',
  amount: '5000',
  reviewLimit: '0',
  proposal: null,
  ...change,
});

describe('what can be decided', () => {
  it.each([
    ['nothing', ['credit', 'reject']],
    ['parked', ['credit', 'reject']],
    ['credited', ['reject', 'reverse']],
    ['withdrawn', ['credit', 'reject', 'reverse', 'restore']],
    ['returned', ['reject', 'restore']],
    ['elsewhere', ['reject']],
    ['unreadable', ['credit', 'reject']],
  ] as const)('where the books hold %s: %j', (standing, allowed) => {
    expect(allowedDecisions(standing)).toEqual(allowed);
    for (const decision of DECISIONS) {
      const fault = proposalFault(
        state({ standing }),
        proposal({ decision, toDeposit: decision === 'credit' ? 'B-1' : null }),
      );
      expect(fault === null, `${standing} ${decision}: ${fault}`).toBe(
        (allowed as readonly string[]).includes(decision),
      );
    }
  });

  it('a code that stands is told apart from what makes no sense', () => {
    expect(proposalFault(state({ standing: 'elsewhere' }), proposal())).toBe('code_stands');
    expect(proposalFault(state({ standing: 'credited' }), proposal())).toBe('decision_not_allowed');
  });

  it('every standing has its line above', () => {
    expect([...STANDINGS].filter((standing) => allowedDecisions(standing).length === 0)).toEqual([]);
    expect(STANDINGS).toHaveLength(7);
  });

  it('keep goes with reverse of a credit only: what lies in suspense already is kept or sent back', () => {
    const keeping = proposal({ decision: 'reverse', keep: true });
    for (const standing of STANDINGS) {
      const expected = standing === 'credited' ? null : 'decision_not_allowed';
      expect(proposalFault(state({ standing }), keeping), standing).toBe(expected);
    }
  });

  it('keep goes with reverse, and another deposit with credit', () => {
    expect(proposalFault(state(), proposal({ keep: true }))).toBe('decision_not_allowed');
    for (const decision of ['reject', 'reverse'] as const)
      expect(proposalFault(state({ standing: 'credited' }), proposal({ decision, keep: true })), decision).toBe(
        decision === 'reverse' ? null : 'decision_not_allowed',
      );
    expect(proposalFault(state(), proposal({ decision: 'reject', toDeposit: 'B-1' }))).toBe('decision_not_allowed');
    const doubted = state({ standing: 'credited' });
    expect(proposalFault(doubted, proposal({ decision: 'reverse', keep: true }))).toBeNull();
    expect(proposalFault(doubted, proposal({ decision: 'reverse', toDeposit: 'B-1' }))).toBe('decision_not_allowed');
  });

  it('a deposit has to be named where none is known, and where the money was taken out of one', () => {
    expect(proposalFault(state({ deposit: null }), proposal())).toBe('deposit_required');
    expect(proposalFault(state({ deposit: null }), proposal({ toDeposit: 'B-1' }))).toBeNull();
    expect(proposalFault(state({ standing: 'withdrawn' }), proposal())).toBe('deposit_required');
  });

  it('what goes back to where it was names no other deposit', () => {
    for (const decision of ['reject', 'reverse', 'restore'] as const) {
      const elsewhere = proposal({ decision, toDeposit: 'B-1' });
      expect(proposalFault(state({ standing: 'withdrawn' }), elsewhere), decision).toBe('decision_not_allowed');
    }
    const restored = proposal({ decision: 'restore' });
    expect(proposalFault(state({ standing: 'withdrawn', deposit: null }), restored)).toBeNull();
    expect(proposalFault(state({ standing: 'returned', deposit: null }), restored)).toBeNull();
  });

  it('what was ordered and no more goes with credit of the deposit that it claims', () => {
    for (const decision of ['reject', 'reverse', 'restore'] as const) {
      const standing = decision === 'reject' ? 'nothing' : 'withdrawn';
      const only = proposal({ decision, onlyOrdered: true });
      expect(proposalFault(state({ standing }), only), decision).toBe('decision_not_allowed');
      expect(proposalFault(state({ standing }), { ...only, onlyOrdered: false }), decision).toBeNull();
    }
    expect(proposalFault(state(), proposal({ onlyOrdered: true }))).toBeNull();
    const elsewhere = proposal({ onlyOrdered: true, toDeposit: 'B-1' });
    expect(proposalFault(state(), elsewhere)).toBe('decision_not_allowed');
  });

  it.each([
    ['5000', '5100.5', '100.5'],
    ['5000', '5000.00000001', '0.00000001'],
    ['5000', '5000', null],
    ['5000', '4999.99999999', null],
    [null, '5000', null],
    ['5000', null, null],
  ])('of an order of %s MTC, with %s received, there waits %s', (mtcAmount, amount, rest) => {
    expect(restOf(mtcAmount, amount)).toBe(rest);
  });

  it('one proposal waits at a time', () => {
    expect(proposalFault(state({ proposal: proposal() }), proposal({ decision: 'reject' }))).toBe('proposal_open');
  });
});

describe('beside a credit that stands', () => {
  /** The decisions that put money into a wallet, or may: returned money may have come from one. */
  const ENTERS = [
    ['nothing', 'credit'],
    ['parked', 'credit'],
    ['unreadable', 'credit'],
    ['withdrawn', 'credit'],
    ['withdrawn', 'reject'],
    ['withdrawn', 'restore'],
    ['returned', 'restore'],
  ];
  const PAIRS = STANDINGS.flatMap((standing) => allowedDecisions(standing).map((decision) => ({ standing, decision })));

  it.each(PAIRS)('$standing, $decision: named where money may enter a wallet, and nowhere else', (pair) => {
    const { standing, decision } = pair;
    const enters = ENTERS.some(([where, what]) => where === standing && what === decision);
    expect(entersWallet(standing, decision)).toBe(enters);
    const toDeposit = decision === 'credit' ? 'B-1' : null;
    const beside = proposal({ decision, toDeposit, beside: '12' });
    expect(proposalFault(state({ standing }), beside)).toBe(enters ? null : 'decision_not_allowed');
    expect(proposalFault(state({ standing }), { ...beside, beside: null })).toBeNull();
  });

  it('it takes two people whatever the amount and the limit', () => {
    const small = { amount: '1', reviewLimit: '5000' };
    const besides = proposal({ beside: '12' });
    expect(needsTwo(small)).toBe(false);
    expect(needsTwo(small, proposal())).toBe(false);
    expect(needsTwo(small, proposal({ beside: null }))).toBe(false);
    expect(needsTwo(small, besides)).toBe(true);
    const confirmed = (operator: string) =>
      confirmationFault(state({ ...small, proposal: besides }), { decisionId: '8', proposalId: '7', operator });
    expect(confirmed('alice')).toBe('same_operator');
    expect(confirmed('bob')).toBeNull();
  });
});

describe('a reason', () => {
  it.each(['abc', 'paid twice', '客户付了两次', 'x'.repeat(1000)])('%s', (text) => expect(isReason(text)).toBe(true));
  it.each(['', 'ab', '   ', ' a ', 'a\nb c', 'abc\u0000', 'abc\u202e', 'x'.repeat(1001)])('not %j', (text) => {
    expect(isReason(text)).toBe(false);
    expect(proposalFault(state(), proposal({ reason: text }))).toBe('reason_required');
  });
});

describe('T28: two people', () => {
  it.each([
    ['5000', '0', true],
    ['5000', '4999.99999999', true],
    ['5000', '5000', false],
    ['5000.00000001', '5000', true],
    ['0.00000001', '0', true],
    [null, '999999', true],
  ])('%s MTC with a limit of %s: %s', (amount, reviewLimit, two) => {
    expect(needsTwo({ amount, reviewLimit })).toBe(two);
    const confirmed = (operator: string) =>
      confirmationFault(state({ amount, reviewLimit, proposal: proposal() }), {
        decisionId: '8',
        proposalId: '7',
        operator,
      });
    expect(confirmed('alice')).toBe(two ? 'same_operator' : null);
    expect(confirmed('bob')).toBeNull();
  });

  it('are both named by the posting', () => {
    expect(actorOf('alice', 'bob')).toBe('alice+bob');
    expect(actorOf('alice', 'alice')).toBe('alice');
  });
});

describe('who confirms or withdraws', () => {
  it('means the proposal they have read', () => {
    const about = { decisionId: '9', proposalId: '6', operator: 'bob' };
    expect(confirmationFault(state({ proposal: proposal() }), about)).toBe('other_proposal');
    expect(withdrawalFault(state({ proposal: proposal() }), about)).toBe('other_proposal');
    expect(confirmationFault(state(), about)).toBe('no_proposal');
    expect(withdrawalFault(state({ proposal: proposal() }), { proposalId: '7' })).toBeNull();
  });
});

describe('whatever the case', () => {
  const anyState = fc.record({
    open: fc.boolean(),
    standing: fc.constantFrom(...STANDINGS),
    deposit: fc.option(fc.constant('A-1')),
    amount: fc.option(fc.constantFrom('1', '5000', '0.5')),
    reviewLimit: fc.constantFrom('0', '1', '4999', '5000'),
    proposal: fc.option(
      fc
        .record({ operator: fc.constantFrom('alice', 'bob'), beside: fc.constantFrom(undefined, null, '12') })
        .map(({ operator, beside }) => proposal({ operator, ...(beside === undefined ? {} : { beside }) })),
    ),
  });

  it('a closed one takes no step, and nobody confirms alone above the limit', () => {
    fc.assert(
      fc.property(anyState, fc.constantFrom('alice', 'bob'), (given, operator) => {
        const confirmed = confirmationFault(given, { decisionId: '8', proposalId: '7', operator });
        if (!given.open) {
          expect([proposalFault(given, proposal()), confirmed, withdrawalFault(given, { proposalId: '7' })]).toEqual([
            'case_closed',
            'case_closed',
            'case_closed',
          ]);
        }
        if (confirmed === null && needsTwo(given, given.proposal)) expect(given.proposal?.operator).not.toBe(operator);
      }),
      { numRuns: 2_000 },
    );
  });
});

describe('a text that nobody checked', () => {
  it.each([
    ['amount', () => needsTwo({ amount: 'x', reviewLimit: '0' })],
    ['review limit', () => needsTwo({ amount: '1', reviewLimit: 'x' })],
    ['amount', () => restOf('1', 'x')],
    ['mtcAmount', () => restOf('x', '1')],
  ])('is a defect that names it: %s %#', (name, call) => {
    expect(call).toThrow(new RangeError(`${name}: not a decimal number`));
  });
});

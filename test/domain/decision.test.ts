import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  actorOf,
  allowedDecisions,
  type CaseState,
  confirmationFault,
  DECISIONS,
  isReason,
  needsTwo,
  type Proposal,
  proposalFault,
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
    ['withdrawn', ['credit', 'reject']],
    ['elsewhere', ['reject']],
    ['unreadable', ['reject']],
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

  it('keep goes with reverse, and another deposit with credit', () => {
    expect(proposalFault(state(), proposal({ keep: true }))).toBe('decision_not_allowed');
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

  it('one proposal waits at a time', () => {
    expect(proposalFault(state({ proposal: proposal() }), proposal({ decision: 'reject' }))).toBe('proposal_open');
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
      fc.record({ operator: fc.constantFrom('alice', 'bob') }).map(({ operator }) => proposal({ operator })),
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
        if (confirmed === null && needsTwo(given)) expect(given.proposal?.operator).not.toBe(operator);
      }),
      { numRuns: 2_000 },
    );
  });
});

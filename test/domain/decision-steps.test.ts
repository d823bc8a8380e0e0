import { describe, expect, it } from 'vitest';
import { type ProposalOutcome, type CaseSteps, type DecisionStep, stepOutcome } from '../../domain/decision-steps.ts';

const step = (id: string, kind: DecisionStep['step'], proposal: string | null, operator = 'bob'): DecisionStep => ({
  id,
  step: kind,
  proposal,
  operator,
});
const PROPOSAL = step('1', 'propose', null, 'alice');
const CONFIRM = step('2', 'confirm', '1');
const LATER_CONFIRM = step('3', 'confirm', '1', 'carol');
const WITHDRAW = step('4', 'withdraw', '1');
const OWN_CONFIRM = step('8', 'confirm', '1', 'alice');
const NEXT = step('5', 'propose', null, 'carol');

const carried = (outcome: ProposalOutcome['outcome'], refusal: string | null = null): CaseSteps['carried'] =>
  new Map([['1', { confirmation: '2', outcome, refusal }]]);
const notTaken = (id: string, refusal: string): CaseSteps['refused'] => new Map([[id, refusal]]);
const known = (steps: readonly DecisionStep[], change: Partial<CaseSteps> = {}): CaseSteps => ({
  steps,
  carried: new Map(),
  refused: new Map(),
  proposal: null,
  decidedBy: null,
  ...change,
});
const CLOSED = { decidedBy: 'alice+bob' };

describe('a proposal', () => {
  it.each([
    [
      'was confirmed and decided the case',
      known([PROPOSAL, CONFIRM], { carried: carried('decided'), ...CLOSED }),
      'carried',
      null,
    ],
    [
      'was confirmed and put the money into suspense',
      known([PROPOSAL, CONFIRM], { carried: carried('withdrawn') }),
      'carried',
      null,
    ],
    [
      'was confirmed, and the books refused it',
      known([PROPOSAL, CONFIRM], { carried: carried('refused', 'credited_meanwhile') }),
      'refused',
      'credited_meanwhile',
    ],
    [
      'was taken back before it was carried out',
      known([PROPOSAL, CONFIRM, WITHDRAW], { carried: carried('refused', 'withdrawn') }),
      'withdrawn',
      null,
    ],
    [
      'was not taken by the workflow',
      known([PROPOSAL], { refused: notTaken('1', 'proposal_open') }),
      'refused',
      'proposal_open',
    ],
    [
      'was carried out, whatever the workflow answered',
      known([PROPOSAL], { carried: carried('decided'), refused: notTaken('1', 'not_written') }),
      'carried',
      null,
    ],
    ['was taken back', known([PROPOSAL, WITHDRAW]), 'withdrawn', null],
    [
      'waits though somebody tried to take it back',
      known([PROPOSAL, WITHDRAW], { refused: notTaken('4', 'no_proposal'), proposal: '1' }),
      'waiting',
      null,
    ],
    ['waits', known([PROPOSAL], { proposal: '1' }), 'waiting', null],
    ['is on its way', known([PROPOSAL]), 'waiting', null],
    ['was overtaken by another', known([PROPOSAL, NEXT], { proposal: '5' }), 'refused', 'other_proposal'],
    ['came when the case was closed', known([PROPOSAL], CLOSED), 'refused', 'case_closed'],
    ['decided a case of before', known([PROPOSAL, CONFIRM], { proposal: '1', ...CLOSED }), 'carried', null],
    [
      'came too late in a case of before, which another decided',
      known([PROPOSAL, NEXT], { proposal: '5', ...CLOSED }),
      'refused',
      'case_closed',
    ],
    [
      'waits though another was taken back',
      known([PROPOSAL, NEXT, step('6', 'withdraw', '5')], { proposal: '1' }),
      'waiting',
      null,
    ],
    [
      'was refused by the books, which did not say why',
      known([PROPOSAL, CONFIRM], { carried: carried('refused') }),
      'refused',
      'unproven',
    ],
  ] as const)('%s', (_, all, outcome, refusal) => {
    expect(stepOutcome(all, PROPOSAL)).toEqual({ outcome, refusal });
  });
});

describe('a confirmation', () => {
  it.each([
    [
      'decided the case',
      known([PROPOSAL, CONFIRM], { carried: carried('decided'), ...CLOSED }),
      CONFIRM,
      'carried',
      null,
    ],
    [
      'put the money into suspense',
      known([PROPOSAL, CONFIRM], { carried: carried('withdrawn') }),
      CONFIRM,
      'carried',
      null,
    ],
    [
      'was refused by the books',
      known([PROPOSAL, CONFIRM], { carried: carried('refused', 'facts_differ') }),
      CONFIRM,
      'refused',
      'facts_differ',
    ],
    [
      'came after the proposal was taken back',
      known([PROPOSAL, WITHDRAW, CONFIRM], { carried: carried('refused', 'withdrawn') }),
      CONFIRM,
      'refused',
      'withdrawn',
    ],
    [
      'was the second to a decision',
      known([PROPOSAL, CONFIRM, LATER_CONFIRM], { carried: carried('decided'), ...CLOSED }),
      LATER_CONFIRM,
      'refused',
      'case_closed',
    ],
    [
      'was the second to a refusal',
      known([PROPOSAL, CONFIRM, LATER_CONFIRM], { carried: carried('refused', 'code_stands') }),
      LATER_CONFIRM,
      'refused',
      'no_proposal',
    ],
    [
      'was not taken by the workflow',
      known([PROPOSAL, CONFIRM], { refused: notTaken('2', 'same_operator'), proposal: '1' }),
      CONFIRM,
      'refused',
      'same_operator',
    ],
    [
      'was carried out, whatever the workflow answered',
      known([PROPOSAL, CONFIRM], { carried: carried('decided'), refused: notTaken('2', 'case_closed') }),
      CONFIRM,
      'carried',
      null,
    ],
    ['is being carried out', known([PROPOSAL, CONFIRM], { proposal: '1' }), CONFIRM, 'waiting', null],
    ['names a proposal that was taken back', known([PROPOSAL, WITHDRAW, CONFIRM]), CONFIRM, 'refused', 'no_proposal'],
    [
      'names a proposal that waits no more',
      known([PROPOSAL, CONFIRM, NEXT], { proposal: '5' }),
      CONFIRM,
      'refused',
      'other_proposal',
    ],
    ['came when the case was closed', known([PROPOSAL, CONFIRM], CLOSED), CONFIRM, 'refused', 'case_closed'],
    [
      'decided a case of before',
      known([PROPOSAL, CONFIRM, LATER_CONFIRM], { proposal: '1', ...CLOSED }),
      CONFIRM,
      'carried',
      null,
    ],
    [
      'was the second in a case of before',
      known([PROPOSAL, CONFIRM, LATER_CONFIRM], { proposal: '1', ...CLOSED }),
      LATER_CONFIRM,
      'refused',
      'case_closed',
    ],
    [
      'decided a case of before alone, by who had proposed it',
      known([PROPOSAL, OWN_CONFIRM], { proposal: '1', decidedBy: 'alice' }),
      OWN_CONFIRM,
      'carried',
      null,
    ],
    [
      'decided a case of before, in which its operator had taken a step back and confirmed another proposal',
      known([NEXT, step('6', 'confirm', '5'), step('7', 'withdraw', '1'), PROPOSAL, CONFIRM], {
        proposal: '1',
        ...CLOSED,
      }),
      CONFIRM,
      'carried',
      null,
    ],
    [
      'came in a case of before whose proposal is not known any more',
      known([CONFIRM], { proposal: '1', ...CLOSED }),
      CONFIRM,
      'refused',
      'case_closed',
    ],
    [
      'was refused by the books, which did not say why',
      known([PROPOSAL, CONFIRM], { carried: carried('refused') }),
      CONFIRM,
      'refused',
      'unproven',
    ],
  ] as const)('%s', (_, all, one, outcome, refusal) => {
    expect(stepOutcome(all, one)).toEqual({ outcome, refusal });
  });
});

describe('a withdrawal', () => {
  it.each([
    ['took the proposal back', known([PROPOSAL, WITHDRAW]), 'carried', null],
    [
      'took it back while it was being confirmed',
      known([PROPOSAL, CONFIRM, WITHDRAW], {
        carried: carried('refused', 'withdrawn'),
        refused: notTaken('4', 'case_closed'),
      }),
      'carried',
      null,
    ],
    [
      'was not taken by the workflow',
      known([PROPOSAL, WITHDRAW], { refused: notTaken('4', 'no_proposal'), proposal: '1' }),
      'refused',
      'no_proposal',
    ],
    [
      'came too late for a decision',
      known([PROPOSAL, CONFIRM, WITHDRAW], { carried: carried('decided'), ...CLOSED }),
      'refused',
      'case_closed',
    ],
    [
      'came too late for what was refused',
      known([PROPOSAL, CONFIRM, WITHDRAW], { carried: carried('refused', 'unproven') }),
      'refused',
      'no_proposal',
    ],
    [
      'came too late in a case of before',
      known([PROPOSAL, CONFIRM, WITHDRAW], { proposal: '1', ...CLOSED }),
      'refused',
      'case_closed',
    ],
  ] as const)('%s', (_, all, outcome, refusal) => {
    expect(stepOutcome(all, WITHDRAW)).toEqual({ outcome, refusal });
  });
});

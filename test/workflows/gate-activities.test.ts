import { type Change, describeChanges } from '../support/gate/changes.ts';
import { both, ended, gave, neededTheDurable, ofKind, ofType, ran, updated } from '../support/gate/predicates.ts';

/**
 * Activity calls of workflows, changed one place at a time: the gate catches each change in every recorded path it
 * touches, in no other, and names the decision.
 */
const effects = 'workflows/activity-calls.ts';

/** Another activity in place of this one, local or durable. */
const SWAPPED: readonly Change[] = (
  [
    [
      'placeOrder',
      '.placeOrder(...args)',
      '.settlePlacement(...args)',
      /placed the order \(local activity placeOrder\)/,
    ],
    [
      'settlePlacement',
      '.settlePlacement(...args)',
      '.placeOrder(...args)',
      /settled the placement \(activity settlePlacement\)/,
    ],
    ['close', '.close(...args)', '.recordState(...(args as never))', /closed the deposit .* activity close\)/],
    ['credit', '.credit(item)', '.recordReview(item as never)', /credited the deposit \(local activity credit\)/],
    ['recordState', '.recordState(...args)', '.close(...(args as never))', /recorded the state \(local activity/],
    ['settlement', '.settlement(...args)', '.recordState(...(args as never))', /\((local )?activity settlement\)/],
    [
      'caseOutcome',
      '.caseOutcome(workflowId)',
      '.recordState(workflowId as never)',
      /\((local )?activity caseOutcome\)/,
    ],
    ['recordReview', '.recordReview(review)', '.credit(review as never)', /recorded a review \(local activity/],
    ['park', '.park(workflowId)', '.recordProposal(workflowId, null)', /parked the money .*\(local activity park\)/],
    ['decide', '.decide(item)', '.recordReview(item as never)', /carried out what people decided \(activity decide\)/],
    ['recordProposal', '.recordProposal(...args)', '.decide(args as never)', /showed which proposal waits \(activity/],
  ] as const
).map(([name, from, to, says]) => ({
  what: `${name} is swapped`,
  file: effects,
  from,
  to: `${to} as never`,
  touches: ran(name),
  says,
}));

/** A local activity is one event; a durable one is three, and a task. */
const MADE_DURABLE: readonly Change[] = (
  [
    ['placeOrder', "local(PLACE, 'place the order')", "durable(SETTLE, 'place the order')"],
    ['close', 'local(SHORT, summary).close', 'durable(DURABLE, summary).close'],
    ['credit', 'local(SHORT, summary).credit', 'durable(DURABLE, summary).credit'],
    ['recordState', 'local(SHORT, summary).recordState', 'durable(DURABLE, summary).recordState'],
    ['settlement', 'local(SHORT, summary).settlement', 'durable(DURABLE, summary).settlement'],
    ['caseOutcome', 'local(SHORT, summary).caseOutcome', 'durable(DURABLE, summary).caseOutcome'],
    ['recordReview', 'local(SHORT, summary).recordReview', 'durable(DURABLE, summary).recordReview'],
    ['park', 'local(SHORT, summary).park', 'durable(DURABLE, summary).park'],
  ] as const
).map(([name, from, to]) => ({
  what: `${name} is durable at once`,
  file: effects,
  from,
  to,
  touches: ran(name, 'local'),
  says: new RegExp(`\\(local activity ${name}\\); this code would .*\\(activity ${name}\\) instead`),
}));

const MADE_LOCAL: readonly Change[] = (
  [
    ['settlePlacement', 'durable(SETTLE, ', 'local(PLACE, '],
    ['decide', 'durable(DURABLE, `decide', 'local(SHORT, `decide'],
    ['recordProposal', 'durable(DURABLE, summary).recordProposal', 'local(SHORT, summary).recordProposal'],
  ] as const
).map(([name, from, to]) => ({
  what: `${name} is local`,
  file: effects,
  from,
  to,
  touches: ran(name, 'durable'),
  says: new RegExp(`\\(activity ${name}\\); this code would .*\\(local activity ${name}\\) instead`),
}));

/** The SDK's replay does not compare arguments of activities. */
const GIVEN_OTHERWISE: readonly Change[] = [
  {
    what: 'another amount is credited',
    file: 'workflows/deposit.ts',
    from: 'amount: payment.transactionAmount',
    to: 'amount: payment.paymentPrice',
    touches: ran('credit'),
    says: /credited the deposit \(local activity credit\) with amount "\d+"; this code would do so with amount "\d+"/,
  },
  {
    what: 'another state is recorded',
    file: 'workflows/waiting.ts',
    from: 'await recordState(memory.input.externalOrderNumber, state)',
    to: "await recordState(memory.input.externalOrderNumber, 'EXPIRED')",
    touches: gave('recordState', (_: string, state: string) => state !== 'EXPIRED'),
    says: /recorded the state .* with argument 2 "AWAITING_PAYMENT"; this code would do so with argument 2 "EXPIRED"/,
  },
  {
    what: 'a refusal is closed without its reason',
    file: 'workflows/waiting.ts',
    from: 'await close(memory.input.externalOrderNumber, as, facts.refusal)',
    to: 'await close(memory.input.externalOrderNumber, as, null)',
    touches: gave('close', (_: string, __: string, refusal: string | null) => refusal !== null),
    says: /closed the deposit .* with argument 3 "\w+"; this code would do so with argument 3 null/,
  },
  {
    what: 'money that came late is not parked',
    file: 'workflows/waiting.ts',
    from: "park: review.reason === 'LATE'",
    to: 'park: false',
    touches: gave('recordReview', ({ park }: { park?: boolean }) => park === true),
    says: /recorded a review .* with park true; this code would do so with park false/,
  },
  {
    what: 'a payment in review is not compared with the one that is bound',
    file: 'workflows/waiting.ts',
    from: '    payment: paid,\n',
    to: '',
    touches: gave('recordReview', ({ payment }: { payment?: object }) => payment !== undefined),
    says: /recorded a review .* with payment \{.*; this code would do so with payment nothing/,
  },
  {
    what: 'what was reported is reported again when it is credited',
    file: 'workflows/deposit.ts',
    from: 'reported: facts.reported,',
    to: 'reported: false,',
    touches: gave('credit', ({ reported }: { reported?: boolean }) => reported === true),
    says: /with reported true; this code would do so with reported false/,
  },
  {
    what: 'what was reported is reported again when people get it',
    file: 'workflows/waiting.ts',
    from: 'reported: facts.reported,',
    to: 'reported: false,',
    touches: gave('recordReview', ({ reported }: { reported?: boolean }) => reported === true),
    says: /with reported true; this code would do so with reported false/,
  },
  {
    what: 'an order is placed without a word on when its workflow began',
    file: 'workflows/deposit.ts',
    from: 'place(externalOrderNumber, startOf(input))',
    to: 'place(externalOrderNumber)',
    touches: gave('placeOrder', (_: string, started?: object) => started !== undefined),
    says: /placed the order .* with /,
  },
  {
    what: 'a row is looked at as if it had expired',
    file: 'workflows/waiting.ts',
    from: '{ state: where, expiresAt: facts.expiresAt }',
    to: "{ state: 'EXPIRED', expiresAt: facts.expiresAt }",
    touches: gave('settlement', (_: string, { state }: { state: string }) => state !== 'EXPIRED'),
    says: /\((local )?activity settlement\) with state "\w+"; this code would do so with state "EXPIRED"/,
  },
  {
    what: 'another case is parked',
    file: 'workflows/review.ts',
    from: 'await park(workflowId)',
    to: 'await park(input.inboxId)',
    touches: ran('park'),
    says: /parked the money in suspense .* with argument 1 "review:/,
  },
  {
    what: 'a decision is carried out without its confirmation',
    file: 'workflows/decisions.ts',
    from: 'decide({ workflowId, proposalId, confirmationId })',
    to: 'decide({ workflowId, proposalId, confirmationId: proposalId })',
    touches: ran('decide'),
    says: /carried out what people decided .* with confirmationId "\d+"/,
  },
];

const isForged = (answer: unknown): boolean => (answer as { refusal?: string } | null)?.refusal === 'not_written';

const LEFT_OUT: readonly Change[] = [
  {
    what: 'the durable activity is not tried when the local one has failed',
    file: effects,
    from: 'return patient();',
    to: 'throw error;',
    touches: neededTheDurable,
    says: /\(activity (credit|close|recordState|settlement|caseOutcome|recordReview|park|settlePlacement)\)/,
  },
  {
    what: 'a proposal is not shown',
    file: 'workflows/decisions.ts',
    from: 'if (await recorded(hearing, message.decisionId, message)) return;',
    to: 'return;',
    touches: updated('propose'),
    says: /showed which proposal waits \(activity recordProposal\); this code would answer the update propose instead/,
  },
  {
    what: 'a withdrawal is not shown',
    file: 'workflows/decisions.ts',
    from: 'if (await recorded(hearing, null, message)) return;',
    to: 'return;',
    touches: updated('withdraw'),
    says: /showed which proposal waits \(activity recordProposal\); this code would answer the update withdraw instead/,
  },
  {
    what: 'a refusal by the books is not shown',
    file: 'workflows/decisions.ts',
    from: "if (answer.kind === 'refused' && !isForged(answer)) await recordProposal(workflowId, null);",
    to: '',
    touches: ran('decide', 'durable', (answer) => ofKind('refused')(answer) && !isForged(answer)),
    says: /showed which proposal waits \(activity recordProposal\); this code would answer the update confirm instead/,
  },
  {
    what: 'a step that nobody wrote down counts',
    file: effects,
    from: 'return row?.stands !== false;',
    to: 'return true;',
    touches: ran('recordProposal', 'durable', (row) => (row as { stands?: boolean } | null)?.stands === false),
    says: /refused the update (propose|withdraw).*; this code would/,
  },
  {
    what: 'a confirmation that nobody wrote down takes the proposal away',
    file: 'workflows/decisions.ts',
    from: 'if (!isForged(answer)) hearing.proposal = null;',
    to: 'hearing.proposal = null;',
    touches: ran('decide', 'durable', isForged),
    says: /(took up the update confirm|carried out what people decided .*|went the new way of patch answer-anew); this code would refuse the update confirm instead/,
  },
  {
    what: 'the archive forgets what it did',
    file: 'workflows/archive.ts',
    from: 'archived += done.archived;',
    to: '',
    touches: both(
      ofType('archive'),
      ended('archived', (archived) => archived !== 0),
    ),
    says: /ended with archived \d+; this code would do so with archived 0/,
  },
  {
    what: 'second payments are not parked',
    file: 'workflows/review.ts',
    from: "standing === 'nothing' && isGoodMoney(input)",
    to: 'false',
    touches: ran('park'),
    says: /parked the money in suspense \(local activity park\); this code would/,
  },
];

const CHANGES = [...SWAPPED, ...MADE_DURABLE, ...MADE_LOCAL, ...GIVEN_OTHERWISE, ...LEFT_OUT];

describeChanges('an activity that is changed is caught in each path it touches, and in no other', CHANGES);

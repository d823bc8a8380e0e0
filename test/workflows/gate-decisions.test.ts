import { type Change, describeChanges } from '../support/gate-changes.ts';
import {
  announced,
  both,
  cancelled,
  either,
  ended,
  ofKind,
  ofType,
  ran,
  signalled,
  updated,
  waited,
} from '../support/gate-predicates.ts';

/**
 * What workflows decide by themselves: how long they wait, what a rule says, what they announce and answer. Changed in
 * one place after the other, each is caught in every recorded path it touches, in no other, and named.
 */
const deposit = 'workflows/deposit.ts';

const paymentWindow = waited('payment window', (settings) => settings.paymentWindowMs);
const listening = waited('listening window', (settings) => settings.listeningWindowMs);
const listeningUnknown = waited('listening window', (s) => s.paymentWindowMs + s.listeningWindowMs);
const WAIT = 'await condition(() => facts.payment !== null';

/** The SDK's replay does not compare durations: a timer that is moved is seen by the gate alone. */
const TIMERS: readonly Change[] = [
  {
    what: 'the payment window is longer',
    file: deposit,
    from: `${WAIT}, settings.paymentWindowMs,`,
    to: `${WAIT}, settings.paymentWindowMs + 60_000,`,
    touches: paymentWindow,
    says: /waited for the payment window \(timer, (30 min|200 ms)\); this code would wait .* \(timer, (31 min|60200 ms)\)/,
  },
  {
    what: 'the payment window has no end',
    file: deposit,
    from: `${WAIT}, settings.paymentWindowMs, { summary: 'payment window' });`,
    to: `${WAIT});`,
    touches: paymentWindow,
    says: /waited for the payment window \(timer, (30 min|200 ms)\); this code would not$/,
  },
  {
    what: 'an order is placed a little later',
    file: deposit,
    from: 'const placement = await place(externalOrderNumber);',
    to: 'await condition(() => false, 1_000); const placement = await place(externalOrderNumber);',
    touches: ofType('deposit'),
    says: /placed the order \(local activity placeOrder\); this code would wait \(timer, 1 s\) instead/,
  },
  {
    what: 'the listening window is shorter',
    file: deposit,
    from: `${WAIT}, settings.listeningWindowMs,`,
    to: `${WAIT}, settings.listeningWindowMs / 2,`,
    touches: listening,
    says: /waited for the listening window \(timer, (73 h|400 ms)\); this code would wait .*\(timer, (2190 min|200 ms)\)/,
  },
  {
    what: 'the listening window has no end',
    file: deposit,
    from: `${WAIT}, settings.listeningWindowMs, { summary: 'listening window' });`,
    to: `${WAIT});`,
    touches: listening,
    says: /waited for the listening window \(timer, (73 h|400 ms)\); this code would not$/,
  },
  {
    what: 'an unknown placement listens no longer than a known one',
    file: deposit,
    from: 'const windows = settings.paymentWindowMs + settings.listeningWindowMs;',
    to: 'const windows = settings.listeningWindowMs;',
    touches: listeningUnknown,
    says: /waited for the listening window \(timer, (4410 min|600 ms)\); this code would wait .*\(timer, (73 h|400 ms)\)/,
  },
  {
    what: 'an unknown placement listens for ever',
    file: deposit,
    from: "answered !== null, windows, { summary: 'listening window' });",
    to: 'answered !== null);',
    touches: listeningUnknown,
    says: /waited for the listening window \(timer, (4410 min|600 ms)\); this code would not$/,
  },
];

const CONDITIONS: readonly Change[] = [
  {
    what: 'a state is announced before it is recorded',
    isAlone: true,
    file: deposit,
    from: "    if (step.effects.includes('record')) await record(input, state, facts);\n    if (step.effects.includes('announce')) announce(state, facts);",
    to: "    if (step.effects.includes('announce')) announce(state, facts);\n    if (step.effects.includes('record')) await record(input, state, facts);",
    touches: either(ran('recordState'), ran('recordReview')),
    says: /recorded (the state|a review) .*; this code would announce DepositState/,
  },
  {
    what: 'an unknown placement counts as placed',
    file: deposit,
    from: "if (placement.kind === 'unknown') return 'placementUnknown';",
    to: '',
    touches: ran('placeOrder', 'local', ofKind('unknown')),
    says: /announced DepositState PLACEMENT_UNKNOWN; this code would wait for the payment window/,
  },
  {
    what: 'a refused placement counts as placed',
    file: deposit,
    from: "if (placement.kind === 'refused') {",
    to: 'if (false) {',
    touches: either(
      ran('placeOrder', 'local', ofKind('refused')),
      ran('settlePlacement', 'durable', ofKind('refused')),
    ),
    says: /closed the deposit unless it was paid .*; this code would wait for the payment window/,
  },
  {
    what: 'a late answer of the provider is not heard',
    file: deposit,
    from: '|| answered !== null, windows',
    to: ', windows',
    touches: signalled('orderAnswered'),
    says: /stopped waiting for the listening window; this code would not/,
  },
  {
    what: 'a payment that was found while closing is dropped',
    file: deposit,
    from: 'if (payment === null) return as',
    to: 'if (true) return as',
    touches: ran('close', undefined, (found) => found !== null),
    says: /(credited the deposit|recorded a review) .*; this code would announce DepositState (UNPAID|PLACEMENT_REFUSED)/,
  },
  {
    what: 'a conflict in the books counts as a credit',
    file: deposit,
    from: "if (result.kind === 'conflict') {",
    to: 'if (false) {',
    touches: ran('credit', undefined, ofKind('conflict')),
    says: /recorded a review .*; this code would announce DepositState CREDITED/,
  },
  {
    what: 'every good payment goes to people',
    isAlone: true,
    file: deposit,
    from: "if (verdict.kind === 'credit') return 'callbackGood';",
    to: '',
    touches: ran('credit'),
    says: /credited the deposit .*; this code would record a review \(local activity recordReview\) instead/,
  },
  {
    what: 'a rejected deposit counts as credited',
    file: deposit,
    from: "return decision === 'credit' ? 'decidedCredit' : 'decidedReject';",
    to: "return 'decidedCredit';",
    touches: ended('state', (state) => state === 'REJECTED'),
    says: /announced DepositState REJECTED, .*; this code would announce DepositState CREDITED, /,
  },
  {
    what: 'a deposit can be cancelled',
    file: deposit,
    from: 'return CancellationScope.nonCancellable(() => live(input));',
    to: 'return live(input);',
    touches: both(ofType('deposit'), cancelled),
    says: /; this code would/,
  },
  {
    what: 'a case ends with any answer of the books',
    file: 'workflows/decisions.ts',
    from: "if (answer.kind === 'decided') return answer;",
    to: 'return answer as never;',
    touches: either(ran('decide', 'durable', ofKind('refused')), ran('decide', 'durable', ofKind('withdrawn'))),
    says: /; this code would announce|; this code fails/,
  },
  {
    what: 'money that was taken back counts as it did before',
    file: 'workflows/decisions.ts',
    from: "if (answer.kind === 'withdrawn') return 'withdrawn';",
    to: '',
    touches: ran('decide', 'durable', ofKind('withdrawn')),
    says: /showed which proposal waits .*; this code would refuse the update propose instead/,
  },
];

const TOLD: readonly Change[] = [
  {
    what: 'the transaction code is not searchable any more',
    file: 'workflows/show.ts',
    from: 'if (facts.payment !== null) pairs.push',
    to: 'if (false) pairs.push',
    touches: announced('TransactionCode'),
    says: /announced DepositState \w+, .*TransactionCode \w+; this code would announce DepositState \w+(, ReviewReason \w+)? instead/,
  },
  {
    what: 'a case that was credited is shown as rejected',
    file: 'workflows/show.ts',
    from: "credit: 'CREDITED', reject",
    to: "credit: 'REJECTED', reject",
    touches: both(ofType('review'), announced('DepositState', 'CREDITED')),
    says: /announced DepositState CREDITED; this code would announce DepositState REJECTED instead/,
  },
  {
    what: 'the result does not say which transaction paid',
    file: deposit,
    from: 'transactionCode: facts.payment?.transactionCode ?? null,',
    to: 'transactionCode: null,',
    touches: ended('transactionCode', (code) => typeof code === 'string'),
    says: /ended \w+ with transactionCode "\w+"; this code would do so with transactionCode null/,
  },
  {
    what: 'the signal has another name',
    file: 'workflows/messages.ts',
    from: "('callbackAccepted')",
    to: "('paymentAccepted')",
    touches: signalled('callbackAccepted'),
    says: /; this code would/,
  },
  {
    what: 'the update has another name',
    file: 'workflows/messages.ts',
    from: "('propose')",
    to: "('suggest')",
    touches: updated('propose'),
    says: /took up the update propose; this code would refuse the update propose instead/,
  },
  {
    what: 'the workflow has another name',
    file: 'workflows/index.ts',
    from: 'export { review }',
    to: 'export { review as reviewed }',
    touches: ofType('review'),
    says: /this code fails: Failed to initialize workflow of type 'review'/,
  },
];

const CHANGES = [...TIMERS, ...CONDITIONS, ...TOLD];

describeChanges('a decision that is changed is caught in each path it touches, and in no other', CHANGES);

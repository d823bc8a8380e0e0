import { DEPOSIT_STATES, isFinal } from '../../domain/deposit.ts';
import type { DepositSettings } from '../../domain/order.ts';
import { type Change, describeChanges } from '../support/gate/changes.ts';
import {
  announced,
  both,
  cancelled,
  either,
  ended,
  gave,
  not,
  ofKind,
  ofType,
  ran,
  signalled,
  type Touches,
  updated,
  waited,
} from '../support/gate/predicates.ts';
import { took } from '../support/gate/steps.ts';

/**
 * Decisions of workflows themselves: durations of waits, rules, search attributes, results. Changed one place at a
 * time, each is caught in every recorded path it touches, in no other, and named.
 */
const deposit = 'workflows/deposit.ts';
const waiting = 'workflows/waiting.ts';
const OPEN_STATES = DEPOSIT_STATES.filter((state) => !isFinal(state));

const paymentWindow = waited('payment window', (settings) => settings.paymentWindowMs);
const listening = waited('listening window', (settings) => settings.listeningWindowMs);
const listeningUnknown = waited('listening window', (s) => s.paymentWindowMs + s.listeningWindowMs);
/** A wait that was interrupted and continued: until its first deadline, so less than a whole window. */
const wentOn: Touches = (path) => path.commands.some(({ kind }) => kind === 'timer') && !allWhole(path);
const allWhole: Touches = ({ commands, facts }) => {
  const { paymentWindowMs, listeningWindowMs } = (facts.input as { settings: DepositSettings }).settings;
  const whole = [paymentWindowMs, listeningWindowMs, paymentWindowMs + listeningWindowMs];
  return commands.every((command) => command.kind !== 'timer' || whole.includes(command.durationMs));
};

/**
 * A payment was signaled while the order was being placed, so the first wait of an unknown one is already a continued
 * one.
 */
const toldWhilePlacing: Touches = both(wentOn, ran('settlePlacement', 'durable', ofKind('unknown')));

/** The SDK's replay does not compare durations: only the gate sees a moved timer. */
const TIMERS: readonly Change[] = [
  {
    what: 'the payment window is longer',
    file: deposit,
    from: "settings.paymentWindowMs, 'payment window')",
    to: "settings.paymentWindowMs + 60_000, 'payment window')",
    touches: paymentWindow,
    says: /waited for the payment window \(timer, .*\); this code would wait for the payment window \(timer, (31 min|6\d+ ms)\)/,
  },
  {
    what: 'no window has an end',
    isAlone: true,
    file: waiting,
    from: ', leftMs, { summary });',
    to: ');',
    touches: either(paymentWindow, listening, listeningUnknown, toldWhilePlacing),
    says: /waited for the (payment|listening) window \(timer, .*\); this code would not$/,
  },
  {
    what: 'a wait that goes on begins anew',
    isAlone: true,
    file: waiting,
    from: 'const leftMs = deadlines[where] - Date.now();',
    to: 'const leftMs = windowMs;',
    touches: wentOn,
    says: /waited for the (payment|listening) window \(timer, .*\); this code would wait for the (payment|listening) window/,
  },
  {
    what: 'an order is placed a little later',
    file: deposit,
    from: 'const placement = await place(',
    to: 'await condition(() => false, 1_000); const placement = await place(',
    touches: ofType('deposit'),
    says: /placed the order \(local activity placeOrder\); this code would wait \(timer, 1 s\) instead/,
  },
  {
    what: 'the listening window is shorter',
    file: deposit,
    from: "settings.listeningWindowMs, 'listening window')",
    to: "settings.listeningWindowMs / 2, 'listening window')",
    touches: listening,
    says: /waited for the listening window \(timer, .*\); this code would wait .*\(timer, (2190 min|\d+ ms)\)/,
  },
  {
    what: 'an unknown placement listens no longer than a known one',
    file: deposit,
    from: 'const windows = settings.paymentWindowMs + settings.listeningWindowMs;',
    to: 'const windows = settings.listeningWindowMs;',
    touches: either(listeningUnknown, toldWhilePlacing),
    says: /waited for the listening window \(timer, .*\); this code would wait for the listening window \(timer, .*\) instead/,
  },
];

/** A payment was signaled while the deposit closed: no activity asked about it, and it ended without one. */
const toldTooLate = both(
  signalled('callbackAccepted'),
  ended('state', (state) => state === 'UNPAID'),
  not(ran('credit')),
);

const bindsAnother = (answer: unknown): boolean => {
  const { kind, binds, settled } = (answer ?? {}) as { kind?: string; binds?: object | null; settled?: object | null };
  return kind === 'unbound' && Boolean(binds) && !settled;
};

const CONDITIONS: readonly Change[] = [
  {
    what: 'a state is announced before it is recorded',
    isAlone: true,
    file: deposit,
    from: "    if (effects.includes('record')) instead = await record(memory, state);\n    if (instead === null && effects.includes('announce')) announce(state, facts);",
    to: "    if (effects.includes('announce')) announce(state, facts);\n    if (effects.includes('record')) instead = await record(memory, state);",
    touches: either(ran('recordState'), ran('recordReview')),
    says: /recorded (the state|a review) .*; this code would announce DepositState/,
  },
  {
    what: 'an unknown placement counts as placed',
    file: deposit,
    from: "if (placement.kind === 'unknown') return 'placementUnknown';",
    to: '',
    touches: either(ran('placeOrder', 'local', ofKind('unknown')), toldWhilePlacing),
    says: /(announced DepositState PLACEMENT_UNKNOWN|the new way of patch announce-no-hints).*; this code would (wait for the payment window|record a review|credit the deposit)/,
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
    from: '() => memory.answered !== null;',
    to: '() => false;',
    touches: signalled('orderAnswered'),
    says: /stopped waiting for the listening window; this code would not/,
  },
  {
    what: 'a payment that was found while closing is dropped',
    file: waiting,
    from: 'if (found === null) {',
    to: 'if (true) {',
    touches: ran('close', undefined, (found) => found !== null),
    says: /(credited the deposit|recorded a review|announced DepositState) .*; this code would announce DepositState (UNPAID|PLACEMENT_REFUSED)/,
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
    what: 'a case does not say what the ledger refused',
    file: deposit,
    from: 'result.detail ?? CONFLICTS[result.reason]',
    to: 'CONFLICTS[result.reason]',
    touches: ran('credit', undefined, (answer) => Object.hasOwn(Object(answer) as object, 'detail')),
    says: /recorded a review .* with detail "the ledger refused .*; this code would do so with detail "the ledger holds/,
  },
  {
    what: 'every good payment goes to people',
    isAlone: true,
    file: waiting,
    from: "if (verdict.kind === 'credit') return 'callbackGood';",
    to: '',
    touches: ran('credit'),
    says: /credited the deposit .*; this code would record a review \(local activity recordReview\) instead/,
  },
  {
    what: 'a rejected deposit counts as credited',
    file: deposit,
    from: "if (settled === undefined) return 'decidedReject';",
    to: "if (settled === undefined) return 'decidedCredit';",
    touches: took('IN_REVIEW', 'decidedReject'),
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
    // Later results contain the standing themselves.
    touches: ran('decide', 'durable', (answer) => ofKind('withdrawn')(answer) && !('standing' in (answer as object))),
    says: /showed which proposal waits .*; this code would refuse the update propose instead/,
  },
];

const HINTS: readonly Change[] = [
  {
    what: 'a hint to look is not heard while a payment is awaited',
    file: waiting,
    from: 'facts.payment !== null || memory.look || also()',
    to: 'facts.payment !== null || also()',
    touches: ran('settlement'),
    says: /; this code would/,
  },
  {
    what: 'a hint to look is not heard while people decide',
    file: 'workflows/decisions.ts',
    from: 'hearing.confirmation !== null || hearing.look',
    to: 'hearing.confirmation !== null',
    touches: ran('caseOutcome'),
    says: /\((local )?activity caseOutcome\); this code would/,
  },
  {
    what: 'a payment that the row binds and nobody told of is not judged',
    file: waiting,
    from: 'if (found.binds !== null) return judged(',
    to: 'if (false) return judged(',
    touches: ran('settlement', undefined, (found) => Boolean((found as { binds?: object | null } | null)?.binds)),
    says: /credited the deposit .*; this code would wait for the payment window/,
  },
  {
    what: 'what was answered to a row’s id before is answered to the next of that id',
    file: 'workflows/decisions.ts',
    from: "patched('answer-anew')) concluded.delete(message.decisionId);",
    to: "patched('answer-anew')) hearing.confirmation = message;",
    touches: ({ commands }) => commands.some((command) => command.kind === 'patch' && command.id === 'answer-anew'),
    says: /announced DepositState .*; this code would answer the update confirm/,
  },
  {
    what: 'an open case counts as decided when it is looked at',
    file: 'workflows/decisions.ts',
    from: 'if (outcome === null) continue;',
    to: '',
    touches: ({ facts }) =>
      facts.steps.some(
        (step) =>
          step.kind === 'activity' &&
          step.name === 'caseOutcome' &&
          !step.failed &&
          (step.result as { kind: string }).kind === 'open',
      ),
    says: /; this code (would|fails)/,
  },
  {
    what: 'what is not bound counts as credited',
    file: deposit,
    from: "if (result.kind === 'unbound') return unbound(memory, result);",
    to: '',
    touches: ran('credit', undefined, ofKind('unbound')),
    says: /; this code would announce DepositState CREDITED/,
  },
  {
    what: 'people are asked about what is not bound',
    file: waiting,
    from: "if (parked && 'binds' in parked) return unbound(memory, parked);",
    to: '',
    touches: ran('recordReview', undefined, ofKind('unbound')),
    says: /; this code would announce DepositState IN_REVIEW/,
  },
  {
    what: 'what is bound is not put in the place of what was told',
    file: waiting,
    from: 'facts.payment = binds;',
    to: 'facts.payment = null;',
    touches: either(ran('credit', undefined, bindsAnother), ran('recordReview', undefined, bindsAnother)),
    says: /; this code (would|fails)/,
  },
  {
    what: 'a row that was rejected counts as credited',
    isAlone: true,
    file: waiting,
    from: "return found.state === 'CREDITED' ? 'settledByPeople' : 'foundRejected';",
    to: "return 'settledByPeople';",
    touches: either(...OPEN_STATES.map((state) => took(state, 'foundRejected'))),
    says: /announced DepositState REJECTED.*; this code would announce DepositState CREDITED/,
  },
  {
    what: 'a row that has ended expires all the same',
    file: waiting,
    from: 'if (row.settled !== undefined) return settledAs(facts, row.settled);',
    to: '',
    touches: ran('recordState', undefined, (row) => Boolean((row as { settled?: object } | null)?.settled)),
    says: /; this code would announce DepositState EXPIRED/,
  },
  {
    what: 'an answer that the row does not have counts',
    file: waiting,
    from: 'if (row.expiresAt !== null) return null;',
    to: 'return null;',
    touches: took('AWAITING_PAYMENT', 'unboundWhileUnknown'),
    says: /; this code would announce DepositState AWAITING_PAYMENT/,
  },
  {
    what: 'an answer that the row does not have takes the payment window away',
    file: waiting,
    from: 'row.expiresAt ?? memory.expiresAtBefore;',
    to: 'row.expiresAt;',
    touches: both(
      took('AWAITING_PAYMENT', 'unboundWhileUnknown'),
      gave('recordReview', ({ reason }: { reason: string }) => reason === 'LATE'),
    ),
    says: /recorded a review .*; this code would credit the deposit/,
  },
  {
    what: 'a payment that was told while the deposit closed stands in its end',
    isAlone: true,
    file: waiting,
    from: '    facts.payment = null;\n    return as',
    to: '    return as',
    touches: toldTooLate,
    says: /announced DepositState UNPAID; this code would announce DepositState UNPAID, TransactionCode/,
  },
  {
    what: 'a deposit that was credited otherwise counts as rejected',
    file: deposit,
    from: "if (settled === undefined) return 'decidedReject';",
    to: "return 'decidedReject';",
    touches: took('IN_REVIEW', 'decidedRejectThoughCredited'),
    says: /announced DepositState CREDITED.*; this code would announce DepositState REJECTED/,
  },
];

const TOLD: readonly Change[] = [
  {
    what: 'a code that nobody has asked the database about is searchable',
    file: 'workflows/web-ui.ts',
    from: 'return facts.announcesNoHints;',
    to: 'return false;',
    touches: toldWhilePlacing,
    says: /announced DepositState PLACEMENT_UNKNOWN; this code would announce DepositState PLACEMENT_UNKNOWN, TransactionCode/,
  },
  {
    what: 'the transaction code is not searchable any more',
    file: 'workflows/web-ui.ts',
    from: 'if (code !== undefined) pairs.push',
    to: 'if (false) pairs.push',
    touches: announced('TransactionCode'),
    says: /announced DepositState \w+, .*TransactionCode \w+; this code would announce DepositState \w+(, ReviewReason \w+)? instead/,
  },
  {
    what: 'a case that was credited is shown as rejected',
    file: 'workflows/web-ui.ts',
    from: "credit: 'CREDITED', reject",
    to: "credit: 'REJECTED', reject",
    touches: both(ofType('review'), announced('DepositState', 'CREDITED')),
    says: /announced DepositState CREDITED; this code would announce DepositState REJECTED instead/,
  },
  {
    what: 'the result does not say which transaction paid',
    file: deposit,
    from: 'transactionCode: facts.creditedCode ?? facts.payment?.transactionCode ?? null,',
    to: 'transactionCode: null,',
    touches: ended('transactionCode', (code) => typeof code === 'string'),
    says: /ended \w+ with transactionCode "\w+"; this code would do so with transactionCode null/,
  },
  {
    what: 'the signal has another name',
    file: 'workflows/messages.ts',
    from: "('callbackAccepted')",
    to: "('paymentAccepted')",
    touches: both(signalled('callbackAccepted'), not(toldTooLate)),
    says: /; this code would/,
  },
  {
    what: 'the hint has another name',
    file: 'workflows/messages.ts',
    from: "('lookAgain')",
    to: "('look')",
    touches: signalled('lookAgain'),
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

const CHANGES = [...TIMERS, ...CONDITIONS, ...HINTS, ...TOLD];

describeChanges('a decision that is changed is caught in each path it touches, and in no other', CHANGES);

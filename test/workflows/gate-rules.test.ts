import { type Change, describeChanges } from '../support/gate/changes.ts';
import { announced, both, either, gave, not, ofType, ran, updated } from '../support/gate/predicates.ts';

/**
 * The rules that workflows apply: the judge's, those of second payments, those of decisions. Conditions are altered one
 * at a time; each is caught in every recorded path where it decided, in no other, and named.
 */
const judge = 'domain/judge.ts';

/** The judge returned this reason, for the database's bound payment or for a signaled one. */
const reviewed = (reason: string) =>
  either(
    announced('ReviewReason', reason),
    gave('recordReview', (review: { reason: string }) => review.reason === reason),
  );
const REVIEWED_NOT_CREDITED =
  /recorded a review .*; this code would credit the deposit \(local activity credit\) instead/;
const CREDITED_NOT_REVIEWED = /credited the deposit .*; this code would record a review \(local activity .* instead/;
const NOT_PARKED = /; this code would park the money in suspense \(local activity park\) instead/;

interface Second {
  readonly reason?: string;
  readonly payment?: { readonly transactionAmount: string };
  readonly order?: { readonly mtcAmount: string | null };
}
const second = (fits: (input: Second) => boolean) => both(ofType('review'), ({ facts }) => fits(facts.input as Second));
const secondOfOtherAmount = second(
  ({ reason, payment, order }) => reason === 'SECOND_CODE' && payment?.transactionAmount !== order?.mtcAmount,
);

const CHANGES: readonly Change[] = [
  {
    what: 'another currency is credited',
    file: judge,
    from: 'if (paid.currencyCode !== order.currencyCode) {',
    to: 'if (false) {',
    touches: reviewed('CURRENCY_MISMATCH'),
    says: REVIEWED_NOT_CREDITED,
  },
  {
    what: 'another price is credited',
    file: judge,
    from: 'if (price === asked) return null;',
    to: 'return null;',
    touches: reviewed('PRICE_MISMATCH'),
    says: REVIEWED_NOT_CREDITED,
  },
  {
    what: 'another amount is credited',
    file: judge,
    from: 'if (received <= asked && received >= asked - fee) return null;',
    to: 'return null;',
    touches: either(reviewed('AMOUNT_MISMATCH'), both(secondOfOtherAmount, not(ran('park')))),
    says: new RegExp(`${REVIEWED_NOT_CREDITED.source}|this code would park`),
  },
  {
    what: 'the fee band is not allowed any more',
    file: judge,
    from: 'if (received <= asked && received >= asked - fee) return null;',
    to: 'if (received === asked) return null;',
    touches: both(gave('credit', ({ amount }: { amount: string }) => amount === '4950')),
    says: CREDITED_NOT_REVIEWED,
  },
  {
    what: 'a rate above the band is credited',
    file: judge,
    from: ' && fiat * UNITS_PER_ONE <= to) return null;',
    to: ') return null;',
    touches: reviewed('RATE_OUT_OF_BAND'),
    says: REVIEWED_NOT_CREDITED,
  },
  {
    what: 'the cap caps nothing',
    file: judge,
    from: "if (mtc <= known(parseMtc(settings.creditCap), 'credit cap')) return null;",
    to: 'return null;',
    touches: reviewed('ABOVE_CAP'),
    says: REVIEWED_NOT_CREDITED,
  },
  {
    what: 'people look at every late payment',
    file: judge,
    from: "if (late && (settings.latePolicy === 'review' || !comparable)) {",
    to: 'if (late) {',
    touches: gave('credit', ({ late }: { late: boolean }) => late),
    says: CREDITED_NOT_REVIEWED,
  },
  {
    what: 'nothing is late any more',
    file: judge,
    from: 'const late = facts.expiresAt !== null',
    to: 'const late = false',
    touches: either(
      gave('credit', ({ late }: { late: boolean }) => late),
      gave('recordReview', ({ late }: { late: boolean }) => late),
    ),
    says: new RegExp(`with late true; this code would do so with late false|${REVIEWED_NOT_CREDITED.source}`),
  },
  {
    what: 'a time that is no time is credited',
    file: judge,
    from: ' || !comparable',
    to: '',
    touches: gave('recordReview', ({ payment }: { payment?: { receivedAt: string } }) =>
      Number.isNaN(Date.parse(payment?.receivedAt ?? '1970-01-01')),
    ),
    says: REVIEWED_NOT_CREDITED,
  },
  {
    what: 'second payments are parked whatever the judge says',
    file: 'workflows/review.ts',
    from: "expiresAt: null }).kind === 'credit'",
    to: 'expiresAt: null }) !== null',
    touches: both(
      secondOfOtherAmount,
      second(({ payment, order }) => Boolean(payment && order)),
    ),
    says: NOT_PARKED,
  },
  {
    what: 'stale payments are parked as well',
    file: 'workflows/review.ts',
    from: "['SECOND_CODE', 'DEPOSIT_FINAL']",
    to: "['SECOND_CODE', 'DEPOSIT_FINAL', 'STALE']",
    touches: second(({ reason }) => reason === 'STALE'),
    says: NOT_PARKED,
  },
  {
    what: 'a signal of any shape is a payment',
    file: 'workflows/payment.ts',
    from: 'isText(payment.inboxId) &&',
    to: 'true ||',
    touches: ({ facts }) =>
      facts.steps.some((step) => step.kind === 'signal' && step.name === 'callbackAccepted' && step.input === null),
    says: /this code fails: |this code would/,
  },
  {
    what: 'one person may not decide alone below the limit',
    file: 'domain/decision.ts',
    from: 'return needsTwo(state, state.proposal) && state.proposal?.operator',
    to: 'return state.proposal?.operator',
    touches: ({ facts }) => {
      const operators = facts.steps.flatMap((step) =>
        step.kind === 'update' ? [(step.input as { operator: string }).operator] : [],
      );
      return operators.length > 1 && new Set(operators).size === 1;
    },
    says: /carried out what people decided \(activity decide\); this code would refuse the update confirm instead/,
  },
  {
    what: 'what is not in the books cannot be credited by people',
    file: 'domain/decision.ts',
    from: "nothing: { credit: 'post to the wallet'",
    to: 'nothing: { credit: null',
    touches: both(
      updated('propose', ({ decision }: { decision: string }) => decision === 'credit'),
      not(ran('park')),
      not(updated('propose', ({ decision }: { decision: string }) => decision === 'reverse')),
    ),
    // Where a second proposal waited behind the first, the second one now counts.
    says: /showed which proposal waits .*; this code would (refuse the update propose instead|do so with argument 2)/,
  },
];

describeChanges('a rule that is changed is caught in each path where it decides, and in no other', CHANGES);

import { expect, test } from 'vitest';
import { type SignedStep, signedText } from '../../domain/signed-step.ts';

const step: SignedStep = {
  step: 'confirm',
  case: 'review:7',
  contentHash: 'ab',
  amount: null,
  proposed: {
    operator: 'alice',
    decision: 'credit',
    reason: 'seen in the statement',
    keep: false,
    toDeposit: 'o-2',
    wallet: 'w-2',
    beside: '9',
    onlyOrdered: true,
  },
  proposalSignature: 'c2ln',
  reason: null,
  facts: {
    transactionCode: 'T-1',
    amount: '1.5',
    currencyCode: 'CNY',
    paymentPrice: '10',
    statementLine: 'line 3',
  },
  nonce: 'bm9uY2U',
};

test('the text of a step is the same for ever: operators have signed it', () => {
  expect(signedText(step)).toBe(
    '["deposit-engine step v1","confirm","review:7","ab",null,' +
      '["alice","credit","seen in the statement",false,"o-2","w-2","9",true],"c2ln",null,["T-1","1.5","CNY","10","line 3"],"bm9uY2U"]',
  );
  expect(signedText({ ...step, facts: null, amount: '2', reason: 'no' })).toBe(
    '["deposit-engine step v1","confirm","review:7","ab","2",' +
      '["alice","credit","seen in the statement",false,"o-2","w-2","9",true],"c2ln","no",null,"bm9uY2U"]',
  );
});

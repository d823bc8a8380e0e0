import { expect, test } from 'vitest';
import * as ids from '../../domain/ids.ts';

const uid = '0123456789abcdef';

test('names are the same for ever: tables and histories hold them', () => {
  expect({
    deposit: ids.depositWorkflowId('o-1'),
    review: ids.reviewWorkflowId({ id: '7', uid }),
    reviewOfBefore: ids.reviewWorkflowId({ id: '7', uid: null }),
    reversal: ids.reversalWorkflowId({ id: '7', uid }, 2),
    again: ids.heldAgainWorkflowId('review:7', 3),
    case: ids.caseWorkflowId({ inboxId: '7', workflowId: 'review:7-01234567:reversal:1' }),
    caseOfBefore: ids.caseWorkflowId({ inboxId: '7' }),
    toPeople: ids.reviewOutcome('review:7'),
    booked: ids.postingOutcome('12'),
    credit: ids.creditKey('o-1'),
    clearing: ids.clearingOf('mtpay'),
    suspense: ids.suspenseOf('mtpay'),
    park: ids.parkKey('mtpay', 'T-1'),
  }).toEqual({
    deposit: 'deposit:o-1',
    review: 'review:7-01234567',
    reviewOfBefore: 'review:7',
    reversal: 'review:7-01234567:reversal:2',
    again: 'review:7:again:3',
    case: 'review:7-01234567:reversal:1',
    caseOfBefore: 'review:7',
    toPeople: 'review:review:7',
    booked: 'posting:12',
    credit: 'deposit:o-1:credit',
    clearing: 'clearing:mtpay',
    suspense: 'suspense:mtpay',
    park: 'suspense:mtpay:T-1',
  });
});

test('what somebody may have written by hand is quoted only as far as it looks like ours', () => {
  const ours = ['deposit:o-1', 'review:7-01234567:reversal:2', 'A_9.x', 'a'.repeat(64)];
  const foreign = ['', 'a'.repeat(65), 'a b', ' a', 'a ', 'a\n', 'é', 7, null, undefined];
  expect([...ours, ...foreign].filter(ids.isPlain)).toEqual(ours);
  expect(ours.map(ids.plainName)).toEqual(ours);
  expect(ids.plainName(`<b> \n${'a'.repeat(100)}`)).toBe(`?b???${'a'.repeat(95)}`);
});

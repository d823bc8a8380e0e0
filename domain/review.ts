import type { JudgedReason } from './judge.ts';

/**
 * The callback endpoint's class of an authentic message, decided under the lock of the deposit row
 * (docs/reference/lifecycle.md, L8). `first` is bound to the deposit; every other one has a case of its own.
 */
export const RECEIPTS = [
  'first',
  'other_content',
  'stale',
  'ahead',
  'reflected',
  'unreadable',
  'unknown_order',
  'final',
  'restored',
] as const;
export type Receipt = (typeof RECEIPTS)[number];

/** Why operators decide about a payment; shown as ReviewReason in the Web UI and in `review.reason`. */
export type ReviewReason =
  | JudgedReason
  | 'PAID_THOUGH_REFUSED'
  | 'LEDGER_CONFLICT'
  | 'OTHER_PAYMENT_CREDITED'
  | 'LEDGER_REJECTED'
  | 'SEAL_BROKEN'
  | 'SECOND_CODE'
  | 'OTHER_CONTENT'
  | 'STAMP_REUSED'
  | 'STALE'
  | 'STAMP_BEFORE_ORDER'
  | 'STAMP_AHEAD'
  | 'REFLECTED'
  | 'UNREADABLE'
  | 'UNKNOWN_ORDER'
  | 'DEPOSIT_FINAL'
  | 'WORKFLOW_GONE'
  | 'CREDIT_IN_DOUBT'
  | 'DECISION_IN_DOUBT'
  | 'RESTORED'
  | 'CASE_RESTORED';

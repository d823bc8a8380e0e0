import type { ATTEMPT_FAULTS } from './attempt-faults.ts';
import type { PLACEMENT_FAULTS } from './placement-faults.ts';
import type { RELEASE_FAULTS } from './release-faults.ts';

type Kind = keyof typeof PLACEMENT_FAULTS | keyof typeof RELEASE_FAULTS | keyof typeof ATTEMPT_FAULTS;

/** Each kind in a few words, for a reader who searches by the event and not by its name. */
export const FAULT_TITLES = {
  status: 'Refused with a status code',
  http500: 'HTTP error',
  html: 'A web page instead of an answer',
  empty: 'Empty answer',
  truncated: 'Half an answer',
  slow: 'Late answer',
  cut: 'Answer lost, order made',
  cutBefore: 'Connection lost, no order',
  hang: 'No answer at all',
  wrongTypes: 'Answer of other types',
  foreignRedirect: 'Checkout link to a stranger',
  hugeBody: 'Far too long answer',
  frozen: 'Account frozen',
  early: 'Callback before the answer',
  http429: 'Too many requests',
  trickle: 'Answer in small pieces',
  clockSkew: 'Provider’s clock is off',
  missing: 'Callback never sent',
  duplicate: 'Callback in copies',
  delay: 'Callback late',
  secondCode: 'Customer pays twice',
  otherContent: 'One payment told twice, differently',
  reordered: 'Callbacks in the wrong order',
  sameCode: 'Payment of another order',
  retryStorm: 'All retries at once',
  retryAcked: 'Acknowledgement not noticed',
  badSignature: 'Forged signature',
  rotatedKey: 'Unknown new key',
  reflected: 'Our own signature sent back',
  lowerCaseSignature: 'Signature in lower case',
  noSignature: 'No signature',
  changedBody: 'Amount changed under a genuine signature',
  staleTimestamp: 'Signed long ago',
  aheadTimestamp: 'Signed for the future',
  timestampSpelling: 'Timestamp written otherwise',
  amountSpelling: 'Amount written otherwise',
  unreadable: 'Unreadable field',
  duplicateKeys: 'A field twice',
} as const satisfies Record<Kind, string>;

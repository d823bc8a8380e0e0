import type { DecisionFault } from '../domain/decision.ts';
import type { DecisionRefusal as BookRefusal } from '../ledger/decide.ts';
import { PROVIDERS } from '../providers/providers.ts';
import type { ErrorCode, UNSIGNED } from './errors.ts';

/**
 * The meaning of every `code` and the caller's remedy. `GET /docs` and the OpenAPI document show them, and
 * docs/reference/errors.md has the same words. Code spans are between backticks.
 */
export interface Meaning {
  readonly meaning: string;
  readonly remedy?: string;
}

/** By kind of refusal. For the kinds `refused` and `decision_refused`, `code` is from one of the next two lists. */
export const ANSWERS = {
  invalid_request: {
    meaning: 'The request is not as described; `errors` names each field at fault, `detail` where the body is no JSON.',
    remedy: 'Mend what they name. A retry of the same request does not help.',
  },
  unauthorized: {
    meaning: 'The request has no valid key: missing, malformed, unknown, expired and revoked keys look the same.',
    remedy: 'Send a valid key. A retry of the same request does not help.',
  },
  forbidden: {
    meaning: 'The key lacks the scope, or is limited to other wallets.',
    remedy: 'Use a key with the scope, or for the wallet.',
  },
  not_found: {
    meaning: 'It does not exist, or belongs to a wallet outside the limit of the key.',
    remedy: 'Check the number, and the wallets of the key.',
  },
  method_not_allowed: {
    meaning: 'The path exists, but not for this method.',
    remedy: 'The header `Allow` lists the methods of the path.',
  },
  other_parameters: {
    meaning: 'A deposit with this order number exists with other parameters. Nothing was changed.',
    remedy: 'Read the deposit; a new request needs a new order number.',
  },
  epoch_changed: {
    meaning: 'The database was restored from a backup since the cursor was made, and its place may be another’s now.',
    remedy: 'Read again without a cursor, with `since` a time before the restore.',
  },
  limit_reached: {
    meaning:
      'As many exist as may: 20 endpoints of one name, 10 redeliveries of one endpoint under way. Nothing was made.',
    remedy: 'Delete an endpoint, or wait until a redelivery is done.',
  },
  payload_too_large: { meaning: 'The body is larger than 16 kB.', remedy: 'Send less.' },
  unsupported_media_type: {
    meaning: 'The body is not plain JSON in UTF-8 without content-encoding.',
    remedy: 'Send `application/json` in UTF-8.',
  },
  decision_refused: {
    meaning: 'The step was not taken, and nothing was moved.',
    remedy: '`code` is one of those of a step.',
  },
  refused: {
    meaning: 'The order was not placed, and none will be placed under this number.',
    remedy: '`code` is one of the next table. A new order number may succeed.',
  },
  rate_limited: {
    meaning: 'The key made more requests than it may, or this address had too many failed authentications.',
    remedy: 'Repeat it after `Retry-After` seconds.',
  },
  not_configured: {
    meaning: 'This API has no key to encrypt the secrets of endpoints with, so it makes none.',
    remedy: 'Ask its operator to set `ENDPOINT_SECRET_KEY`. A retry does not help before.',
  },
  unavailable: {
    meaning: 'The request was not finished in time; `detail` says what is stored, and nothing counts twice.',
    remedy: 'Repeat it after `Retry-After` seconds; a step about a case only after a look at the case.',
  },
  internal_error: { meaning: 'A defect of the engine; it was logged.', remedy: 'Report it; the log has the place.' },
} as const satisfies Record<ErrorCode, Meaning>;

/** The `code` of a 422: the provider's statusCode, or our own reason for not calling the provider. */
export const NOT_PLACED = {
  ...PROVIDERS.mtpay.refusals,
  NOT_SENT: {
    meaning:
      'No order exists: MTPay was not reached in time or refused our timestamp twice, or the payer’s name is erased.',
    remedy: 'A new order number.',
  },
  TOO_LATE: {
    meaning: 'The order was not sent within `PLACE_WITHIN` of its request, because no worker ran.',
    remedy: 'A new order number.',
  },
} as const satisfies Record<string, Meaning>;

/** The `code` of a 409 for a step about a case. */
export const NOT_TAKEN = {
  case_closed: { meaning: 'The case is decided, or a decision is being carried out.' },
  proposal_open: { meaning: 'Another proposal waits: confirm it or withdraw it.' },
  no_proposal: { meaning: 'No proposal waits to be confirmed.' },
  other_proposal: { meaning: 'The named proposal no longer waits: read the case again.' },
  same_operator: { meaning: 'A second person has to confirm.' },
  decision_not_allowed: { meaning: 'The case allows another decision; `allowed` names them.' },
  code_stands: { meaning: 'The transaction code was posted already, or came with another order.' },
  reason_required: { meaning: 'The step needs a reason of 3 to 1,000 printable characters.' },
  deposit_required: { meaning: 'The step has to name the deposit that gets the money.' },
  credited_meanwhile: {
    meaning: 'The newest credit in the wallet is not the one named as `beside`: read the case again.',
  },
  facts_required: {
    meaning: 'An unreadable callback needs `facts` that two people state; no other payment takes them.',
  },
  facts_differ: { meaning: 'The two people state different payments.' },
  withdrawn: { meaning: 'The proposal was taken back before it was carried out.' },
  not_written: { meaning: 'The row of the step differs from the message that its workflow received, or is missing.' },
  unproven: { meaning: 'The books found no proof for the money to be moved.' },
  not_possible: { meaning: 'The books do not move money in this way from where it is.' },
  signature_required: { meaning: 'Every step needs a signature here; the step is not stored.' },
  signature_wrong: { meaning: 'No key of this operator made this signature over this step; it is not stored.' },
  signature_used: { meaning: 'A step with this nonce was taken before; this one is not stored.' },
} as const satisfies Record<DecisionFault | BookRefusal | keyof typeof UNSIGNED, Meaning>;

/** Every `code`. */
export const PROBLEMS: Readonly<Record<string, Meaning>> = { ...ANSWERS, ...NOT_PLACED, ...NOT_TAKEN };

/** Returns the `type` of RFC 9457: a fragment of the API's page; docs/reference/errors.md has the same fragment. */
export const typeOf = (code: string): string => `/docs#error-${code}`;

/** Returns the codes that a response of this kind may have. */
export function codesOf(kind: ErrorCode): readonly string[] {
  if (kind === 'refused') return Object.keys(NOT_PLACED);
  return kind === 'decision_refused' ? Object.keys(NOT_TAKEN) : [kind];
}

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
    meaning: 'Something in the request is not as described; `errors` names each field at fault.',
    remedy: 'Mend the fields that `errors` names. Repeating it as it is does not help.',
  },
  unauthorized: {
    meaning: 'No key, or not a living one: missing, malformed, unknown, expired and revoked look the same.',
    remedy: 'Send a living key. Repeating it as it is does not help.',
  },
  forbidden: {
    meaning: 'The key does not have the scope, or is limited to other wallets.',
    remedy: 'Use a key with the scope, or for the wallet.',
  },
  not_found: {
    meaning: 'There is none, or it belongs to a wallet that the key is not limited to.',
    remedy: 'Check the number, and the wallets of the key.',
  },
  method_not_allowed: {
    meaning: 'The path is there and not for this method.',
    remedy: 'The header `Allow` says which methods there are.',
  },
  other_parameters: {
    meaning: 'The order number stands with other parameters. Nothing was changed.',
    remedy: 'Read the deposit; a new wish needs a new order number.',
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
    meaning: 'There is no order, and there will be none of this number.',
    remedy: '`code` is one of the next table. A new order number may succeed.',
  },
  rate_limited: {
    meaning: 'More requests than the key may make, or too many failed authentications from this address.',
    remedy: 'Repeat it after `Retry-After` seconds.',
  },
  unavailable: {
    meaning: 'Nothing was accepted; the same request may be repeated.',
    remedy: 'Repeat it after `Retry-After` seconds.',
  },
  internal_error: { meaning: 'A defect of ours; it was logged.', remedy: 'Tell us; the log has the place.' },
} as const satisfies Record<ErrorCode, Meaning>;

/** The `code` of a 422: the provider's statusCode, or our own reason for not calling the provider. */
export const NOT_PLACED = {
  ...PROVIDERS.mtpay.refusals,
  NOT_SENT: { meaning: 'MTPay was surely not reached, for as long as we try.', remedy: 'A new order number.' },
  TOO_LATE: {
    meaning: 'The order was not sent within `PLACE_WITHIN` of its request, because workers were away.',
    remedy: 'A new order number.',
  },
} as const satisfies Record<string, Meaning>;

/** The `code` of a 409 for a step about a case. */
export const NOT_TAKEN = {
  case_closed: { meaning: 'The case is decided, or a decision is being carried out.' },
  proposal_open: { meaning: 'Another proposal waits: confirm it or withdraw it.' },
  no_proposal: { meaning: 'Nothing waits to be confirmed.' },
  other_proposal: { meaning: 'The proposal that was named waits no more: look again.' },
  same_operator: { meaning: 'A second person has to confirm.' },
  decision_not_allowed: { meaning: 'The case allows another decision; `allowed` names them.' },
  code_stands: { meaning: 'The transaction code was posted already, or came with another order.' },
  reason_required: { meaning: 'A reason of 3 to 1,000 printable characters.' },
  deposit_required: { meaning: 'The deposit that gets the money has to be named.' },
  credited_meanwhile: { meaning: 'Another payment stands in the wallet than the one named as `beside`: look again.' },
  facts_required: { meaning: 'What cannot be read is credited by `facts` that two people state, and nothing else is.' },
  facts_differ: { meaning: 'The two people state another payment.' },
  withdrawn: { meaning: 'The proposal was taken back before it was carried out.' },
  not_written: { meaning: 'The step is not in the table as the workflow was told of it.' },
  unproven: { meaning: 'The books found no proof of what is to be moved.' },
  not_possible: { meaning: 'The books do not move money in this way from where it is.' },
  signature_required: { meaning: 'Steps are signed here; the step is not written.' },
  signature_wrong: { meaning: 'The signature is not one of this operator’s over this step; not written.' },
  signature_used: { meaning: 'A step with this nonce was taken before; not written.' },
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

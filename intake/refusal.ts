import type { ErrorCode, FieldFault } from '../contract/errors.ts';
import type { DepositView } from '../database/queries/deposits.ts';

interface RefusalOptions {
  readonly faults?: readonly FieldFault[];
  readonly shownCode?: string;
  /** Whole seconds after which a retry may help. */
  readonly retryAfterSeconds?: number;
  readonly cause?: unknown;
}

/**
 * An expected refusal. `detail` is for humans, `code` for programs; `shownCode` replaces `code` where the contract
 * requires it.
 */
export class RequestRefused extends Error {
  readonly code: ErrorCode;
  readonly faults: readonly FieldFault[];
  readonly shownCode: string;
  readonly retryAfterSeconds: number | undefined;
  constructor(code: ErrorCode, detail: string, options: RefusalOptions = {}) {
    super(detail, options.cause === undefined ? {} : { cause: options.cause });
    this.code = code;
    this.faults = options.faults ?? [];
    this.shownCode = options.shownCode ?? code;
    this.retryAfterSeconds = options.retryAfterSeconds;
  }
}

/**
 * Returns why the order was refused, in the words of the refused create; null: it was not, or that is not known yet.
 */
export function refusalOf(deposit: DepositView): { readonly code: string; readonly message: string } | null {
  if (deposit.state !== 'PLACEMENT_REFUSED') return null;
  const code = deposit.refusal ?? 'refused';
  const words = deposit.refusalMessage ?? '';
  return {
    code,
    message: words === '' ? `the order was not placed: ${code}` : `the provider refused the order: ${words}`,
  };
}

import { isDatabaseAway } from '../database/pool.ts';
import { BatcherFull } from '../ledger/batcher.ts';

/** Another transaction has locked a row that the posting needs. Nothing was posted; retry later. */
export class RowBusy extends Error {}

/** The handling of a failed posting (docs/reference/ledger.md#why-a-credit-is-written-once). */
export type LedgerFailure = 'rejected' | 'retry' | 'retry and alarm';

/**
 * `rejected`: the item is at fault and a retry cannot help, so it becomes a case. Everything else is retried until the
 * database accepts it, because the outcome may be unknown and the key makes the posting idempotent. A fault of ours or
 * of the server raises an alarm meanwhile.
 */
export function classifyLedgerFailure(error: unknown): LedgerFailure {
  const given = (error as { code?: unknown } | null)?.code;
  const code = typeof given === 'string' ? given : '';
  // Amounts without a valid unit price.
  if (error instanceof RangeError) return 'rejected';
  if (error instanceof BatcherFull || error instanceof RowBusy || /^(40|55P03)/.test(code)) return 'retry';
  if (/^(22|23|P0)/.test(code)) return 'rejected';
  if (/^(42|28|3D|53|58|XX)/.test(code)) return 'retry and alarm';
  return isDatabaseAway(error) ? 'retry' : 'retry and alarm';
}

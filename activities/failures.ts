import { isDatabaseAway } from '../database/pool.ts';
import { LedgerBusy } from '../ledger/batcher.ts';

/** Somebody else holds a row that the posting needs, and nothing was waited for: trying again later is right. */
export class RowBusy extends Error {}

/** What a failed posting means (docs/reference/ledger.md#why-a-credit-is-written-once). */
export type LedgerFailure = 'rejected' | 'retry' | 'retry and alarm';

/**
 * `rejected`: the item's own fault, trying again cannot help, people look. Everything else is tried again until the
 * database accepts, because the outcome may be unknown and the key makes a repeat harmless; what is ours or the
 * server's fault is told to people meanwhile.
 */
export function classifyLedgerFailure(error: unknown): LedgerFailure {
  const given = (error as { code?: unknown } | null)?.code;
  const code = typeof given === 'string' ? given : '';
  // Amounts that make no price.
  if (error instanceof RangeError) return 'rejected';
  if (error instanceof LedgerBusy || error instanceof RowBusy || /^(40|55P03)/.test(code)) return 'retry';
  if (/^(22|23|P0)/.test(code)) return 'rejected';
  if (/^(42|28|3D|53|58|XX)/.test(code)) return 'retry and alarm';
  return isDatabaseAway(error) ? 'retry' : 'retry and alarm';
}

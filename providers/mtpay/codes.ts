import type { RefusalCause } from '../port.ts';

/**
 * Status codes after which MTPay surely has no order and the same request does not help, with a remedy for each. After
 * a SIGNATURE_ERROR for a stamp on the grid, another stamp may help (docs/reference/protocol.md).
 */
export const REFUSALS = {
  SIGNATURE_ERROR: {
    meaning: 'MTPay did not accept our signature, twice, under two stamps.',
    remedy: 'Look at the key pair: placement_refused_by_configuration.',
  },
  ACCESS_KEY_ERROR: {
    meaning: 'MTPay does not know our access key.',
    remedy: 'Look at the key pair: placement_refused_by_configuration.',
  },
  ACCOUNT_STATUS_ERROR: {
    meaning: 'MTPay has closed our account, or part of it.',
    remedy: 'Look at the account, and talk to MTPay: placement_refused_by_configuration.',
  },
  PARAMETER_ERROR: {
    meaning: 'MTPay refused a field of the order.',
    remedy: '`detail` has its words; a new order number.',
  },
  NO_ADVERTISEMENT: {
    meaning: 'No seller takes this amount at this time.',
    remedy: 'Another amount, or later, with a new order number.',
  },
} as const;
export type PlacementRefusal = keyof typeof REFUSALS;

/** The stamp was too far from MTPay's clock. There is no order either; a new signature may help. */
export const STAMP_ERROR = 'TIMESTAMP_ERROR';

const CAUSES: ReadonlyMap<string, RefusalCause> = new Map<PlacementRefusal | typeof STAMP_ERROR, RefusalCause>([
  [STAMP_ERROR, 'clock'],
  ['SIGNATURE_ERROR', 'stamp or key'],
  ['ACCESS_KEY_ERROR', 'configuration'],
  ['ACCOUNT_STATUS_ERROR', 'configuration'],
  ['PARAMETER_ERROR', 'order'],
  ['NO_ADVERTISEMENT', 'order'],
]);

export const isRefusal = (code: unknown): code is PlacementRefusal =>
  typeof code === 'string' && Object.hasOwn(REFUSALS, code);

export const causeOf = (code: string): RefusalCause | null => CAUSES.get(code) ?? null;

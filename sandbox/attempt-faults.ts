import { randomBytes } from 'node:crypto';
import { z } from 'zod';
import { type BodyChanges, type Field, rawValue, UNCHANGED, withFields } from './callback-body.ts';
import { kind } from './fault-kind.ts';

/** What a fault does to one attempt at a callback. */
export interface AttemptEffect extends Partial<BodyChanges> {
  /** The acknowledgement is not noticed: the attempt counts as refused and the schedule goes on. */
  readonly ignoreAck?: boolean;
}

const HOUR_MS = 3_600_000;
const ms = z.int().min(0).max(10_000_000_000);
const RAW_ABSENCES = { absent: null, null: 'null', empty: '""', array: '[]' } as const;

/** Faults of one attempt: with `remaining: 1` the first attempt is off and its retry is genuine. */
export const ATTEMPT_FAULTS = {
  retryAcked: kind({}, (): AttemptEffect => ({ ignoreAck: true })),
  /** A signature of the right form by nobody's key. */
  badSignature: kind(
    {},
    (): AttemptEffect => ({ signature: () => JSON.stringify(randomBytes(32).toString('hex').toUpperCase()) }),
  ),
  lowerCaseSignature: kind(
    {},
    (): AttemptEffect => ({ signature: (genuine) => JSON.stringify(genuine.toLowerCase()) }),
  ),
  noSignature: kind(
    { as: z.enum(['absent', 'null', 'empty', 'array']).default('absent') },
    (params): AttemptEffect => ({ signature: () => RAW_ABSENCES[params.as] }),
  ),
  /** Other data under a genuine signature, which does not cover it. Amounts are given as decimal texts. */
  changedBody: kind(
    { data: z.record(z.string(), z.unknown()) },
    (params): AttemptEffect => ({
      fields: (fields) =>
        withFields(fields, new Map(Object.entries(params.data).map(([name, value]) => [name, rawValue(name, value)]))),
    }),
  ),
  /** A genuine signature of long ago. */
  staleTimestamp: kind({ ms: ms.default(74 * HOUR_MS) }, (params): AttemptEffect => ({ stampOffsetMs: -params.ms })),
  /** A genuine signature of the future. */
  aheadTimestamp: kind({ ms: ms.default(300_000) }, (params): AttemptEffect => ({ stampOffsetMs: params.ms })),
  /** `raw` in place of one field's value, or of all of `data` if no field is named; it need not even be JSON. */
  unreadable: kind(
    { field: z.string().nullable().default('transactionAmount'), raw: z.string().default('"a lot"') },
    (params): AttemptEffect =>
      params.field === null
        ? { data: params.raw }
        : { fields: (fields) => withFields(fields, new Map([[params.field!, params.raw]])) },
  ),
  /** One field twice, the second time with another value. */
  duplicateKeys: kind(
    { field: z.string().default('transactionAmount'), raw: z.string().default('999999.00') },
    (params): AttemptEffect => ({ fields: (fields): Field[] => [...fields, [params.field, params.raw]] }),
  ),
};

/** All effects at once: offsets add up, fields change in the order of the faults, the last signature and data win. */
export function combineAttempt(effects: readonly AttemptEffect[]): BodyChanges & { readonly ignoreAck: boolean } {
  return {
    ignoreAck: effects.some((effect) => effect.ignoreAck === true),
    stampOffsetMs: effects.reduce((sum, effect) => sum + (effect.stampOffsetMs ?? 0), 0),
    fields: (fields) => effects.reduce((changed, effect) => effect.fields?.(changed) ?? changed, fields),
    data: effects.findLast((effect) => effect.data !== undefined)?.data ?? UNCHANGED.data,
    signature: effects.findLast((effect) => effect.signature !== undefined)?.signature ?? UNCHANGED.signature,
  };
}

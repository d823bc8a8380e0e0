import { randomBytes } from 'node:crypto';
import { z } from 'zod';
import { type BodyChanges, type Field, NUMBER_FIELDS, rawValue, UNCHANGED, withFields } from '../wire/callback-body.ts';
import { kind } from './fault-kind.ts';
import { newKeyPair } from '../keys.ts';
import { sign } from '../wire/signature.ts';

/** The effect of a fault on one callback attempt. */
export interface AttemptEffect extends Partial<BodyChanges> {
  /** Ignores the acknowledgment: the attempt counts as refused and the schedule continues. */
  readonly ignoreAck?: boolean;
}

const HOUR_MS = 3_600_000;
const ms = z.int().min(0).max(10_000_000_000);
const RAW_ABSENCES = { absent: null, null: 'null', empty: '""', array: '[]' } as const;

/** Other spellings of the same number of milliseconds. */
const SPELLINGS: Readonly<Record<'quoted' | 'exponent' | 'decimal', (stamp: string) => string>> = {
  quoted: (stamp) => `"${stamp}"`,
  exponent: (stamp) => `${stamp[0]}.${stamp.slice(1)}e${stamp.length - 1}`,
  decimal: (stamp) => `${stamp}.0`,
};

/** Other spellings of the same amount, as libraries write them; for digits with or without decimals, above 0. */
const AMOUNT_SPELLINGS: Readonly<
  Record<'exponent' | 'shifted' | 'zeros', (whole: string, decimals: string) => string>
> = {
  exponent: (whole, decimals) => {
    const [first, ...rest] = (whole + decimals).replace(/^0+/, '').replace(/0+$/, '');
    const power = whole === '0' ? -1 - /^0*/.exec(decimals)![0].length : whole.length - 1;
    return `${first}${rest.length === 0 ? '' : `.${rest.join('')}`}E${power < 0 ? '' : '+'}${power}`;
  },
  shifted: (whole, decimals) => `${(whole + decimals).replace(/^0+/, '')}e-${decimals.length}`,
  zeros: (whole, decimals) => `${whole}.${decimals.padEnd(12, '0')}`,
};

/** Respells an amount; leaves a value that another fault has put in its place. */
function respelled([name, raw]: Field, as: keyof typeof AMOUNT_SPELLINGS): Field {
  const plain = /^(\d+)(?:\.(\d+))?$/.exec(raw);
  const isAmount = NUMBER_FIELDS.has(name) && plain !== null && /[1-9]/.test(raw);
  return isAmount ? [name, AMOUNT_SPELLINGS[as](plain[1]!, plain[2] ?? '')] : [name, raw];
}

/** Faults of one attempt: with `remaining: 1` the first attempt is faulty and its retry is genuine. */
export const ATTEMPT_FAULTS = {
  retryAcked: kind(
    'The acknowledgement is not noticed, and the callback is sent again as if it had been refused.',
    {},
    (): AttemptEffect => ({ ignoreAck: true }),
  ),
  badSignature: kind(
    'The signature has the right form and is by nobody’s key.',
    {},
    (): AttemptEffect => ({ signature: () => JSON.stringify(randomBytes(32).toString('hex').toUpperCase()) }),
  ),
  rotatedKey: kind(
    'The callback is signed with a new key the merchant has not been given yet.',
    {},
    (): AttemptEffect => ({
      signature: (_genuine, { stamp }) => {
        const { accessKey, secretKey } = newKeyPair();
        return JSON.stringify(sign(accessKey, secretKey, stamp));
      },
    }),
  ),
  reflected: kind(
    'Signature and timestamp are those of the merchant’s own placement request, sent back.',
    {},
    (): AttemptEffect => ({
      stamp: (genuine, { placement }) => placement?.stamp ?? genuine,
      signature: (genuine, { placement }) => JSON.stringify(placement?.signature ?? genuine),
    }),
  ),
  lowerCaseSignature: kind(
    'The genuine signature is written in lower case.',
    {},
    (): AttemptEffect => ({ signature: (genuine) => JSON.stringify(genuine.toLowerCase()) }),
  ),
  noSignature: kind(
    'The signature is missing, null, empty or an array.',
    { as: z.enum(['absent', 'null', 'empty', 'array']).default('absent') },
    (params): AttemptEffect => ({ signature: () => RAW_ABSENCES[params.as] }),
  ),
  changedBody: kind(
    'Data fields (amount, currency, order number, any) are changed under a genuine signature, which does not cover them.',
    { data: z.record(z.string(), z.unknown()).default({ transactionAmount: '999999.00' }) },
    (params): AttemptEffect => ({
      fields: (fields) =>
        withFields(fields, new Map(Object.entries(params.data).map(([name, value]) => [name, rawValue(name, value)]))),
    }),
  ),
  staleTimestamp: kind(
    'The callback is genuinely signed for a time long ago.',
    { ms: ms.default(74 * HOUR_MS) },
    (params): AttemptEffect => ({ stampOffsetMs: -params.ms }),
  ),
  aheadTimestamp: kind(
    'The callback is genuinely signed for a time to come.',
    { ms: ms.default(300_000) },
    (params): AttemptEffect => ({ stampOffsetMs: params.ms }),
  ),
  timestampSpelling: kind(
    'The timestamp is the signed number, spelled otherwise: quoted, with an exponent or with a decimal.',
    { as: z.enum(['quoted', 'exponent', 'decimal']).default('quoted') },
    (params): AttemptEffect => ({ stamp: (genuine) => SPELLINGS[params.as](genuine) }),
  ),
  amountSpelling: kind(
    'Amount and price are the same numbers, spelled otherwise: with an exponent, as hundredths or with more zeros.',
    { as: z.enum(['exponent', 'shifted', 'zeros']).default('exponent') },
    (params): AttemptEffect => ({ fields: (fields) => fields.map((field) => respelled(field, params.as)) }),
  ),
  unreadable: kind(
    'Raw text, which need not even be JSON, stands in place of one data field, or of all data if none is named.',
    { field: z.string().nullable().default('transactionAmount'), raw: z.string().default('"a lot"') },
    (params): AttemptEffect =>
      params.field === null
        ? { data: params.raw }
        : { fields: (fields) => withFields(fields, new Map([[params.field!, params.raw]])) },
  ),
  duplicateKeys: kind(
    'A data field is written twice, the second time with another value.',
    { field: z.string().default('transactionAmount'), raw: z.string().default('999999.00') },
    (params): AttemptEffect => ({ fields: (fields): Field[] => [...fields, [params.field, params.raw]] }),
  ),
};

/** Combines effects: offsets add up, fields change in the order of the faults, the last of the others wins. */
export function combineAttempt(effects: readonly AttemptEffect[]): BodyChanges & { readonly ignoreAck: boolean } {
  return {
    ignoreAck: effects.some((effect) => effect.ignoreAck === true),
    stampOffsetMs: effects.reduce((sum, effect) => sum + (effect.stampOffsetMs ?? 0), 0),
    fields: (fields) => effects.reduce((changed, effect) => effect.fields?.(changed) ?? changed, fields),
    data: effects.findLast((effect) => effect.data !== undefined)?.data ?? UNCHANGED.data,
    stamp: effects.findLast((effect) => effect.stamp !== undefined)?.stamp ?? UNCHANGED.stamp,
    signature: effects.findLast((effect) => effect.signature !== undefined)?.signature ?? UNCHANGED.signature,
  };
}

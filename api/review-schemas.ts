import { z } from 'zod';
import { DECISIONS, isReason } from '../domain/decision.ts';
import { IDENTIFIER } from '../domain/order.ts';

/** What the review endpoints accept. The operator is never among it: it is the name of the personal key. */

const REASON = 'expected 3 to 1000 characters on one line';
const reason = z
  .string()
  .max(1000, REASON)
  .transform((text) => text.normalize('NFC').trim())
  .refine((text) => isReason(text), REASON);
const identifier = z.string().regex(IDENTIFIER, 'expected 1 to 64 of A-Z a-z 0-9 _ -');
const rowId = z.string().regex(/^[1-9]\d{0,17}$/, 'expected the number of a row, as a string');

export const caseId = z
  .string()
  .regex(
    /^(deposit:[A-Za-z0-9_-]{1,64}|review:[1-9]\d{0,17}(:reversal:[1-9]\d{0,5})?)$/,
    'expected deposit:<order number>, review:<inbox row> or review:<inbox row>:reversal:<k>',
  );

/** `keep` goes with reverse, `toDeposit` with credit. */
export const proposeBody = z.strictObject({
  decision: z.enum(DECISIONS),
  reason,
  keep: z.boolean().default(false),
  toDeposit: identifier.nullable().default(null),
});
/** `proposal` is the one the operator has read. */
export const confirmBody = z.strictObject({ proposal: rowId });
export const withdrawBody = z.strictObject({ proposal: rowId, reason });

/** A credit in doubt: by the deposit whose own credit it is, or by its posting. */
export const doubtBody = z
  .strictObject({ externalOrderNumber: identifier.optional(), postingId: rowId.optional(), reason })
  .refine((body) => (body.externalOrderNumber === undefined) !== (body.postingId === undefined), {
    message: 'expected either externalOrderNumber or postingId',
  });
export type DoubtBody = z.output<typeof doubtBody>;

const cursor = z.string().transform((text, context) => {
  const match = /^(\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{6}Z)\|(\S{1,100})$/.exec(
    Buffer.from(text, 'base64url').toString('latin1'),
  );
  if (match !== null && !Number.isNaN(Date.parse(match[1]!)) && caseId.safeParse(match[2]).success) {
    return { openedAt: match[1]!, workflowId: match[2]! };
  }
  context.addIssue({ code: 'custom', message: 'not a cursor of ours: use nextCursor of the previous page' });
  return z.NEVER;
});

export const encodeCaseCursor = (end: { readonly openedAt: string; readonly workflowId: string }): string =>
  Buffer.from(`${end.openedAt}|${end.workflowId}`, 'latin1').toString('base64url');

export const caseQuery = z.strictObject({
  state: z.enum(['open', 'closed']).default('open'),
  reason: z
    .string()
    .regex(/^[A-Z_]{3,40}$/, 'expected a reason such as SECOND_CODE')
    .optional(),
  cursor: cursor.optional(),
  limit: z
    .string()
    .regex(/^[1-9]\d{0,2}$/, 'expected 1 to 200')
    .transform(Number)
    .refine((limit) => limit <= 200, 'expected 1 to 200')
    .default(50),
});

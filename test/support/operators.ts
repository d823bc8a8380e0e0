import { createHash } from 'node:crypto';
import type pg from 'pg';
import type { Secret } from '../../config/keys/secret.ts';
import type { ReviewReason } from '../../domain/review.ts';
import { proofOf } from '../../database/queries/api-keys.ts';
import { insertDecision as insert, type NewDecision, type WrittenStep } from '../../database/queries/decisions.ts';

/** Operators of the tests, with keys derived from their names; the template database has issued them. */
export const OPERATORS = ['alice', 'bob', 'carol'] as const;

export const operatorKey = (name: string): string =>
  `dek_${createHash('sha256').update(`operator ${name}`).digest('base64url')}`;
export const proofFor = (name: string): Secret => proofOf(operatorKey(name));

export async function issueOperators(owner: pg.Pool | pg.ClientBase): Promise<void> {
  for (const name of OPERATORS) {
    const values = [proofFor(name).reveal(), name];
    await owner.query(`select engine.make_key($1, $2, '{reviews:decide}', null, null)`, values);
  }
}

/** A case, unless one is open about the callback. The engine's own logins open cases by functions of the database. */
export const insertCase = (
  owner: pg.Pool | pg.ClientBase,
  of: {
    readonly workflowId: string;
    readonly inboxId: string;
    readonly reason: ReviewReason;
    readonly detail?: string;
    readonly openedBy?: string;
    readonly doubted?: string;
  },
) =>
  owner.query(
    `insert into engine.review_case (workflow_id, callback, reason, detail, opened_by, doubted) values ($1, $2, $3, $4, $5, $6)
     on conflict do nothing`,
    [of.workflowId, of.inboxId, of.reason, of.detail ?? '', of.openedBy, of.doubted],
  );

/** A step as the API stores it, by one of {@link OPERATORS}. */
export const insertDecision = (
  db: pg.Pool | pg.ClientBase,
  { operator, ...step }: NewDecision & { readonly operator: string },
): Promise<WrittenStep> => insert(db, proofFor(operator), step);

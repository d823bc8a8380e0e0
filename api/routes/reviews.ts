import { listCases } from '../../database/queries/cases.ts';
import type { StatedFacts } from '../../database/queries/decisions.ts';
import {
  confirmDecision,
  type DecideDependencies,
  proposeDecision,
  verdictsOn,
  visibleCase,
  withdrawDecision,
} from '../../intake/decide-case.ts';
import type { ProvenCaller } from '../../database/queries/api-keys.ts';
import { doubtCredit } from '../../intake/open-case.ts';
import { bind, type Bound } from '../http/operation-route.ts';
import {
  confirmOperation,
  doubtCreditOperation,
  listReviewsOperation,
  proposeOperation,
  readReviewOperation,
  withdrawOperation,
} from '../../contract/reviews.ts';
import { encodeCaseCursor } from '../../contract/review-answers.ts';
import { showCase, showWholeCase } from './review-view.ts';

/** Binds the cases and the steps of a decision (docs/guides/reviews.md#over-http). The caller is the operator. */
export function bindReviews(deps: DecideDependencies): Bound[] {
  const { pool } = deps;
  /** The present case. */
  const now = async (caller: ProvenCaller, id: string, own: StatedFacts | null = null) => {
    const found = await visibleCase(pool, caller, id);
    const verdicts = await verdictsOn(deps, [found]);
    return showWholeCase(pool, found, verdicts.get(found.inboxId)!, own);
  };

  return [
    bind(listReviewsOperation, async ({ query: { cursor, ...filter }, caller }, respond) => {
      const { items, end } = await listCases(pool, { ...filter, wallets: caller.wallets, after: cursor });
      const verdicts = await verdictsOn(deps, items);
      return respond(200, {
        items: items.map((found) => showCase(found, verdicts.get(found.inboxId)!)),
        nextCursor: end === null ? null : encodeCaseCursor(end),
      });
    }),
    bind(doubtCreditOperation, async ({ body, caller }, respond) => {
      const subject = body.case ?? body.postingId ?? body.externalOrderNumber!;
      const { workflowId } = await deps.limitPerKey(subject, () => doubtCredit(deps, caller, body));
      return respond(201, await now(caller, workflowId), { location: `/v1/reviews/${workflowId}` });
    }),
    bind(readReviewOperation, async ({ params: { id }, caller }, respond) => respond(200, await now(caller, id))),
    bind(proposeOperation, async ({ params: { id }, body, caller }, respond) => {
      await proposeDecision(deps, caller, await visibleCase(pool, caller, id), {
        ...body,
        toDeposit: body.toDeposit ?? null,
        beside: body.beside ?? null,
        onlyOrdered: body.onlyOrdered ?? false,
        facts: body.facts ?? null,
      });
      return respond(200, await now(caller, id, body.facts ?? null));
    }),
    bind(confirmOperation, async ({ params: { id }, body, caller }, respond) => {
      const concluded = await confirmDecision(deps, caller, await visibleCase(pool, caller, id), {
        ...body,
        facts: body.facts ?? null,
      });
      return respond(concluded === null ? 202 : 200, await now(caller, id));
    }),
    bind(withdrawOperation, async ({ params: { id }, body, caller }, respond) => {
      await withdrawDecision(deps, caller, await visibleCase(pool, caller, id), body);
      return respond(200, await now(caller, id));
    }),
  ];
}

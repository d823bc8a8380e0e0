import type { Express, Response } from 'express';
import { z } from 'zod';
import type { ApiCaller } from '../database/api-keys.ts';
import { listCases } from '../database/cases.ts';
import { listDecisions } from '../database/decisions.ts';
import { requireScope } from './authenticate.ts';
import {
  confirmDecision,
  type DecideDependencies,
  type Operator,
  proposeDecision,
  visibleCase,
  withdrawDecision,
} from './decide-case.ts';
import { doubtCredit } from './open-case.ts';
import { bytesOf, onlyMethods, readBytes, requireJson } from './http.ts';
import {
  caseId,
  caseQuery,
  confirmBody,
  doubtBody,
  encodeCaseCursor,
  proposeBody,
  withdrawBody,
} from './review-schemas.ts';
import { showCase, showSteps } from './review-view.ts';
import { check, readBody } from './schemas.ts';

const path = z.object({ id: caseId });
const operatorOf = (response: Response): Operator => {
  const { name } = response.locals['caller'] as ApiCaller;
  return { name, wallets: null };
};

/** What people decide: the cases, and the steps of a decision (lifecycle.md, step 7). */
export function addReviews(app: Express, deps: DecideDependencies): void {
  const mayRead = requireScope(deps.pool, 'reviews:decide');
  const mayDecide = requireScope(deps.pool, 'reviews:decide');

  /** The case after a step, as everybody sees it. */
  const answerCase = async (response: Response, status: number, id: string) => {
    const found = await visibleCase(deps.pool, operatorOf(response), id);
    response.status(status).json({ ...showCase(found), steps: showSteps(await listDecisions(deps.pool, id)) });
  };

  app
    .route('/v1/reviews')
    .get(mayRead, async (request, response) => {
      const { cursor, ...filter } = check(caseQuery, request.query);
      const { wallets } = operatorOf(response);
      const { items, end } = await listCases(deps.pool, { ...filter, wallets, after: cursor });
      response.json({ items: items.map(showCase), nextCursor: end === null ? null : encodeCaseCursor(end) });
    })
    .post(mayDecide, requireJson, readBytes, async (request, response) => {
      const found = await doubtCredit(deps, operatorOf(response), readBody(doubtBody, bytesOf(request)));
      await answerCase(response, 201, found.workflowId);
    })
    .all(onlyMethods('GET', 'POST'));

  app
    .route('/v1/reviews/:id')
    .get(mayRead, (request, response) => answerCase(response, 200, check(path, request.params).id))
    .all(onlyMethods('GET'));

  app
    .route('/v1/reviews/:id/propose')
    .post(mayDecide, requireJson, readBytes, async (request, response) => {
      const operator = operatorOf(response);
      const body = readBody(proposeBody, bytesOf(request));
      const found = await visibleCase(deps.pool, operator, check(path, request.params).id);
      await proposeDecision(deps, operator, found, body);
      await answerCase(response, 200, found.workflowId);
    })
    .all(onlyMethods('POST'));

  app
    .route('/v1/reviews/:id/confirm')
    .post(mayDecide, requireJson, readBytes, async (request, response) => {
      const operator = operatorOf(response);
      const { proposal } = readBody(confirmBody, bytesOf(request));
      const found = await visibleCase(deps.pool, operator, check(path, request.params).id);
      const concluded = await confirmDecision(deps, operator, found, proposal);
      // Confirmed, and the books are out of reach: it will be carried out.
      await answerCase(response, concluded === null ? 202 : 200, found.workflowId);
    })
    .all(onlyMethods('POST'));

  app
    .route('/v1/reviews/:id/withdraw')
    .post(mayDecide, requireJson, readBytes, async (request, response) => {
      const operator = operatorOf(response);
      const body = readBody(withdrawBody, bytesOf(request));
      const found = await visibleCase(deps.pool, operator, check(path, request.params).id);
      await withdrawDecision(deps, operator, found, body);
      await answerCase(response, 200, found.workflowId);
    })
    .all(onlyMethods('POST'));
}

import * as deposits from './deposits.ts';
import * as endpoints from './endpoints.ts';
import { listEventsOperation } from './events.ts';
import type { Operation } from './operation.ts';
import * as reviews from './reviews.ts';

const byId = (one: Operation, other: Operation): number => (one.id < other.id ? -1 : 1);

/**
 * Every operation of the private listener: the document, and the client's types, have these. Sorted, because loaders
 * differ in the order of a module's names.
 */
export const OPERATIONS: readonly Operation[] = Object.values({
  ...deposits,
  ...endpoints,
  ...reviews,
  listEventsOperation,
}).toSorted(byId);

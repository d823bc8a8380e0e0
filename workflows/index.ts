/** The workflows that the worker registers; the names are the workflow types in every history. */
export { archive } from './archive.ts';
export { deposit } from './deposit.ts';
export { review } from './review.ts';

import {
  type ActivityOptions,
  type LocalActivityOptions,
  proxyActivities,
  proxyLocalActivities,
} from '@temporalio/workflow';
import type { Activities } from '../activities/index.ts';

/**
 * Local first: a local activity costs one event and no task of its own. Each try is short, because the durable activity
 * behind it can wait for days. A local activity runs again whenever its task is lost or redone, even with one attempt:
 * every activity is idempotent.
 */
const once = { maximumAttempts: 1 } as const;

/** The provider has 25 s to answer; the activity's limit is a little longer. */
export const PLACE: LocalActivityOptions = { startToCloseTimeout: '30s', retry: once };
export const SHORT: LocalActivityOptions = { startToCloseTimeout: '2s', retry: once };

/**
 * No overall limit and no maximum of attempts: the activity is retried until the database is up again, for days if
 * necessary. Retries show in the Web UI and add nothing to the history.
 */
export const DURABLE: ActivityOptions = {
  startToCloseTimeout: '15s',
  retry: { initialInterval: '500ms', backoffCoefficient: 2, maximumInterval: '1m' },
};
/** Like {@link DURABLE}; the activity may have to wait for the deadline of an open attempt. */
export const SETTLE: ActivityOptions = { ...DURABLE, startToCloseTimeout: '40s' };
/** Fetching and writing a batch of histories. */
export const ARCHIVE: ActivityOptions = { ...DURABLE, startToCloseTimeout: '2m' };

/** A server rejects the whole workflow task for a longer summary, and a message sent by hand may hold any text. */
const MAX_SUMMARY = 100;

export const local = (options: LocalActivityOptions, summary: string) =>
  proxyLocalActivities<Activities>({ ...options, summary: summary.slice(0, MAX_SUMMARY) });
export const durable = (options: ActivityOptions, summary: string) =>
  proxyActivities<Activities>({ ...options, summary: summary.slice(0, MAX_SUMMARY) });

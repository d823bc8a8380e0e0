import type { Client, WorkflowClient } from '@temporalio/client';
import type { LoadedDataConverter } from '@temporalio/common';

/**
 * To look at workflows that anybody may have started by hand. The client opens the memo of each that is described or listed, and
 * one that cannot be opened would end the list for all of them: here nothing is opened.
 */
export const unopened = ({ workflow }: Pick<Client, 'workflow'>): WorkflowClient =>
  Object.create(workflow, { dataConverter: { value: OPENS_NOTHING } }) as WorkflowClient;

const OPENS_NOTHING = {
  payloadCodecs: [],
  payloadConverter: { fromPayload: () => undefined },
} as unknown as LoadedDataConverter;

/** What may be quoted of what a workflow says, and what a name of ours looks like: somebody may have written it by hand. */
export const isPlain = (value: unknown): value is string => typeof value === 'string' && /^[\w.:-]{1,64}$/.test(value);

/** The name of a workflow as people may read it; one of ours as it is. */
export const plainName = (name: string): string => name.replaceAll(/[^\w.:-]/g, '?').slice(0, 100);

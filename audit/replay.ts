import type { DataConverter } from '@temporalio/common';
import type { History } from '@temporalio/common/lib/proto-utils.js';
import { Worker } from '@temporalio/worker';

export interface Replayed {
  readonly workflowId: string;
  /** Null: today's code would have decided the same, command by command. */
  readonly difference: string | null;
}

/**
 * Runs recorded histories through workflow code, without a server. A history that the code would have made otherwise is
 * answered with the difference; histories are taken one by one, so that memory stays flat.
 */
export async function* replay(
  code: string,
  histories: AsyncIterable<{ readonly workflowId: string; readonly history: History }>,
  dataConverter: DataConverter = {},
): AsyncGenerator<Replayed> {
  const results = Worker.runReplayHistories(
    { workflowBundle: { code }, dataConverter, replayName: 'audit' },
    histories,
  );
  for await (const { workflowId, error } of results) {
    yield { workflowId, difference: error === undefined ? null : firstLine(error) };
  }
}

const firstLine = (error: Error): string => error.message.split('\n')[0]!.slice(0, 500);

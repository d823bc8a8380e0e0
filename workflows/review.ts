import { CancellationScope, condition } from '@temporalio/workflow';
import type { ReviewInput } from './messages.ts';
import { showReview } from './show.ts';

/**
 * Holds an authentic callback that no machine may credit, so that it has an owner until people have decided. Like a
 * deposit it cannot be cancelled.
 */
export async function review(input: ReviewInput): Promise<void> {
  return CancellationScope.nonCancellable(async () => {
    showReview(input);
    // Decisions of people end this wait.
    await condition(() => false);
  });
}

import { condition, setHandler } from '@temporalio/workflow';
import { callbackAccepted } from '../../../workflows/messages.ts';

/** A start and one signal, and nothing in between: what a workflow costs that does nothing. */
export async function deposit(): Promise<void> {
  let heard = false;
  setHandler(callbackAccepted, () => {
    heard = true;
  });
  await condition(() => heard);
}

import { condition, setHandler } from '@temporalio/workflow';
import { callbackAccepted } from '../../../workflows/messages.ts';

/** A start and one signal, and nothing in between: the cost of a workflow without work. */
export async function deposit(): Promise<void> {
  let heard = false;
  setHandler(callbackAccepted, () => {
    heard = true;
  });
  await condition(() => heard);
}

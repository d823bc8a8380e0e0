import {
  condition,
  defineSignal,
  defineUpdate,
  proxyActivities,
  proxySinks,
  setHandler,
  type Sinks,
} from '@temporalio/workflow';

/** The floors: workflows with the minimal work of their shape. */

export const go = defineSignal('go');
export const answer = defineUpdate<string>('answer');

/** Notifies the driver, without Temporal, that the signal may come now. */
export interface FloorSinks extends Sinks {
  driver: { reached(): void };
}
const { driver } = proxySinks<FloorSinks>();
const { step } = proxyActivities<{ step(): Promise<void> }>({ startToCloseTimeout: '15s' });

function heardGo(): () => boolean {
  let heard = false;
  setHandler(go, () => void (heard = true));
  return () => heard;
}

/** A start, and one signal after the first task. */
export async function empty(): Promise<void> {
  const heard = heardGo();
  driver.reached();
  await condition(heard);
}

/** The obvious first version: place, wait with a timer, credit; each step an activity. */
export async function naive(): Promise<void> {
  const heard = heardGo();
  await step();
  driver.reached();
  await condition(heard, '30m');
  await step();
}

/** Update-with-start, completed in the first task. */
export async function answering(): Promise<void> {
  let answered = false;
  setHandler(answer, () => {
    answered = true;
    return 'redirectUrl';
  });
  await condition(() => answered);
}

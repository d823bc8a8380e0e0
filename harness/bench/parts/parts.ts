import { ack } from './ack.ts';
import { batcher } from './batcher.ts';
import { burst } from './burst.ts';
import { cost } from './cost.ts';
import { create } from './create.ts';
import { flow } from './flow.ts';
import type { Part } from './part.ts';

/** In the order in which they are measured: those that leave many rows behind come last. */
export const PARTS: readonly Part[] = [flow, create, cost, ack, burst, batcher];

import { ackPart } from './ack.ts';
import { auditPart } from './audit.ts';
import { batcherPart } from './batcher.ts';
import { burstPart } from './burst.ts';
import { clonePart } from './clone.ts';
import { costPart } from './cost.ts';
import { createPart } from './create.ts';
import { flowPart } from './flow.ts';
import { growthPart } from './growth.ts';
import { historyPart } from './history.ts';
import { killPart } from './kill.ts';
import { memoryPart } from './memory.ts';
import type { Part } from './part.ts';
import { rivalsPart } from './rivals.ts';
import { twinsPart } from './twins.ts';

/** In the order in which they are measured: what leaves many rows behind, or needs long, comes last. */
export const PARTS: readonly Part[] = [
  flowPart,
  createPart,
  costPart,
  historyPart,
  ackPart,
  burstPart,
  batcherPart,
  rivalsPart,
  twinsPart,
  auditPart,
  clonePart,
  killPart,
  growthPart,
  memoryPart,
];

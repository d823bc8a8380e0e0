import { ackPart } from './parts/ack.ts';
import { auditPart } from './parts/audit.ts';
import { batcherPart } from './parts/batcher.ts';
import { beforePart } from './parts/before.ts';
import { burstPart } from './parts/burst.ts';
import { clonePart } from './parts/clone.ts';
import { costPart } from './parts/cost.ts';
import { createPart } from './parts/create.ts';
import { flowPart } from './parts/flow.ts';
import { growthPart } from './parts/growth.ts';
import { historyPart } from './parts/history.ts';
import { killPart } from './parts/kill.ts';
import { memoryPart } from './parts/memory.ts';
import type { Part } from './part.ts';
import { rivalsPart } from './parts/rivals.ts';
import { twinsPart } from './parts/twins.ts';

/** In the order of measurement: parts that leave many rows behind, or take long, come last. */
export const PARTS: readonly Part[] = [
  flowPart,
  beforePart,
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

import type { DataConverter } from '@temporalio/common';
import type pg from 'pg';
import { ArchiveDamaged, ArchiveMissing, type ArchiveObjects } from '../../archive/objects.ts';
import { auditArchived, type ChosenReplayer, type WorkDependencies } from './archived-work.ts';
import { type BuilderState, ReportBuilder } from '../report/builder.ts';
import { createReplayer } from '../histories/replay.ts';
import type { AuditPart } from '../audit-arguments.ts';

export interface PartDependencies {
  readonly db: pg.ClientBase;
  /** The workflow code of today. */
  readonly code: string;
  /** Hashes of bundles whose histories replay on the bundle itself. */
  readonly exceptions: readonly string[];
  readonly dataConverter: DataConverter;
}

export interface PartAuditor {
  /** Audits one part and returns its findings. */
  audit(part: AuditPart): Promise<BuilderState>;
}

export interface Replayers {
  readonly replayerFor: WorkDependencies['replayerFor'];
  close(): Promise<void>;
}

/** Audits one part of the archive after the other. */
export function createPartAuditor(
  deps: PartDependencies,
  objects: ArchiveObjects,
  { replayerFor }: Replayers,
): PartAuditor {
  return {
    async audit(part) {
      const builder = new ReportBuilder();
      await auditArchived({ ...deps, objects, replayerFor, builder }, part);
      return builder.state();
    },
  };
}

/** One replayer for today's code, and one for each bundle with an exception; each is opened when it is needed. */
export function createReplayers(
  deps: Pick<PartDependencies, 'code' | 'exceptions' | 'dataConverter'>,
  objects: ArchiveObjects,
): Replayers {
  const ofToday = createReplayer(deps.code, deps.dataConverter);
  const chosen = new Map<string, Promise<ChosenReplayer>>();
  const choose = async (bundleHash: string): Promise<ChosenReplayer> => {
    const code = await keptCode(objects, bundleHash);
    // A missing bundle is reported once; its histories are then replayed on today's code.
    if (code === null || !deps.exceptions.includes(bundleHash)) {
      return { replayer: ofToday, replayedOn: 'today', kept: code !== null };
    }
    return { replayer: createReplayer(code, deps.dataConverter), replayedOn: 'itself', kept: true };
  };
  return {
    async replayerFor(bundleHash) {
      if (bundleHash === null) return { replayer: ofToday, replayedOn: 'today', kept: false };
      if (!chosen.has(bundleHash)) chosen.set(bundleHash, choose(bundleHash));
      return chosen.get(bundleHash)!;
    },
    async close() {
      await ofToday.close();
      for (const one of chosen.values()) await (await one).replayer.close();
    },
  };
}

async function keptCode(objects: ArchiveObjects, bundleHash: string): Promise<string | null> {
  try {
    return await objects.get(Buffer.from(bundleHash, 'hex'));
  } catch (error) {
    if (error instanceof ArchiveMissing || error instanceof ArchiveDamaged) return null;
    throw error;
  }
}

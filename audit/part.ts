import type { DataConverter } from '@temporalio/common';
import type pg from 'pg';
import { ArchiveDamaged, ArchiveMissing, archiveObjects } from '../archive/objects.ts';
import { type BuilderState, ReportBuilder } from './builder.ts';
import { auditRange } from './range.ts';
import type { Range } from './scope.ts';

export interface PartDependencies {
  readonly db: pg.ClientBase;
  readonly archiveDirectory: string | undefined;
  /** The workflow code of today. */
  readonly code: string;
  /** Bundles that replay on themselves. */
  readonly exceptions: readonly string[];
  readonly dataConverter: DataConverter;
}

/** Audits one part of the archive after the other; answers what was found in each. */
export function createPartAuditor(deps: PartDependencies): (range: Range) => Promise<BuilderState> {
  const objects = archiveObjects(deps.db, deps.archiveDirectory);
  const kept = new Map<string, Promise<string | null>>();
  const keptCode = async (bundleHash: string) => {
    try {
      return await objects.get(Buffer.from(bundleHash, 'hex'));
    } catch (error) {
      if (error instanceof ArchiveMissing || error instanceof ArchiveDamaged) return null;
      throw error;
    }
  };
  const codeFor = async (bundleHash: string | null) => {
    if (bundleHash === null || !deps.exceptions.includes(bundleHash)) {
      return { code: deps.code, replayedOn: 'today' as const };
    }
    if (!kept.has(bundleHash)) kept.set(bundleHash, keptCode(bundleHash));
    const code = await kept.get(bundleHash);
    // Reported as missing once; its histories are then tried on the code of today.
    return code === null || code === undefined
      ? { code: deps.code, replayedOn: 'today' as const }
      : { code, replayedOn: 'itself' as const };
  };
  return async (range) => {
    const builder = new ReportBuilder();
    await auditRange({ ...deps, objects, codeFor, builder }, ...range);
    return builder.state();
  };
}

import type { DataConverter } from '@temporalio/common';
import type pg from 'pg';
import { archiveObjects } from '../archive/objects.ts';
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
  const kept = new Map<string, Promise<string>>();
  const codeFor = async (bundleHash: string | null) => {
    if (bundleHash === null || !deps.exceptions.includes(bundleHash)) {
      return { code: deps.code, replayedOn: 'today' as const };
    }
    if (!kept.has(bundleHash)) kept.set(bundleHash, objects.get(Buffer.from(bundleHash, 'hex')));
    return { code: await kept.get(bundleHash)!, replayedOn: 'itself' as const };
  };
  return async (range) => {
    const builder = new ReportBuilder();
    await auditRange({ ...deps, objects, codeFor, builder }, ...range);
    return builder.state();
  };
}

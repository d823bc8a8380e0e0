import { readFile } from 'node:fs/promises';
import { z } from 'zod';
import { UsageError } from '../config/command-line.ts';
import type { Finding } from './report/report.ts';
import { depositWorkflowId } from '../domain/ids.ts';

const reason = z.string().min(10).max(1_000);
/** Refuses duplicates: of two reasons for one exception the report would name only one. */
const once =
  <T>(key: (one: T) => string) =>
  (all: readonly T[]) =>
    new Set(all.map(key)).size === all.length;

/** Accepted findings. Each is in this file with its reason, in the repository, and named in the report. */
const file = z.strictObject({
  exceptions: z
    .array(z.strictObject({ bundle: z.string().regex(/^[0-9a-f]{64}$/), reason }))
    .refine(once<{ readonly bundle: string }>(({ bundle }) => bundle)),
  doubles: z
    .array(
      z.strictObject({
        deposit: z.string().regex(/^[A-Za-z0-9_-]{1,64}$/),
        postings: z.array(z.string().regex(/^[1-9]\d{0,17}$/)).min(2),
        reason,
      }),
    )
    .refine(once<{ readonly deposit: string }>(({ deposit }) => deposit))
    .default([]),
  catalogue: z
    .array(z.strictObject({ line: z.string().min(1).max(1_000), reason }))
    .refine(once<{ readonly line: string }>(({ line }) => line))
    .default([]),
});

export interface Exceptions {
  /**
   * Reasons by the sha256 of the bundle: its histories replay on the bundle itself, because today's code decides
   * otherwise.
   */
  readonly bundles: ReadonlyMap<string, string>;
  /** Accepted deposits that, from before slots, have more than one payment in wallets. */
  readonly doubles: readonly Double[];
  /** Reasons by the whole line of the catalogue, such as a grant to another login. */
  readonly catalogue: ReadonlyMap<string, string>;
}
export interface Double {
  readonly deposit: string;
  /** Exactly these postings, in order. */
  readonly postings: readonly string[];
  readonly reason: string;
}

export const NO_EXCEPTIONS: Exceptions = { bundles: new Map(), doubles: [], catalogue: new Map() };

/** Throws {@link UsageError} when the file cannot be read as one. */
export async function readExceptions(path: string): Promise<Exceptions> {
  try {
    const { exceptions, doubles, catalogue } = file.parse(JSON.parse(await readFile(path, 'utf8')));
    return {
      bundles: new Map(exceptions.map(({ bundle, reason }) => [bundle, reason])),
      doubles,
      catalogue: new Map(catalogue.map(({ line, reason }) => [line, reason])),
    };
  } catch (cause) {
    throw new UsageError(`${path} is not a list of exceptions`, { cause });
  }
}

/** The detail of the finding about such a deposit. Other postings give another detail, which no exception explains. */
const doubleDetail = (postings: readonly string[]): string =>
  `postings ${postings.join(', ')} stood beside each other when that became a rule`;

/** The exception that explains a finding. */
export const doubleExplaining = (finding: Finding, { doubles }: Exceptions): Double | undefined =>
  finding.kind === 'double_at_migration'
    ? doubles.find(
        ({ deposit, postings }) =>
          finding.where === depositWorkflowId(deposit) && finding.detail === doubleDetail(postings),
      )
    : undefined;

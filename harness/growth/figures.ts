import type { Ground } from '../bench/figures/result.ts';

/** The groups of the page, in its order. */
export const GROUPS = ['endpoints', 'deposits', 'relay', 'archive', 'audit'] as const;
export type Group = (typeof GROUPS)[number];

/** One read at one size. Times are medians over the rounds, in ms. */
export interface ReadFigure {
  readonly group: Group;
  readonly p50Ms: number;
  readonly p95Ms: number;
  /** Median of the rounds' p95 by that of the smallest size; null at the smallest. `min`, `max`: of the rounds. */
  readonly ratio: number | null;
  readonly min: number | null;
  readonly max: number | null;
  /** Pages of 8 kB that its statements read; null without pg_stat_statements. */
  readonly pages: number | null;
}

/** Bytes of a table on disk, of a database as it was generated. */
export interface TableSize {
  readonly table: string;
  readonly rows: number;
  /** Without its indexes; long values outside of the row included. */
  readonly bytes: number;
  readonly indexes: Readonly<Record<string, number>>;
}

/** Of deposits that were made, paid and credited by the engine on that database. */
export interface DepositCost {
  readonly deposits: number;
  readonly logBytes: number;
  /** Changes of rows, and those that touched no index. */
  readonly updates: number;
  readonly hotUpdates: number;
}

export interface Pruning {
  readonly rows: number;
  readonly perSecond: number;
  readonly slowestBatchMs: number;
}

export interface SizeFigures {
  readonly deposits: number;
  readonly lean: boolean;
  readonly loadSeconds: number;
  readonly reads: Readonly<Record<string, ReadFigure>>;
  readonly tables: readonly TableSize[];
  readonly cost: DepositCost;
  readonly pruning: Pruning;
}

/** The JSON of a run. */
export interface GrowthRun {
  readonly ground: Ground;
  /** Rounds, and requests in each. */
  readonly rounds: number;
  readonly requests: number;
  readonly sizes: readonly SizeFigures[];
}

/** P13: the largest p95 at a size, by that at the smallest. */
export const markOf = (deposits: number): number => (deposits > 1_000_000 ? 2 : 1.5);

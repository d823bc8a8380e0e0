import type { Figure } from './statistics.ts';

/** Figures of one part by point: `{"8": …, "16": …}`. */
export type Figures = Readonly<Record<string, Figure>>;

/** What one part found, and tables that belong to it. */
export interface PartResult {
  readonly figures: Figures;
  /** Further tables of the report: a title, the columns, the rows. */
  readonly tables?: readonly Table[];
  /** Sentences that the figures need to be understood. */
  readonly notes?: readonly string[];
}

export interface Table {
  readonly title: string;
  readonly columns: readonly string[];
  readonly rows: readonly (readonly (string | number)[])[];
}

/** On what it was measured, and when. */
export interface Ground {
  readonly at: string;
  readonly version: string;
  readonly cpu: string;
  readonly cores: number;
  readonly memoryGb: number;
  readonly node: string;
  readonly postgres: string;
  readonly temporal: string;
  readonly loadBefore: number;
  readonly loadAfter: number;
  readonly seconds: number;
  readonly size: 'full' | 'quick' | 'tiny';
}

/** The JSON of a run: the figures of each part under its id, and beside them what the report needs. */
export type BenchRun = Readonly<Record<`P${number}`, Figures>> & {
  readonly ground: Ground;
  readonly tables: Readonly<Record<string, readonly Table[]>>;
  readonly notes: Readonly<Record<string, readonly string[]>>;
  /** Why a part has no figures. */
  readonly failed: Readonly<Record<string, string>>;
};

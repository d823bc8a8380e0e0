import type { Figure } from './statistics.ts';

/** Figures of one part by point: `{"8": …, "16": …}`. */
export type Figures = Readonly<Record<string, Figure>>;

/** The figures of one part, and its tables. */
export interface PartResult {
  readonly figures: Figures;
  /** Further tables of the report: a title, the columns, the rows. */
  readonly tables?: readonly Table[];
  /** Sentences that explain the figures. */
  readonly notes?: readonly string[];
}

export interface Table {
  readonly title: string;
  readonly columns: readonly string[];
  readonly rows: readonly (readonly (string | number)[])[];
}

/** The machine and versions of a measurement, and its time. */
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

/** The JSON of a run: the figures of each part under its id, and further data of the report. */
export type BenchRun = Readonly<Record<`P${number}`, Figures>> & {
  readonly ground: Ground;
  readonly tables: Readonly<Record<string, readonly Table[]>>;
  readonly notes: Readonly<Record<string, readonly string[]>>;
  /** The reasons why parts have no figures. */
  readonly failed: Readonly<Record<string, string>>;
};

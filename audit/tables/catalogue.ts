import type pg from 'pg';
import { compareCatalogue, describeDifference, type CatalogueDifference } from '../../database/schema/catalogue.ts';
import type { Exceptions } from '../exceptions.ts';
import type { Finding } from '../report/report.ts';

export interface CatalogueCheck {
  /** sha256 of database/catalogue.txt, in hexadecimal. */
  readonly hash: string;
  /** Number of compared lines. */
  readonly checked: number;
  readonly findings: readonly Finding[];
  readonly notes: readonly string[];
}

/** Compares the audited database with the lines that the migrations make. */
export async function checkCatalogue(db: pg.ClientBase, exceptions: Exceptions): Promise<CatalogueCheck> {
  const state = await compareCatalogue(db);
  const findings: Finding[] = [];
  const notes = state.facts.map((fact) => `Of the database: ${fact}`);
  const find = (where: string, detail: string) => findings.push({ kind: 'catalogue_differs', where, detail });
  if (state.migrations !== null) find('the migrations', state.migrations);
  for (const difference of state.differences) {
    const reason = exceptions.catalogue.get(lineOf(difference));
    if (reason === undefined) find(difference.what, describeDifference(difference));
    else notes.push(`The database has ${lineOf(difference)}: ${reason}`);
  }
  return { hash: state.hash, checked: state.compared, findings, notes };
}

/** The line of an extra object, which an exception may excuse; empty for other differences, which none excuses. */
const lineOf = ({ what, expected, found }: CatalogueDifference): string =>
  expected !== null || found === null ? '' : found === '' ? what : `${what}: ${found}`;

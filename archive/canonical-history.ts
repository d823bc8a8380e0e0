import { createHash } from 'node:crypto';
import { type History, historyFromJSON, historyToJSON } from '@temporalio/common/lib/proto-utils.js';
import { canonicalText } from '../encoding/canonical-json.ts';

/** A history as it is archived: the same text, and so the same hash, for every reader and at any time. */
export interface CanonicalHistory {
  readonly text: string;
  /** sha256 of the text in UTF-8. */
  readonly hash: Buffer;
}

/** Protobuf's JSON with keys sorted by their UTF-16 code units and no white space. Payloads stay as Temporal holds them. */
export function canonicalHistory(history: History): CanonicalHistory {
  const text = canonicalText(JSON.parse(historyToJSON(history)));
  return { text, hash: sha256(text) };
}

/** The inverse, for replay. Throws when the text is no history. */
export const parseHistory = (text: string): History => historyFromJSON(JSON.parse(text));

/**
 * Whether the text is canonical JSON, of any content. So it has no duplicate key, which two readers could read
 * differently.
 */
export function isCanonical(text: string): boolean {
  try {
    return canonicalText(JSON.parse(text)) === text;
  } catch {
    // It is not JSON, or it is nested deeper than any history.
    return false;
  }
}

export const sha256 = (text: string): Buffer => createHash('sha256').update(text, 'utf8').digest();

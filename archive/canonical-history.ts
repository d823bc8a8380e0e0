import { createHash } from 'node:crypto';
import { type History, historyFromJSON, historyToJSON } from '@temporalio/common/lib/proto-utils.js';
import { canonicalText } from '../encoding/canonical-json.ts';

/** A history as it is kept: the same text, and so the same hash, whoever asks Temporal for it and whenever. */
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

/** Whether it is a text of this form, whatever it says: nothing is said twice in it, of which two readers take two. */
export function isCanonical(text: string): boolean {
  try {
    return canonicalText(JSON.parse(text)) === text;
  } catch {
    // No JSON, or nested deeper than any history is.
    return false;
  }
}

export const sha256 = (text: string): Buffer => createHash('sha256').update(text, 'utf8').digest();

import type { HistoryFacts } from '../../archive/history.ts';
import { compareDeposit } from './compare-deposit.ts';
import { compareReview } from './compare-review.ts';
import { type Comparison, subjectOf } from './comparing.ts';
import type { Finding } from '../report/report.ts';
import type { PostingRecord, Records } from '../tables/rows.ts';
import { shapeFaults } from './history-shapes.ts';

export { inboxIdsIn, subjectOf } from './comparing.ts';

/** A difference between a history and the tables; `posting`: a posting that no step of the history explains. */
export interface Mismatch {
  readonly finding: Finding;
  readonly posting: PostingRecord | null;
}

/**
 * Compares one history with the tables: its decision, postings, callback and deposit row, the operators who decided,
 * and all their times. Pure, and never throws: a forged history is a finding.
 */
export function compareBooks(
  facts: HistoryFacts,
  records: Records,
  explainedElsewhere: ReadonlySet<string> = new Set(),
): Mismatch[] {
  const { findings, explained } = look(facts, records);
  const mismatches = findings.map((finding): Mismatch => ({ finding, posting: null }));
  if (explained === null) return mismatches;
  const postings = records.postings.get(subjectOf(facts)) ?? [];
  const unexplained = postings.filter(({ id }) => !explained.has(id) && !explainedElsewhere.has(id));
  return [
    ...mismatches,
    ...unexplained.map((posting): Mismatch => {
      const detail = `posting ${posting.id} (${posting.kind}, ${posting.amount} MTC) is in no step of its history`;
      return { finding: { kind: 'posting_unexplained', where: facts.workflowId, detail }, posting };
    }),
  ];
}

/** The postings that this history decided, which another run under the same id need not explain. */
export const explainedBy = (facts: HistoryFacts, records: Records): ReadonlySet<string> =>
  look(facts, records).explained ?? new Set();

/** `explained` null: the history is not valid, so its postings are not known. */
function look(facts: HistoryFacts, records: Records): { findings: Finding[]; explained: Set<string> | null } {
  const findings: Finding[] = [];
  const explained = new Set<string>();
  const [where, id] = [facts.workflowId, subjectOf(facts)];
  const on: Comparison = {
    facts,
    records,
    id,
    postings: records.postings.get(id) ?? [],
    explained,
    tell: (kind, detail, place = where) => findings.push({ kind, where: place, detail }),
  };
  for (const { kind, eventId, detail } of facts.odd)
    on.tell(kind === 'time' ? 'times_contradict' : 'not_readable', `event ${eventId} ${detail}`);
  try {
    const faults = shapeFaults(facts);
    for (const fault of faults) on.tell('not_readable', fault);
    if (faults.length > 0) return { findings, explained: null };
    if (facts.workflowType === 'deposit') compareDeposit(on);
    else compareReview(on);
  } catch (error) {
    // Histories of valid shape do not throw. If a shape is missing, the audit continues and names the history.
    on.tell('not_readable', `comparing it failed: ${(error as Error).message.split('\n')[0]}`);
    return { findings, explained: null };
  }
  return { findings, explained };
}

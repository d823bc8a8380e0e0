import type pg from 'pg';
import { MalformedCallback, readData, readDataWithoutExponents, readEnvelope } from '../mtpay/callback.ts';
import type { Finding } from './report.ts';
import { CALLBACK_COLUMNS, type CallbackRecord } from './rows.ts';

/**
 * Reads every kept message again, byte by byte, by the rules that read it when it came: what was hashed is what is in
 * its row, and a stamp was bound to it.
 */
export async function checkInbox(
  db: pg.ClientBase,
  batch: number,
  seen: (checked: number) => void,
): Promise<{ readonly checked: number; readonly findings: Finding[] }> {
  const findings: Finding[] = [];
  let checked = 0;
  for (let after = '0'; ; ) {
    const { rows } = await db.query<CallbackRecord>(
      `select ${CALLBACK_COLUMNS} from engine.callback c where c.id > $1 order by c.id limit $2`,
      [after, batch],
    );
    for (const row of rows) findings.push(...checkCallback(row));
    checked += rows.length;
    seen(checked);
    if (rows.length < batch) return { checked, findings };
    after = rows.at(-1)!.id;
  }
}

export function checkCallback(row: CallbackRecord): Finding[] {
  const where = `callback ${row.id}`;
  const findings: Finding[] = [];
  // The others may have come with a stamp that stands for another content, or before their order was known.
  if (row.receipt === 'first' && !row.stamped)
    findings.push({ kind: 'callback_unknown', where, detail: 'no signed stamp is bound to its content' });
  const read = readAgain(row.raw).find(({ contentHash }) => contentHash.equals(row.contentHash));
  if (read === undefined) {
    findings.push({ kind: 'callback_changed', where, detail: 'its bytes do not hash to its content hash' });
  } else if (!isSameData(read.data, row.data)) {
    findings.push({ kind: 'callback_changed', where, detail: 'its fields are not those of its bytes' });
  }
  return findings;
}

/**
 * What the bytes say by the rules of today, and by those under which a number with an exponent was unreadable: the row of
 * such a message keeps the hash, and the case for people, that it was given then. Nothing if they are no message.
 */
function readAgain(raw: Buffer) {
  try {
    const envelope = readEnvelope(raw);
    return [readData(envelope), readDataWithoutExponents(envelope)].map((reading) => ({
      contentHash: reading.contentHash,
      data: reading.readable ? reading.data : null,
    }));
  } catch (error) {
    if (error instanceof MalformedCallback) return [];
    throw error;
  }
}

function isSameData(read: CallbackRecord['data'], stands: CallbackRecord['data']): boolean {
  if (read === null || stands === null) return read === stands;
  return Object.entries(read).every(([field, value]) => stands[field as keyof typeof stands] === value);
}

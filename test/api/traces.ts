import type { Engine } from '../support/engine.ts';

/** Everything that the engine has stored: its tables, every workflow's history, and these lines of its logs. */
export async function traces(engine: Engine, logLines: readonly string[]): Promise<string> {
  return [...(await tables(engine)), ...(await histories(engine)), ...logLines].join('\n');
}

async function tables(engine: Engine): Promise<string[]> {
  const { rows } = await engine.db.owner.query<{ name: string }>(
    `select format('%I.%I', schemaname, tablename) as name from pg_tables where schemaname in ('engine', 'ledger')`,
  );
  const contents = await Promise.all(rows.map(({ name }) => engine.db.owner.query(`select * from ${name}`)));
  return contents.flatMap((table) => table.rows.map(textOf));
}

async function histories(engine: Engine): Promise<string[]> {
  const texts: string[] = [];
  for await (const { workflowId, runId } of engine.client.workflow.list()) {
    const handle = engine.client.workflow.getHandle(workflowId, runId);
    texts.push(textOf(await handle.fetchHistory()), textOf((await handle.describe()).raw));
  }
  return texts;
}

/** All texts in a value; bytes are read as text. */
function textOf(value: unknown): string {
  if (value instanceof Uint8Array) return Buffer.from(value).toString('utf8');
  if (typeof value === 'string') return value;
  if (value instanceof Date) return value.toISOString();
  if (typeof value === 'object' && value !== null) {
    return Object.entries(value)
      .map(([name, item]) => `${name} ${textOf(item)}`)
      .join('\n');
  }
  return String(value);
}

import type pg from 'pg';
import { asCalled, UsageError } from '../config/command-line.ts';
import { ConfigError } from '../config/settings/read-environment.ts';
import { loadOwnerUrl } from '../config/settings/migration.ts';
import { issueKey, KeyError, type ListedKey, listKeys, type NewKey, revokeKeys } from '../database/queries/api-keys.ts';
import { createPool } from '../database/pool.ts';
import { parseKeyCommand, KEYS_USAGE } from './key-arguments.ts';
import '../config/broken-pipe.ts';
import '../database/command-errors.ts';

/**
 * `npm run keys`: issues, lists and revokes API keys, as the schema's owner. A new key is printed alone on standard
 * output, once; everything for people goes to standard error.
 */

const MISUSED = 2;

const say = (text: string) => console.error(text);

async function main(args: readonly string[]): Promise<number> {
  try {
    const command = parseKeyCommand(args);
    if (command.kind === 'help') {
      console.log(asCalled(KEYS_USAGE));
      return 0;
    }
    const url = loadOwnerUrl();
    const pool = createPool({ url, max: 1, applicationName: 'deposit-keys' });
    try {
      if (command.kind === 'create') return await create(pool, command.wanted);
      if (command.kind === 'list') return await list(pool);
      return await revoke(pool, command.target, command.all);
    } finally {
      await pool.end();
    }
  } catch (error) {
    if (error instanceof UsageError) {
      say(`${error.message}\n\n${asCalled(KEYS_USAGE)}`);
      return MISUSED;
    }
    if (!(error instanceof KeyError || error instanceof ConfigError)) throw error;
    say(error instanceof KeyError && error.code === 'pair' ? `${error.message}: revoke one first` : error.message);
    return 1;
  }
}

async function create(pool: pg.Pool, wanted: NewKey): Promise<number> {
  const { keyId, key } = await issueKey(pool, wanted);
  say(
    `${keyId} for ${wanted.name}: ${wanted.scopes.join(', ')}${wanted.wallets === undefined ? '' : `; only for ${wanted.wallets.join(', ')}`}`,
  );
  say('The key follows; it is stored as a hash and cannot be shown again.');
  console.log(key);
  return 0;
}

async function list(pool: pg.Pool): Promise<number> {
  const keys = await listKeys(pool);
  const rows = [['ID', 'NAME', 'STATE', 'SCOPES', 'WALLETS', 'CREATED', 'EXPIRES'], ...keys.map(row)];
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((cells) => cells[column]!.length)));
  for (const cells of rows)
    console.log(
      cells
        .map((cell, at) => cell.padEnd(widths[at]!))
        .join('  ')
        .trimEnd(),
    );
  return 0;
}

const row = (key: ListedKey): string[] => [
  key.keyId,
  key.name,
  key.isLiving ? 'living' : key.revokedAt === null ? 'expired' : 'revoked',
  key.scopes.join(','),
  key.wallets?.join(',') ?? 'all',
  key.createdAt.toISOString().slice(0, 10),
  key.expiresAt?.toISOString() ?? 'never',
];

async function revoke(pool: pg.Pool, target: string, all: boolean): Promise<number> {
  const found = (await listKeys(pool)).filter((key) => key.keyId === target || key.name === target);
  const living = found.filter((key) => key.isLiving);
  if (living.length === 0) {
    say(found.length === 0 ? `there is no key ${target}` : `${target} holds no living key`);
    return 1;
  }
  const ids = living.map((key) => key.keyId);
  if (ids.length > 1 && !all) {
    say(`${target} holds ${ids.join(' and ')}: give the ID of the one to revoke, or --all`);
    return 1;
  }
  const revoked = await revokeKeys(pool, ids);
  say(`revoked ${revoked.join(', ')}; refused from the next request on`);
  return 0;
}

process.exitCode = await main(process.argv.slice(2));

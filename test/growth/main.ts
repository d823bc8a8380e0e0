import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { readArgumentsOr, wholeOr } from '../../config/command-line.ts';

/**
 * `npm run growth:plans -- --deposits 1000000`: the run of plans.test.ts on a database with so many deposits, and its
 * figures. `--lean`: long fields outside of indexes are short, for as many rows as the disk has room for.
 */
const USAGE = 'npm run growth:plans -- [--deposits 300000] [--lean]';
const options = { deposits: { type: 'string', default: '300000' }, lean: { type: 'boolean', default: false } } as const;
const { values } = readArgumentsOr(USAGE, options, { allowPositionals: false });
const deposits = wholeOr(USAGE, 'deposits', values.deposits, 10_000);
const vitest = spawn(process.execPath, ['node_modules/vitest/vitest.mjs', 'run', 'test/growth/plans.test.ts'], {
  cwd: fileURLToPath(new URL('../..', import.meta.url)),
  env: { ...process.env, GROWTH_DEPOSITS: String(deposits), GROWTH_LEAN: String(values.lean) },
  stdio: 'inherit',
});
const [code] = (await once(vitest, 'exit')) as [number | null];
process.exitCode = code ?? 1;

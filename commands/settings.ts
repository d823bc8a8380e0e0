import { tellMisspelt } from '../config/known-variables.ts';
import { loadApiConfig } from '../config/settings/api.ts';
import { loadArchiveEvery, loadMigrationUrl } from '../config/settings/migration.ts';
import { isEndpointKeySet } from '../config/settings/notifications.ts';
import { loadNotifierConfig } from '../config/settings/notifier.ts';
import { ConfigError } from '../config/settings/read-environment.ts';
import { loadWorkerConfig } from '../config/settings/worker.ts';
import { loadDataConverter } from '../config/temporal.ts';
import '../config/broken-pipe.ts';

/**
 * `node dist/commands/settings.js [PASSWORD…]`: reads the environment as API, worker, notifier and migrations do, and
 * starts none of them. Lists every problem at once, each with its variable; the exit code is 1 if there is one.
 * - The named variables are passwords in addresses: each has to be set, in letters, digits, - and _.
 * - NOTIFIER_DATABASE_PASSWORD and ENDPOINT_SECRET_KEY are given together, or neither: then there are no endpoints.
 * - POSTGRES_CONNECTIONS is read by PostgreSQL itself, which does not start with a wrong number.
 */
const IN_AN_ADDRESS = /^[A-Za-z0-9_-]+$/;
/** Below 100 our processes have too few connections; above 9,999 PostgreSQL needs too much memory. */
const SERVER_CONNECTIONS = /^[1-9]\d{2,3}$/;

const NOTIFIERS = 'NOTIFIER_DATABASE_PASSWORD';
const isNotified = (process.env[NOTIFIERS] ?? '') !== '' || isEndpointKeySet(process.env);
const wantedPasswords = process.argv.slice(2).filter((name) => isNotified || name !== NOTIFIERS);
const passwords = wantedPasswords.flatMap((name) => {
  const value = process.env[name] ?? '';
  if (value === '') return [`${name}: is not set`];
  return IN_AN_ADDRESS.test(value) ? [] : [`${name}: letters, digits, - and _ only`];
});
const wanted = process.env['POSTGRES_CONNECTIONS'] ?? '';
const server =
  wanted === '' || SERVER_CONNECTIONS.test(wanted) ? [] : ['POSTGRES_CONNECTIONS: expected a number from 100 to 9999'];
const loaders = [
  loadWorkerConfig,
  loadApiConfig,
  loadMigrationUrl,
  loadArchiveEvery,
  loadDataConverter,
  ...(isNotified ? [loadNotifierConfig] : []),
];
const problems = new Set([...passwords, ...server, ...loaders.flatMap((load) => problemsOf(() => load()))]);

tellMisspelt((line) => console.error(line));
if (problems.size > 0) {
  console.error(`the settings have ${problems.size} problem(s) (docs/reference/settings.md):`);
  for (const problem of [...problems].toSorted()) console.error(`  ${problem}`);
  process.exitCode = 1;
} else console.log('the settings can be used');

function problemsOf(load: () => unknown): string[] {
  try {
    load();
    return [];
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    const [first, ...lines] = error.message.split('\n');
    return lines.length === 0 ? [first!] : lines.map((line) => line.trim());
  }
}

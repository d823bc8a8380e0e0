import { asCalled, TOOLS } from '../config/command-line.ts';
import '../config/broken-pipe.ts';

/**
 * `node dist/commands/tools.js NAME …`: runs a command of the engine by its name, for the service `tools` of
 * docker-compose.yml.
 */

const LOAD: Readonly<Record<(typeof TOOLS)[number], () => Promise<unknown>>> = {
  keys: () => import('./keys.ts'),
  reviews: () => import('./reviews.ts'),
  endpoints: () => import('./endpoints.ts'),
  'seal-key': () => import('./seal-key.ts'),
  restored: () => import('./restored.ts'),
};
const USAGE = TOOLS.map((name) => asCalled(`npm run ${name} -- --help`)).join('\n');

const name = process.argv[2];
const known = TOOLS.find((tool) => tool === name);
if (known !== undefined) {
  process.argv.splice(2, 1);
  await LOAD[known]();
} else if (name === '--help' || name === '-h') {
  console.log(USAGE);
} else {
  console.error(
    `${name === undefined ? 'Which command?' : `There is no command ${JSON.stringify(name)}.`}\n\n${USAGE}`,
  );
  process.exitCode = 2;
}

import { readArgumentsOr } from '../config/command-line.ts';
import { ENDPOINT_OPTIONS, ENDPOINTS_USAGE, runEndpoints } from './endpoints-terminal.ts';
import '../config/broken-pipe.ts';

/** `npm run endpoints -- …`: makes, shows and changes endpoints, and their deliveries. */

const { values, positionals } = readArgumentsOr(ENDPOINTS_USAGE, ENDPOINT_OPTIONS);
process.exitCode = await runEndpoints(positionals, values, process.env, {
  out: (line) => console.log(line),
  error: (line) => console.error(line),
});

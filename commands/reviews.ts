import { readArgumentsOr } from '../config/command-line.ts';
import { runReviews, STEP_OPTIONS, REVIEWS_USAGE } from './reviews-terminal.ts';
import '../config/broken-pipe.ts';

/** `npm run reviews -- …`: shows cases at a terminal, and takes the steps of a decision. */

const options = {
  ...STEP_OPTIONS,
  closed: { type: 'boolean', default: false },
  deposit: { type: 'string' },
  posting: { type: 'string' },
  case: { type: 'string' },
} as const;
const { values, positionals } = readArgumentsOr(REVIEWS_USAGE, options);
process.exitCode = await runReviews(positionals, values, process.env, {
  out: (line) => console.log(line),
  error: (line) => console.error(line),
});

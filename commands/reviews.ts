import { parseArgs } from 'node:util';
import { runReviews, STEP_OPTIONS } from './reviews-terminal.ts';
import '../config/closed-output.ts';

/** `npm run reviews -- …`: the cases that wait for people, for a terminal. */

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    ...STEP_OPTIONS,
    closed: { type: 'boolean', default: false },
    deposit: { type: 'string' },
    posting: { type: 'string' },
    case: { type: 'string' },
  },
});
process.exitCode = await runReviews(positionals, values, process.env, {
  out: (line) => console.log(line),
  error: (line) => console.error(line),
});

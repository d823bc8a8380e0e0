import { parseArgs } from 'node:util';
import { runReviews } from './reviews-terminal.ts';
import '../config/closed-output.ts';

/** `npm run reviews -- …`: the cases that wait for people, for a terminal. */

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    reason: { type: 'string' },
    closed: { type: 'boolean', default: false },
    keep: { type: 'boolean', default: false },
    to: { type: 'string' },
    deposit: { type: 'string' },
    posting: { type: 'string' },
    case: { type: 'string' },
    beside: { type: 'string' },
    'only-ordered': { type: 'boolean', default: false },
    code: { type: 'string' },
    amount: { type: 'string' },
    currency: { type: 'string' },
    price: { type: 'string' },
    'statement-line': { type: 'string' },
  },
});
process.exitCode = await runReviews(positionals, values, process.env, {
  out: (line) => console.log(line),
  error: (line) => console.error(line),
});

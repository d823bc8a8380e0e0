import { z } from 'zod';

type Issue = z.core.$ZodIssue;

/** The names of JSON types in messages. */
const NAMES: Readonly<Record<string, string>> = {
  string: 'a text',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
  array: 'a list',
  object: 'an object',
  record: 'an object',
  null: 'null',
};

/**
 * Returns all faults of a value from outside, one sentence each: `immediately must be true or false`. `call` returns a
 * member's name for the reader; by default the name itself.
 */
export function problemsOf(error: z.ZodError, call: (name: string) => string = (name) => name): string[] {
  return error.issues.map((issue) => {
    const [first, ...rest] = issue.path.map(String);
    const name = first === undefined ? 'the body' : [call(first), ...rest].join('.');
    return `${name} ${sentence(issue)}`;
  });
}

function sentence(issue: Issue): string {
  switch (issue.code) {
    case 'invalid_type':
      return `must be ${NAMES[issue.expected] ?? issue.expected}`;
    case 'invalid_value':
      return `must be ${issue.values.length === 1 ? '' : 'one of '}${issue.values.map(String).join(', ')}`;
    case 'too_small':
      return `must ${limit(issue.origin, issue.inclusive === false ? 'more than' : 'at least', issue.minimum)}`;
    case 'too_big':
      return `must ${limit(issue.origin, issue.inclusive === false ? 'less than' : 'at most', issue.maximum)}`;
    case 'unrecognized_keys':
      return `must not have ${issue.keys.join(', ')}`;
    case 'invalid_union':
      return 'fits none of the forms it may have';
    default:
      return issue.message;
  }
}

function limit(origin: string, how: string, count: number | bigint): string {
  if (origin === 'string')
    return count === 1 && how === 'at least' ? 'not be empty' : `have ${how} ${count} characters`;
  return origin === 'array' ? `have ${how} ${count} entries` : `be ${how} ${count}`;
}

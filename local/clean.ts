/** `npm run clean`: lists the directories that local stacks left outside of their clones; removes them on request. */

import { rmSync } from 'node:fs';
import { errorSentence } from './servers/error-sentences.ts';
import { findOutside, type Outside } from './servers/outside-directories.ts';
import { OUTSIDE } from './servers/paths.ts';
import { readArguments, UsageError } from '../config/command-line.ts';
import '../config/broken-pipe.ts';

const USAGE = `npm run clean [-- --remove [--unmarked] | --help]

For root, npm start keeps PostgreSQL's data and programs below ${OUTSIDE}, because PostgreSQL refuses root and its user may
not reach the clone. They outlive the clone. This lists them; those whose clone or .data is there, or on which a server
runs, are left alone.

  --remove     remove those whose clone or .data is gone. A clone that was moved says where it is at its next start:
               start it before.
  --unmarked   with --remove: those of earlier versions as well, which do not say for which clone they were made. A
               clone that is there and was not started since then loses its database.`;

const WORDS = {
  needed: 'in use      ',
  forgotten: 'forgotten   ',
  unmarked: 'unmarked    ',
} as const satisfies Record<Outside['standing'], string>;

process.exitCode = main(process.argv.slice(2));

function main(args: string[]): number {
  try {
    const off = { type: 'boolean', default: false } as const;
    const options = { remove: off, unmarked: off, help: { ...off, short: 'h' } } as const;
    const { values } = readArguments(args, options, { allowPositionals: false });
    if (values.help) console.log(USAGE);
    else clean(values.remove, values.unmarked);
    return 0;
  } catch (error) {
    const isMisuse = error instanceof UsageError;
    console.error(isMisuse ? `${error.message}.\n\n${USAGE}` : errorSentence(error));
    return isMisuse ? 2 : 1;
  }
}

function clean(remove: boolean, unmarked: boolean): void {
  const found = findOutside();
  if (found.length === 0) console.log(`Nothing of any local stack is in ${OUTSIDE}.`);
  const goes = ({ standing }: Outside) => standing === 'forgotten' || (unmarked && standing === 'unmarked');
  for (const each of found) {
    if (remove && goes(each)) rmSync(each.path, { recursive: true, force: true });
    const done = remove && goes(each) ? 'removed     ' : WORDS[each.standing];
    console.log(`${done}${megabytes([each]).padStart(9)}  ${each.path}  ${ownerIn(each)}`);
  }
  const removable = found.filter(goes);
  if (remove) console.log(`Removed ${removable.length}: ${megabytes(removable)}.`);
  else if (removable.length > 0) {
    console.log(`${removable.length} can be removed, ${megabytes(removable)}: npm run clean -- --remove`);
  }
}

/** Replaces control characters: a path may hold a line break. */
function ownerIn({ owner }: Outside): string {
  return owner?.replaceAll(/\p{Cc}/gu, '?') ?? 'made by an earlier version';
}

function megabytes(of: readonly Outside[]): string {
  return `${(of.reduce((sum, { bytes }) => sum + bytes, 0) / 1e6).toFixed(1)} MB`;
}

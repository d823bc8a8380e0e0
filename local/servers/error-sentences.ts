/** Turns errors of the machine or of a setting into one sentence; a defect of ours keeps its stack. */

/** System error codes in words. */
const words: Readonly<Record<string, string>> = {
  EACCES: 'permission is denied',
  EPERM: 'it is not permitted',
  EROFS: 'it is on a read-only file system',
  ENOSPC: 'the disk is full',
  EDQUOT: 'the disk quota is used up',
  EMFILE: 'too many files are open',
  ENFILE: 'too many files are open',
  ENOTDIR: 'a part of its path is no directory',
  ELOOP: 'its links lead in a circle',
  EADDRINUSE: 'the port is taken by another program',
  EADDRNOTAVAIL: 'this machine has no such address',
  ECONNREFUSED: 'nobody listens there',
  ECONNRESET: 'the connection was cut',
  ETIMEDOUT: 'nobody answers there',
  EHOSTUNREACH: 'there is no way to that host',
  ENETUNREACH: 'there is no way to that network',
  ENOTFOUND: 'there is no such host',
  EAI_AGAIN: 'no name server answers',
};

type SystemError = NodeJS.ErrnoException & {
  readonly address?: string;
  readonly port?: number;
  readonly hostname?: string;
};

/** Returns one sentence for an error of the machine, the database or this folder; the stack of any other. */
export function errorSentence(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  // Node tries each address of a name and reports the error of each.
  if (error instanceof AggregateError && error.errors.length > 0) return errorSentence(error.errors[0]);
  const { code = '', syscall } = error as SystemError;
  const said = words[code];
  if (said !== undefined && syscall !== undefined) {
    return `Cannot ${`${syscall} ${placeOf(error)}`.trimEnd()}: ${said} (${code}).`;
  }
  if ('severity' in error) return `The database refuses: ${error.message} (${code}).`;
  // Errors of this folder are sentences; anything else is a defect and shows where.
  return error.name === 'Error' || error.name.endsWith('TypeError') ? (error.stack ?? error.message) : error.message;
}

function placeOf({ path, hostname, address, port }: SystemError): string {
  const host = hostname ?? address ?? '';
  return path ?? (port === undefined ? host : `${host}:${port}`);
}

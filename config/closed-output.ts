/**
 * Imported for what it does, by every program that writes lines to a terminal: whoever reads them may stop reading
 * (`… | head -2`, a terminal that was closed). What nobody reads is not written, and the program goes on to its end and its own exit code. Any other
 * failure of the output, such as a full disk, ends it as before.
 */
for (const output of [process.stdout, process.stderr]) {
  output.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE' && error.code !== 'EIO') throw error;
  });
}

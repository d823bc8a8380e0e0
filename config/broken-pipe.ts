/**
 * Imported for its side effect, by every program that writes lines to a terminal. The reader may stop (`… | head -2`, a
 * closed terminal). Then the output is dropped, and the program continues to its end and its own exit code. Any other
 * failure of the output, such as a full disk, ends the program as before.
 */
for (const output of [process.stdout, process.stderr]) {
  output.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE' && error.code !== 'EIO') throw error;
  });
}

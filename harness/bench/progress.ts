export interface Progress<Part> {
  /** Prints a line with the elapsed time and an estimate of the rest. */
  readonly tell: (line: string) => void;
  done(part: Part): void;
}

/** The seconds for the build, the start and the warm-up. */
const START_SECONDS = 60;

const clock = (ms: number): string => {
  const seconds = Math.max(0, Math.round(ms / 1_000));
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, '0')}`;
};

/** Estimates the rest from the parts' planned seconds, scaled by how much longer the earlier parts took. */
export function createProgress<Part>(
  parts: readonly Part[],
  secondsOf: (part: Part) => number,
  write: (line: string) => void,
  nowMs: () => number = () => performance.now(),
): Progress<Part> {
  const startedMs = nowMs();
  const all = parts.reduce((sum, part) => sum + secondsOf(part), START_SECONDS);
  let expectedDone = 0;
  let pace = 1;
  let partStartedMs = startedMs;
  return {
    tell(line) {
      const spentMs = nowMs() - startedMs;
      const inPartMs = nowMs() - partStartedMs;
      const leftMs = Math.max(0, (all - expectedDone) * 1_000 * pace - inPartMs);
      write(`${clock(spentMs)} (about ${clock(leftMs)} left) ${line}`);
    },
    done(part) {
      expectedDone = Math.max(START_SECONDS, expectedDone) + secondsOf(part);
      partStartedMs = nowMs();
      pace = (partStartedMs - startedMs) / (expectedDone * 1_000);
    },
  };
}

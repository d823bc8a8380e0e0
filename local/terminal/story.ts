/** The terminal's output: one line per fact, no secrets. Colors and moving bars only on a terminal. */

import type { DownloadProgress } from '../servers/temporal-sources.ts';

export type Screen = {
  /** Whether lines can be redrawn. */
  readonly isTerminal: boolean;
  readonly columns: number;
  write(text: string): void;
};

export type Story = {
  heading(text: string): void;
  /** A part is up. */
  up(name: string, where: string, afterMs: number): void;
  /** Something happened in the sample deposit; `atMs` counts from its order. */
  step(atMs: number, what: string, detail: string): void;
  link(name: string, where: string): void;
  say(text: string): void;
  warn(text: string): void;
  /** A download's bar, redrawn in place; without a terminal, one line at the start and one at the end. */
  progress(progress: DownloadProgress): void;
};

const NAME_WIDTH = 18;
const BAR_WIDTH = 24;

/** Creates a story that writes to the given screen. */
export function createStory(screen: Screen): Story {
  const paint = (code: number, text: string) => (screen.isTerminal ? `\x1b[${code}m${text}\x1b[0m` : text);
  const bold = (text: string) => paint(1, text);
  const dim = (text: string) => paint(2, text);
  const bar = createBar(screen);
  const line = (text: string) => {
    bar.clear();
    screen.write(`${text}\n`);
  };
  return {
    heading: (text) => line(`\n${bold(text)}`),
    up: (name, where, afterMs) =>
      line(`  ${paint(32, '✓')} ${name.padEnd(NAME_WIDTH)}${where}  ${dim(seconds(afterMs))}`),
    step: (atMs, what, detail) => line(`  ${dim(seconds(atMs).padStart(7))}  ${what.padEnd(NAME_WIDTH)}${detail}`),
    link: (name, where) => line(`  ${name.padEnd(NAME_WIDTH + 2)}${where}`),
    say: (text) => line(text === '' ? '' : `  ${text}`),
    warn: (text) => line(`  ${paint(33, '!')} ${text}`),
    progress: (progress) => bar.show(progress),
  };
}

function createBar(screen: Screen): { show(progress: DownloadProgress): void; clear(): void } {
  let shown = false;
  const announced = new Set<string>();
  const finished = new Set<string>();
  const clear = () => {
    if (shown) screen.write('\r\x1b[K');
    shown = false;
  };
  return {
    clear,
    show(progress) {
      const { what, receivedBytes, totalBytes } = progress;
      if (screen.isTerminal) {
        screen.write(`\r\x1b[K${drawBar(progress).slice(0, Math.max(20, screen.columns - 1))}`);
        shown = true;
        return;
      }
      if (!announced.has(what)) {
        announced.add(what);
        screen.write(`  fetching ${what}${totalBytes === null ? '' : `, ${megabytes(totalBytes)}`} …\n`);
      }
      if (totalBytes !== null && receivedBytes >= totalBytes && !finished.has(what)) {
        finished.add(what);
        screen.write(`  fetched ${what}\n`);
      }
    },
  };
}

function drawBar({ what, receivedBytes, totalBytes }: DownloadProgress): string {
  if (totalBytes === null) return `  … ${what}${receivedBytes > 0 ? ` ${megabytes(receivedBytes)}` : ''}`;
  const share = Math.min(1, receivedBytes / totalBytes);
  const full = Math.round(share * BAR_WIDTH);
  const blocks = `${'█'.repeat(full)}${'░'.repeat(BAR_WIDTH - full)}`;
  return `  ${blocks} ${String(Math.floor(share * 100)).padStart(3)} %  ${what}, ${megabytes(totalBytes)}`;
}

function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}

/** `0.42 s`. */
export function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(2)} s`;
}

/** A decimal string with thousands separators, for display only: `36000.5` → `36,000.5`. */
export function readable(decimal: string): string {
  const [whole = '', fraction] = decimal.split('.');
  const grouped = whole.replaceAll(/\B(?=(\d{3})+$)/g, ',');
  return fraction === undefined ? grouped : `${grouped}.${fraction}`;
}

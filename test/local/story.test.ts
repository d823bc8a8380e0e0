import { expect, test } from 'vitest';
import { createStory, readable } from '../../local/terminal/story.ts';

function told(isTerminal: boolean, columns = 80) {
  let text = '';
  const story = createStory({ isTerminal, columns, write: (more) => (text += more) });
  return { story, text: () => text };
}

const at = (receivedBytes: number) => ({ what: 'temporal 1.9.1', receivedBytes, totalBytes: 40_000_000 });

test('a terminal sees one bar, redrawn in place and gone before the next line', () => {
  const { story, text } = told(true);
  story.progress(at(0));
  story.progress(at(20_000_000));
  story.say('next');
  expect(text()).not.toContain('…\n');
  const frames = text().split('\r\u001b[K');
  expect(frames[2]).toMatch(/^ {2}█{12}░{12} {2}50 % {2}temporal 1\.9\.1, 40\.0 MB$/);
  expect(frames.at(-1)).toBe('  next\n');
});

test('a bar is never wider than the terminal, where it would become two lines', () => {
  const { story, text } = told(true, 30);
  story.progress(at(20_000_000));
  expect(text().replace('\r\u001b[K', '').length).toBeLessThan(30);
});

test('a log sees one line at the start and one at the end, and no control characters', () => {
  const { story, text } = told(false);
  for (const received of [0, 10_000_000, 40_000_000, 40_000_000]) story.progress(at(received));
  story.up('postgres', '127.0.0.1:5432', 420);
  story.step(1234, 'credited', '5,000 MTC');
  expect(text()).toBe(
    '  fetching temporal 1.9.1, 40.0 MB …\n' +
      '  fetched temporal 1.9.1\n' +
      '  ✓ postgres          127.0.0.1:5432  0.42 s\n' +
      '   1.23 s  credited          5,000 MTC\n',
  );
});

test('amounts are shown with their thousands apart and their decimals as they are', () => {
  expect(['5000', '36000.5', '999', '1234567.12345678'].map(readable)).toEqual([
    '5,000',
    '36,000.5',
    '999',
    '1,234,567.12345678',
  ]);
});

import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import * as limits from '../../domain/stamp-limits.ts';

const MINUTE_MS = 60_000;
const DAY_MS = 86_400_000;
const page = (name: string) => readFileSync(new URL(`../../docs/reference/${name}.md`, import.meta.url), 'utf8');

it('a stamp may be as far off as the pages say, and no further', () => {
  const said = (text: string, pattern: RegExp, unitMs: number) => Number(pattern.exec(text)?.[1]) * unitMs;
  const [lifecycle, protocol] = [page('lifecycle'), page('protocol')];
  expect({ ...limits }).toEqual({
    MAX_AHEAD_MS: said(lifecycle, /\*\*L12\. .* more than (\d+) min ahead/, MINUTE_MS),
    AHEAD_NOISE_MS: said(lifecycle, /\*\*L12\. .* From (\d+) min on/, MINUTE_MS),
    BEFORE_ORDER_SLACK_MS: said(lifecycle, /\*\*L13\. .* more than (\d+) min before/, MINUTE_MS),
    STAMPS_KEPT_MS: said(lifecycle, /\*\*L14\. .* the limit is (\d+) days/, DAY_MS),
    MAX_SKEW_MS: said(protocol, /MTPay's, by up to (\d+) min .*: the skew is learned/, MINUTE_MS),
  });
});

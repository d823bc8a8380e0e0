import { describe, expect, test } from 'vitest';
import { createBuckets, remoteName } from '../../api/http/rate-limit.ts';

const at = { ms: 0 };
const buckets = (capacity = 10) => createBuckets({ perSecond: 2, burst: 3 }, capacity, () => at.ms);

describe('a bucket', () => {
  test('gives what is in it at once, then as much as flows in, and never more than it holds', () => {
    const one = buckets();
    expect([1, 2, 3].map(() => one.take('a'))).toEqual([0, 0, 0]);
    expect(one.take('a')).toBeCloseTo(0.5);
    expect(one.take('b')).toBe(0);
    at.ms += 500;
    expect([one.take('a'), one.take('a')].map((wait) => wait === 0)).toEqual([true, false]);
    at.ms += 3_600_000;
    expect([1, 2, 3, 4].map(() => one.take('a') === 0)).toEqual([true, true, true, false]);
  });

  test('is asked without taking from it', () => {
    const one = buckets();
    for (let i = 0; i < 10; i += 1) expect(one.wait('a')).toBe(0);
    expect(one.size).toBe(0);
  });

  test('is one of a bounded number: a flood of names pushes out those that were used least recently', () => {
    const few = buckets(3);
    for (const name of ['a', 'b', 'c', 'a', 'd']) few.take(name);
    expect(['a', 'b', 'c', 'd'].map((name) => few.has(name))).toEqual([true, false, true, true]);
    for (let i = 0; i < 100_000; i += 1) few.take(`flood-${i}`);
    expect(few.size).toBe(3);
  });
});

test.each([
  ['10.0.0.7', '10.0.0.7'],
  ['::ffff:10.0.0.7', '10.0.0.7'],
  ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
  ['2001:db8:1:2::1', '2001:db8:1:2::/64'],
  ['2001:DB8::1', '2001:db8:0:0::/64'],
  ['fe80::1%eth0', 'fe80:0:0:0::/64'],
  ['::1', '0:0:0:0::/64'],
])('%s counts as %s', (address, name) => {
  expect(remoteName(address)).toBe(name);
});

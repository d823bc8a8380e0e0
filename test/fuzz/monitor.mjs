import { subscribe } from 'node:diagnostics_channel';
import { createWriteStream, readdirSync, readFileSync } from 'node:fs';
import { monitorEventLoopDelay, PerformanceObserver, performance } from 'node:perf_hooks';
import { isMainThread } from 'node:worker_threads';

/**
 * Loaded into the API process before its own code: watches it from within and appends one line of JSON to a file twice
 * a second. Other processes that are started with the same environment are left alone.
 */

const TICK_MS = 10;
const SAMPLE_MS = 500;
/** As in samples.ts; plain JavaScript, because it is loaded before anything that reads TypeScript. */
const STALL_MS = 50;

const file = process.env['FUZZ_MONITOR'];
if (file !== undefined && isMainThread && process.argv[1]?.endsWith('api/main.ts')) watch(file);

function watch(path) {
  const RESOLUTION_MS = 10;
  const delay = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  delay.enable();
  // Not written at once: a slow disk would stall the loop that is watched.
  const lines = createWriteStream(path, { flags: 'a' });
  const statuses = {};
  let requests = 0;
  // The requests that the loop began meanwhile, or last before.
  let begun = [];
  subscribe('http.server.request.start', ({ request }) => {
    begun = [...begun.slice(-4), `${request.method} ${request.url.slice(0, 80)}`];
  });
  subscribe('http.server.response.finish', (message) => {
    const { statusCode } = message.response;
    requests += 1;
    statuses[statusCode] = (statuses[statusCode] ?? 0) + 1;
  });
  const collections = [];
  new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) collections.push({ from: entry.startTime, ms: entry.duration });
  }).observe({ entryTypes: ['gc'] });

  let last = performance.now();
  let threads = threadTimes();
  const gaps = [];
  setInterval(() => {
    const now = performance.now();
    const before = threads;
    threads = threadTimes();
    if (now - last - TICK_MS > STALL_MS)
      gaps.push({ from: last, to: now, begun, ...scarcity(now - last, before, threads) });
    last = now;
    begun = begun.slice(-1);
  }, TICK_MS).unref();

  let utilization = performance.eventLoopUtilization();
  setInterval(() => {
    const memory = process.memoryUsage();
    const cpu = process.cpuUsage();
    const before = utilization;
    utilization = performance.eventLoopUtilization();
    const sample = {
      atMs: Math.round(performance.now()),
      requests,
      statuses,
      rssMb: memory.rss / 2 ** 20,
      heapMb: memory.heapUsed / 2 ** 20,
      cpuMs: (cpu.user + cpu.system) / 1_000,
      utilization: performance.eventLoopUtilization(utilization, before).utilization,
      delayMaxMs: Math.max(0, delay.max / 1e6 - RESOLUTION_MS),
      late: gaps.splice(0).map((gap) => ({
        lateMs: gap.to - gap.from - TICK_MS,
        atMs: Math.round(gap.from),
        begun: gap.begun,
        ranMs: gap.ranMs,
        waitedMs: gap.waitedMs,
        gcMs: collections
          .filter(({ from, ms }) => from < gap.to && from + ms > gap.from)
          .reduce((sum, { ms }) => sum + ms, 0),
      })),
    };
    collections.length = 0;
    lines.write(`${JSON.stringify(sample)}\n`);
  }, SAMPLE_MS).unref();
}

/**
 * For each thread, its running time and its time in the machine's run queue; empty where the system does not report it.
 */
function threadTimes() {
  const times = new Map();
  times.set('stolen', stolenMs());
  try {
    for (const id of readdirSync('/proc/self/task')) {
      const [ran, waited] = readFileSync(`/proc/self/task/${id}/schedstat`, 'latin1').split(' ');
      times.set(id, { ran: Number(ran) / 1e6, waited: Number(waited) / 1e6 });
    }
  } catch {
    // A thread may end between the two readings; what was read before it counts.
  }
  return times;
}

/** The time in which the host ran other machines instead of this one, over all processors; in steps of 10 ms. */
function stolenMs() {
  try {
    return Number(/^cpu +(?:\d+ ){7}(\d+)/.exec(readFileSync('/proc/stat', 'latin1'))[1]) * 10;
  } catch {
    return 0;
  }
}

/**
 * How long the machine kept the main thread from running, in ms:
 * - while the thread itself was ready;
 * - while it was blocked by a ready helper thread, such as the garbage collector's;
 * - while the host did not run this machine at all, which the scheduler counts as neither.
 */
function scarcity(gapMs, before, after) {
  const main = String(process.pid);
  const grown = (id, what) => (after.get(id)?.[what] ?? 0) - (before.get(id)?.[what] ?? 0);
  const waitedMs = grown(main, 'waited');
  const blockedMs = Math.max(0, gapMs - grown(main, 'ran') - waitedMs);
  const helpers = [...after.keys()].filter((id) => id !== main && id !== 'stolen').map((id) => grown(id, 'waited'));
  const stolen = after.get('stolen') - before.get('stolen');
  return { ranMs: grown(main, 'ran'), waitedMs: waitedMs + Math.min(blockedMs, Math.max(stolen, ...helpers)) };
}

import { test } from 'vitest';
import { loggedApi, loggedWorker } from '../api/parts.ts';
import { order, paid } from '../support/builders.ts';
import { callbackAddress, callbackBody } from '../support/callbacks.ts';
import { startEngine } from '../support/engine.ts';
const engine = await startEngine({ worker: false });
const api = await loggedApi(engine);
await loggedWorker(engine);
for (let i = 0; i < 5; i++)
  test('burst' + i, async () => {
    const created = await engine.create();
    const n = created.body.externalOrderNumber;
    const body = callbackBody(engine, paid(order({ externalOrderNumber: n })));
    const t0 = performance.now();
    const times: number[] = [];
    const answers = await Promise.all(
      Array.from({ length: 100 }, async () => {
        const a = await engine.callback(callbackAddress(engine, n), body);
        times.push(Math.round(performance.now() - t0));
        return a.status;
      }),
    );
    console.log(answers.filter((s) => s !== 200).length, 'refused; max ms', Math.max(...times), times.join(' '));
    console.log([...new Set(api.lines.splice(0).map((l) => l.replace(/"time":\d+,/, '')))].slice(0, 5).join('\n'));
  });

/** The calls that the local stack makes to the sandbox's control API. */

import { z } from 'zod';
import { UsageError } from '../../config/command-line.ts';

/** The sandbox returned an unexpected response. */
class UnexpectedAnswerError extends Error {
  override name = 'UnexpectedAnswerError';
}

const TIMEOUT_MS = 15_000;

/** Pays an order as its customer does, through the sandbox's control API. */
export async function payAtSandbox(sandboxUrl: string, controlToken: string, orderNumber: string): Promise<void> {
  await ask(sandboxUrl, controlToken, `/control/orders/${orderNumber}/pay`, { immediately: true });
}

const orderAtSandbox = z.object({
  orders: z.array(
    z.object({
      deliveries: z.array(
        z.object({ state: z.string(), attempts: z.array(z.object({ problem: z.string().nullable() })) }),
      ),
    }),
  ),
});

/** Reads the callbacks of an order from the sandbox; `problem` states why an attempt was not acknowledged. */
export async function deliveriesAtSandbox(sandboxUrl: string, controlToken: string, orderNumber: string) {
  const order = orderAtSandbox.parse(await ask(sandboxUrl, controlToken, `/control/orders/${orderNumber}`));
  return order.orders.flatMap(({ deliveries }) => deliveries);
}

const scenario = z.object({ name: z.string(), description: z.string() });

/** Lists the scenarios by name. */
export async function scenariosAtSandbox(sandboxUrl: string, controlToken: string) {
  const found = await ask(sandboxUrl, controlToken, '/control/scenarios');
  return z.object({ scenarios: z.array(scenario) }).parse(found).scenarios;
}

/** Arms a scenario for one order. Throws `UsageError` with all names if there is none of this name. */
export async function armAtSandbox(sandboxUrl: string, controlToken: string, name: string, orderNumber: string) {
  const names = (await scenariosAtSandbox(sandboxUrl, controlToken)).map((one) => one.name);
  if (!names.includes(name)) throw new UsageError(`There is no scenario ${JSON.stringify(name)}: ${names.join(', ')}`);
  return scenario.parse(await ask(sandboxUrl, controlToken, '/control/scenarios', { name, scope: orderNumber }));
}

/** A GET, or a POST of the body. */
async function ask(url: string, token: string, path: string, body?: unknown): Promise<unknown> {
  const answer = await fetch(`${url}${path}`, {
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    signal: AbortSignal.timeout(TIMEOUT_MS),
    ...(body === undefined ? {} : { method: 'POST', body: JSON.stringify(body) }),
  });
  const text = await answer.text();
  if (answer.ok) return text === '' ? null : JSON.parse(text);
  throw new UnexpectedAnswerError(`${path} answers ${answer.status}: ${wordsOf(text)}`);
}

const refusal = z.object({ error: z.string() });

/** The words of the sandbox's refusal; of any other body its beginning. */
function wordsOf(text: string): string {
  try {
    return refusal.parse(JSON.parse(text)).error;
  } catch {
    return text.slice(0, 500);
  }
}

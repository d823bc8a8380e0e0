import { expect } from 'vitest';
import type { CallbackData, Order } from '../../../domain/order.ts';
import { reviewWorkflowId } from '../../../domain/ids.ts';
import { sign } from '../../../providers/mtpay/signature.ts';
import { placed as placedBy } from '../../api/decisions.ts';
import { expectRefusal, type InboxRow, inbox, postings, raised, stored, timesRaised } from '../../api/evidence.ts';
import { loggedApi, loggedWorker } from '../../api/parts.ts';
import { traces } from '../../api/traces.ts';
import { callbackAddress, callbackBody, providerKey } from '../../support/messages/callbacks.ts';
import { type Answer, startEngine } from '../../support/engine.ts';
import { until } from '../../support/until.ts';

/** No relay starts the deposits that a test has only reserved. */
const NO_START = { everyMs: 100, freshMs: 500, againMs: 2_000, unstartedMs: 3_600_000 };
const PAYER = 'Zhuge Liangliang';

/** An engine that callbacks are sent to, and everything that was sent; stopped when the file is done. */
export async function startReceiving() {
  const engine = await startEngine({ worker: false });
  const api = await loggedApi(engine, NO_START);
  const worker = await loggedWorker(engine);
  /** Every body that was sent: its secrets must not be found elsewhere. */
  const sent: string[] = [];
  const addresses = new Set<string>();

  function send(externalOrderNumber: string, body: string) {
    const address = callbackAddress(engine, externalOrderNumber);
    sent.push(body);
    addresses.add(address);
    return engine.callback(address, body);
  }
  const say = (data: CallbackData | Readonly<Record<string, unknown>>, timestampMs?: number) =>
    send(String(data.externalOrderNumber), callbackBody(engine, data, timestampMs));

  const placed = (change: Record<string, unknown> = {}) => placedBy(engine, { payerRealName: PAYER, ...change });

  async function expectCredited({ externalOrderNumber }: Order, code: string, amount = '5000'): Promise<void> {
    expect(await engine.untilState(externalOrderNumber, 'CREDITED')).toMatchObject({
      transactionCode: code,
      creditedAmount: amount,
      review: null,
    });
    expect(await postings(engine, externalOrderNumber)).toEqual([amount]);
  }

  /** The newest inbox row is a case of its own, open for operators; the deposit and its money are unchanged. */
  async function expectReview({ externalOrderNumber }: Order, receipt: string, reason: string): Promise<InboxRow> {
    const row = await until(`a review ${reason}`, async () => {
      const newest = (await inbox(engine, externalOrderNumber)).at(-1);
      return newest?.outcome !== null && newest;
    });
    expect(row).toMatchObject({ receipt, reason, acked: true, outcome: `review:${reviewWorkflowId(row)}` });
    const described = await engine.client.workflow.getHandle(reviewWorkflowId(row)).describe();
    expect(described).toMatchObject({
      type: 'review',
      status: { name: 'RUNNING' },
      searchAttributes: { ReviewReason: [reason], DepositState: ['IN_REVIEW'] },
    });
    expect(api.alarms(externalOrderNumber)).toContain('callback_review');
    return row;
  }

  /** Refused with this status and code, and nothing is stored or counted. */
  async function expectUntouched(asking: () => Promise<Answer>, status: number, code: string): Promise<Answer> {
    const before = await stored(engine);
    const answer = await asking();
    expectRefusal(answer, status, code);
    expect(await stored(engine)).toEqual(before);
    return answer;
  }

  /** Refused as above; its address and its signature are right, so one alarm is raised. */
  async function expectTold(asking: () => Promise<Answer>, status: number, code: string): Promise<Answer> {
    const before = timesRaised(api, 'callback_not_readable');
    const answer = await expectUntouched(asking, status, code);
    await until('the alarm', async () => timesRaised(api, 'callback_not_readable') > before);
    expect(timesRaised(api, 'callback_not_readable')).toBe(before + 1);
    return answer;
  }
  /** The last alarm of a kind, with what it proves. */
  const lastAlarm = (alarm: string) => raised(api.log, api.lines).findLast((line) => line.alarm === alarm);

  /** Expects no secret of this file's messages in a table, a history or a log: a file's last test. */
  async function expectNoTraces(): Promise<void> {
    const text = await traces(engine, [...api.lines, ...worker.lines]);
    const canaries = [
      ...sent.map((body) => /"signature":"([^"]+)"/.exec(body)![1]!),
      ...[...addresses].map((address) => address.split('/').at(-1)!),
      ...['MTPAY_ACCESS_KEY', 'MTPAY_SECRET_KEY', 'CALLBACK_KEY', 'PAYER_NAME_KEY', 'FINGERPRINT_KEY'].map(
        (name) => engine.env[name]!,
      ),
      ...PAYER.split(' '),
    ];
    expect(canaries.length).toBeGreaterThan(50);
    expect(canaries.filter((canary) => text.includes(canary))).toEqual([]);
    const stamps = await engine.db.owner.query<{ timestamp_ms: string }>('select timestamp_ms from engine.own_stamp');
    expect(text).not.toContain(sign(providerKey(engine), Number(stamps.rows[0]!.timestamp_ms)));
    // The search works: these are there, in a table, a history's payload and a log.
    expect(text).toContain('"[signature]"');
    expect(text).toContain('"paymentWindowMs":1800000');
    expect(text).toContain('"alarm":"callback_review"');
  }

  return {
    engine,
    api,
    worker,
    send,
    say,
    placed,
    expectCredited,
    expectReview,
    expectUntouched,
    expectTold,
    lastAlarm,
    expectNoTraces,
  };
}

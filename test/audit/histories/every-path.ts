import { expect } from 'vitest';
import { startDeposit } from '../../../intake/start-workflow.ts';
import { adoptDeposit, findDeposit } from '../../../database/queries/deposits.ts';
import { settleAttempt } from '../../../database/queries/placements.ts';
import { lookAgain, orderAnswered } from '../../../workflows/messages.ts';
import { order as buildOrder, paid } from '../../support/builders.ts';
import { peopleOf } from '../../support/workflows/people.ts';
import { until } from '../../support/until.ts';
import { PLACED } from '../../support/workflows/provider.ts';
import type { Reserved, WorkflowWorld } from '../../support/workflows/workflow-world.ts';
import { eventsOf, resetTo, taskOf } from '../../support/workflows/reset.ts';
import { away, situations } from '../../support/workflows/situations.ts';
import { moneyPaths } from './money-paths.ts';
import { depositWorkflowId } from '../../../domain/ids.ts';

const refused = async () => ({ kind: 'refused', code: 'NO_ADVERTISEMENT', message: 'no offer' }) as const;
const SHORT = { paymentWindowMs: 200, listeningWindowMs: 400 };

/** Every path of a deposit and of a case of its own, by name; each is walked to its end. */
export function everyPath(world: WorkflowWorld): Readonly<Record<string, () => Promise<unknown>>> {
  const { keep, openCase, proposes, confirms, withdraws } = peopleOf(world);
  const { untilState, pays, short, unplaced, paidAtLast, late, credited, second, about, doubted, together, failing } =
    situations(world);
  const { owner } = world.db;
  const api = world.db.poolFor('app_api');
  /** As the relay does it for an open row whose workflow was terminated, or never started. */
  async function startedAgain(reserved: Reserved) {
    const { externalOrderNumber } = reserved.order;
    await adoptDeposit(api, externalOrderNumber);
    await startDeposit(world.client, (await findDeposit(api, externalOrderNumber))!, 'ALLOW_DUPLICATE_FAILED_ONLY');
    return world.client.workflow.getHandle(depositWorkflowId(externalOrderNumber));
  }

  return {
    ...moneyPaths(world),
    'paid in time': () => credited(),
    'paid, told to look before it was told of the payment': async () => {
      const reserved = await world.reserve();
      const handle = await world.start(reserved);
      await untilState(reserved, 'AWAITING_PAYMENT');
      await world.receive(paid(reserved.order));
      await handle.signal(lookAgain);
      expect(await handle.result()).toMatchObject({ state: 'CREDITED' });
    },
    'paid late': async () => {
      const reserved = await world.reserve({}, { paymentWindowMs: 200 });
      const handle = await world.start(reserved);
      await untilState(reserved, 'EXPIRED');
      await paidAtLast({ reserved, handle });
    },
    'never paid': async () => (await world.start(await world.reserve({}, SHORT))).result(),
    'refused by the provider': async () => {
      const reserved = await world.reserve();
      world.answers(reserved.order.externalOrderNumber, refused);
      await (await world.start(reserved)).result();
    },
    'refused, and yet paid': async () => {
      const reserved = await world.reserve();
      const { externalOrderNumber } = reserved.order;
      world.answers(externalOrderNumber, refused);
      let inboxId = '';
      world.instead('close', externalOrderNumber, async (close) => {
        if (inboxId === '') ({ inboxId } = await world.receive(paid(reserved.order)));
        return close();
      });
      const handle = await world.start(reserved);
      await untilState(reserved, 'IN_REVIEW');
      await together({ handle, inboxId }, 'credit');
      await handle.result();
    },
    'paid while it closed': async () => {
      const reserved = await world.reserve({}, SHORT);
      let done = false;
      world.instead('close', reserved.order.externalOrderNumber, async (close) => {
        if (!done) await world.receive(paid(reserved.order));
        done = true;
        return close();
      });
      await (await world.start(reserved)).result();
    },
    'placement unknown, then paid': async () => paidAtLast(await unplaced()),
    'placement unknown, answered late, then paid': async () => {
      const { reserved, handle } = await unplaced();
      const n = reserved.order.externalOrderNumber;
      await settleAttempt(world.db.poolFor('app_worker'), n, 1, PLACED);
      const { rows } = await owner.query<{ expires_at: Date }>(
        'select expires_at from engine.deposit where external_order_number = $1',
        [n],
      );
      await handle.signal(orderAnswered, { expiresAt: rows[0]!.expires_at.toISOString() });
      await untilState(reserved, 'AWAITING_PAYMENT');
      await paidAtLast({ reserved, handle });
    },
    'placement unknown, paid, and answered when nobody waited any more': async () => {
      const of = await unplaced();
      await settleAttempt(world.db.poolFor('app_worker'), of.reserved.order.externalOrderNumber, 1, PLACED);
      await paidAtLast(of);
    },
    'everything settled durably': async () => {
      const reserved = await world.reserve({}, { paymentWindowMs: 200 });
      for (const activity of ['recordState', 'credit'] as const) failing(activity, reserved, 1);
      // The row is stored, and then the activity's own result is lost.
      world.instead('placeOrder', reserved.order.externalOrderNumber, async (place) => {
        await place();
        throw away();
      });
      const handle = await world.start(reserved);
      await untilState(reserved, 'EXPIRED');
      await paidAtLast({ reserved, handle });
    },
    'closed durably': async () => {
      const reserved = await world.reserve({}, SHORT);
      failing('close', reserved, 1);
      await (await world.start(reserved)).result();
    },
    'given to people and decided durably': async () => {
      const reserved = await world.reserve();
      for (const activity of ['recordReview', 'recordProposal', 'decide'] as const) failing(activity, reserved, 1);
      const of = await pays(reserved, { transactionAmount: '4999' });
      await untilState(reserved, 'IN_REVIEW');
      await together(of, 'credit');
      await of.handle.result();
    },
    'signals that are no payment, and one ten times': async () => {
      const reserved = await world.reserve();
      const handle = await world.start(reserved);
      await handle.signal('callbackAccepted', { inboxId: 7, transactionAmount: '1e9' });
      await handle.signal('callbackAccepted', null);
      const payment = await world.receive(paid(reserved.order));
      await Promise.all(Array.from({ length: 10 }, () => world.signal(handle, payment).catch(() => undefined)));
      await handle.result();
    },
    'credited, and what the database answered is lost because the workflow is told meanwhile': async () => {
      const reserved = await world.reserve();
      const handle = await world.start(reserved);
      await untilState(reserved, 'AWAITING_PAYMENT');
      await world.receive(paid(reserved.order));
      // A task that would end the workflow is discarded when a signal has arrived meanwhile, with its local activities.
      world.instead('credit', reserved.order.externalOrderNumber, async (credit) => {
        const answer = await credit();
        await handle.signal(lookAgain);
        return answer;
      });
      await handle.signal(lookAgain);
      await handle.result();
    },
    'a code that stands for another deposit': async () => {
      const { payment } = await credited();
      const { transactionCode } = payment;
      const of = await pays(await world.reserve(), { transactionCode });
      await untilState(of.reserved, 'IN_REVIEW');
      await together(of, 'reject');
      await of.handle.result();
    },
    'withdrawn, proposed anew, rejected': async () => {
      const of = await short();
      await withdraws('bob', of, await proposes('alice', of, 'credit'));
      await confirms('alice', of, await proposes('bob', of, 'reject'));
      await of.handle.result();
    },
    'decided by one, below the limit': async () => {
      const of = await short({ reviewLimit: '4999' });
      await confirms('alice', of, await proposes('alice', of, 'credit'));
      await of.handle.result();
    },
    'credited to the wallet of another deposit': async () => {
      const [of, other] = [await short(), await world.reserve({ wallet: 'wallet-other' })];
      await together(of, 'credit', { toDeposit: other.order.externalOrderNumber });
      await of.handle.result();
      await pays(other);
    },
    'reset by hand, and then decided': async () => {
      const of = await short();
      const { workflowId } = of.handle;
      const { runId } = await of.handle.describe();
      await resetTo(world.client.workflow, of.handle, runId, await taskOf(of.handle, 'first'));
      const handle = world.client.workflow.getHandle(workflowId);
      await until('it to be with people again', async () =>
        (await eventsOf(handle)).some((event) => event.upsertWorkflowSearchAttributesEventAttributes),
      );
      await together({ ...of, handle }, 'credit');
      await handle.result();
    },
    'late money, rejected': async () => {
      const of = await late();
      await together(of, 'reject');
      await of.handle.result();
    },
    'late money, credited': async () => {
      const of = await late();
      await together(of, 'credit');
      await of.handle.result();
    },
    'late money whose code stands elsewhere': async () => {
      const { payment } = await credited();
      const reserved = await world.reserve({}, { paymentWindowMs: 200, latePolicy: 'review' });
      const handle = await world.start(reserved);
      await untilState(reserved, 'EXPIRED');
      const second = await world.receive(paid(reserved.order, { transactionCode: payment.transactionCode }));
      await world.signal(handle, second);
      await untilState(reserved, 'IN_REVIEW');
      await together({ handle, inboxId: second.inboxId }, 'reject');
      await handle.result();
    },
    'a second payment, credited': async () => {
      const of = await second('SECOND_CODE');
      await together(of, 'credit', { beside: of.beside });
      await of.handle.result();
    },
    'a second payment, rejected': async () => {
      const of = await second('SECOND_CODE');
      await together(of, 'reject');
      await of.handle.result();
    },
    'a stale payment, credited by people': async () => {
      const of = await second('STALE');
      await together(of, 'credit', { beside: of.beside });
      await of.handle.result();
    },
    'a case whose workflow was terminated, and taken up again': async () => {
      const of = await second('SECOND_CODE');
      const parked = await until('its money to be parked', async () => {
        const { rows } = await owner.query('select parked from engine.review_case where callback = $1', [of.inboxId]);
        return rows[0].parked as string | null;
      });
      expect(parked).not.toBeNull();
      await proposes('alice', of, 'credit');
      await of.handle.terminate('by hand');
      const again = await world.client.workflow.start('review', {
        taskQueue: 'deposits',
        workflowId: of.handle.workflowId,
        args: [{ ...of.input, standing: 'parked', workflowId: of.handle.workflowId }],
      });
      await together({ handle: again, inboxId: of.inboxId }, 'credit', { beside: of.beside });
      await again.result();
    },
    'paid when its workflow had been terminated, credited by people': async () => {
      const reserved = await world.reserve();
      const gone = await world.start(reserved);
      await untilState(reserved, 'AWAITING_PAYMENT');
      await gone.terminate('by hand');
      const payment = await world.receive(paid(reserved.order));
      const { inboxId, transactionCode } = payment;
      const input = { ...about(reserved, inboxId), reason: 'WORKFLOW_GONE', transactionCode, payment } as const;
      const handle = await openCase({ ...input, standing: 'nothing' });
      await together({ handle, inboxId }, 'credit');
      await handle.result();
    },
    'terminated while it waited, started again, credited': async () => {
      const reserved = await world.reserve();
      const first = await world.start(reserved);
      await untilState(reserved, 'AWAITING_PAYMENT');
      await first.terminate('by hand');
      await paidAtLast({ reserved, handle: await startedAgain(reserved) });
    },
    'terminated before it was placed, started again and never placed, credited': async () => {
      const reserved = await world.reserve();
      const handle = await startedAgain(reserved);
      await untilState(reserved, 'PLACEMENT_UNKNOWN');
      await paidAtLast({ reserved, handle });
    },
    'a message that cannot be read, rejected': async () => {
      const reserved = await world.reserve();
      const { inboxId } = await keep(paid(reserved.order), 'unreadable', 'UNREADABLE', { data: null });
      const input = {
        ...about(reserved, inboxId),
        reason: 'UNREADABLE',
        transactionCode: null,
        payment: null,
      } as const;
      const of = { handle: await openCase({ ...input, standing: 'unreadable' }), inboxId };
      await together(of, 'reject');
      await of.handle.result();
    },
    'a message for an order that nobody knows, credited to one': async () => {
      const [nobody, somebody] = [buildOrder(), await world.reserve()];
      const payment = await keep(paid(nobody), 'unknown_order', 'UNKNOWN_ORDER', { deposit: null });
      const of = {
        handle: await openCase({
          inboxId: payment.inboxId,
          externalOrderNumber: nobody.externalOrderNumber,
          reason: 'UNKNOWN_ORDER',
          transactionCode: payment.transactionCode,
          payment,
          order: null,
          standing: 'nothing',
        }),
        inboxId: payment.inboxId,
      };
      await together(of, 'credit', { toDeposit: somebody.order.externalOrderNumber });
      await of.handle.result();
      await pays(somebody);
    },
    'a credit in doubt that stays': async () => {
      const of = await doubted('wallet-right');
      await together(of, 'reject');
      await of.handle.result();
    },
    'a credit in doubt, reversed': async () => {
      const of = await doubted('wallet-recalled');
      await together(of, 'reverse');
      await of.handle.result();
    },
    'a credit in doubt, kept, and put into another wallet': async () => {
      const [of, right] = [await doubted('wallet-wrong'), await world.reserve({ wallet: 'wallet-right' })];
      await together(of, 'reverse', { keep: true });
      await together(of, 'credit', { toDeposit: right.order.externalOrderNumber });
      await of.handle.result();
      await pays(right);
    },
    'a credit in doubt, kept, and given back': async () => {
      const of = await doubted('wallet-right-after-all');
      await together(of, 'reverse', { keep: true });
      await together(of, 'reject');
      await of.handle.result();
    },
  };
}

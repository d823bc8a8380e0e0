import type { WorkflowHandle } from '@temporalio/client';
import { insertReceived } from '../messages/inbox.ts';
import { insertCase } from '../operators.ts';
import { inTransaction } from '../../../database/pool.ts';
import type { Decision } from '../../../domain/decision.ts';
import type { CallbackData, Payment } from '../../../domain/order.ts';
import type { Receipt, ReviewReason } from '../../../domain/review.ts';
import { confirm, propose, type ReviewInput, reviewStart, withdraw } from '../../../workflows/messages.ts';
import type { WorkflowWorld } from './workflow-world.ts';
import { insertDecision } from '../operators.ts';

/** A case, wherever it is held. */
export interface Case {
  readonly handle: WorkflowHandle;
  readonly inboxId: string;
}

/** The steps of operators in cases, without the API: writes the rows as the API does, then signals the workflow. */
export function peopleOf(world: WorkflowWorld) {
  const about = (by: string, { handle }: Case) => ({ workflowId: handle.workflowId, operator: by });
  return {
    /** Stores and acknowledges a payment that is not the deposit's own; `as`: without a deposit, or unreadable. */
    keep: async (
      data: CallbackData,
      receipt: Receipt,
      reason: ReviewReason,
      as: { readonly deposit?: null; readonly data?: null } = {},
    ): Promise<Payment> => {
      const row = await inTransaction(world.db.owner, (client) =>
        insertReceived(client, data, { receipt, reviewReason: reason, ...as }),
      );
      const { transactionCode, transactionAmount, currencyCode, paymentPrice } = data;
      const facts = { inboxId: row.id, transactionCode, transactionAmount, currencyCode, paymentPrice };
      return { ...facts, receivedAt: row.receivedAt.toISOString() };
    },

    openCase: async (input: ReviewInput): Promise<WorkflowHandle> => {
      const { workflowId } = reviewStart(input);
      const { doubt } = input;
      await insertCase(world.db.owner, {
        workflowId,
        inboxId: input.inboxId,
        reason: input.reason,
        detail: doubt?.reason ?? '',
        ...(doubt === undefined ? {} : { doubted: doubt.postingId, openedBy: doubt.operator }),
      });
      return world.client.workflow.start('review', reviewStart(input));
    },

    proposes: async (
      by: string,
      of: Case,
      decision: Decision,
      more: { keep?: boolean; toDeposit?: string; beside?: string; onlyOrdered?: boolean } = {},
    ) => {
      const body = {
        decision,
        reason: 'compared with the statement',
        keep: more.keep ?? false,
        toDeposit: more.toDeposit ?? null,
        ...(more.beside === undefined ? {} : { beside: more.beside }),
        ...(more.onlyOrdered === undefined ? {} : { onlyOrdered: more.onlyOrdered }),
      };
      const { id: decisionId } = await insertDecision(world.db.owner, { ...about(by, of), step: 'propose', ...body });
      await of.handle.executeUpdate(propose, { args: [{ decisionId, operator: by, ...body }] });
      return decisionId;
    },

    confirms: async (by: string, of: Case, proposal: string) => {
      const step = { step: 'confirm', proposal, reason: null } as const;
      const { id: decisionId } = await insertDecision(world.db.owner, { ...about(by, of), ...step });
      return of.handle.executeUpdate(confirm, { args: [{ decisionId, proposalId: proposal, operator: by }] });
    },

    withdraws: async (by: string, of: Case, proposal: string) => {
      const reason = 'thought again';
      const step = { step: 'withdraw', proposal, reason } as const;
      const { id: decisionId } = await insertDecision(world.db.owner, { ...about(by, of), ...step });
      await of.handle.executeUpdate(withdraw, { args: [{ decisionId, proposalId: proposal, operator: by, reason }] });
    },
  };
}

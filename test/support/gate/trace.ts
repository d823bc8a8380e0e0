import type { coresdk } from '@temporalio/proto';
import { announcementOf, type Command, millisecondsOf, textOf } from '../../../archive/recorded-commands.ts';
import { valueOf } from '../../../archive/history.ts';

type Jobs = readonly coresdk.workflow_activation.IWorkflowActivationJob[];
type Asked = coresdk.workflow_commands.IWorkflowCommand;

/** Collects the commands of one replayed workflow, in the order in which its history would hold them. */
export class GateTrace {
  readonly #done: Command[] = [];
  /** Local activities without a result, by number, and the count of commands at the time of each request. */
  readonly #open = new Map<number, { readonly command: Command; readonly after: number }>();
  readonly #timers = new Map<number, string | null>();
  readonly #updates = new Map<string, string>();

  activated(jobs: Jobs): void {
    for (const { doUpdate, resolveActivity } of jobs) {
      if (doUpdate) this.#updates.set(doUpdate.protocolInstanceId ?? '', doUpdate.name ?? '');
      if (!resolveActivity?.isLocal) continue;
      const seq = resolveActivity.seq ?? 0;
      const answered = this.#open.get(seq);
      if (answered !== undefined) this.#done.push(answered.command);
      this.#open.delete(seq);
    }
  }

  concluded(commands: readonly Asked[]): void {
    const cancelled = new Set(commands.flatMap(({ cancelTimer }) => (cancelTimer ? [cancelTimer.seq] : [])));
    const started = new Set(commands.flatMap(({ startTimer }) => (startTimer ? [startTimer.seq] : [])));
    for (const asked of commands) {
      // A timer that is canceled in the activation that requests it is never started: no history holds it.
      if (asked.startTimer && cancelled.has(asked.startTimer.seq)) continue;
      if (asked.cancelTimer && started.has(asked.cancelTimer.seq)) continue;
      const command = this.#waiting(asked) ?? this.#updating(asked) ?? commandOf(asked);
      if (command === null) continue;
      const { scheduleLocalActivity: local } = asked;
      if (local) this.#open.set(local.seq ?? 0, { command, after: this.#done.length });
      else this.#done.push(command);
    }
  }

  /**
   * A history holds a local activity at its result. One that the history does not have never gets a result: it is
   * placed where it was requested, because the code wanted it there.
   */
  commands(): readonly Command[] {
    const commands: Command[] = [...this.#done];
    for (const { command, after } of [...this.#open.values()].toReversed()) commands.splice(after, 0, command);
    return commands;
  }

  #waiting({ startTimer, cancelTimer, userMetadata }: Asked): Command | null {
    if (startTimer) {
      const summary = textOf(userMetadata?.summary);
      this.#timers.set(startTimer.seq ?? 0, summary);
      return { kind: 'timer', durationMs: millisecondsOf(startTimer.startToFireTimeout), summary };
    }
    return cancelTimer ? { kind: 'timerCancelled', summary: this.#timers.get(cancelTimer.seq ?? 0) ?? null } : null;
  }

  #updating({ updateResponse }: Asked): Command | null {
    if (!updateResponse) return null;
    const name = this.#updates.get(updateResponse.protocolInstanceId ?? '') ?? '';
    if (updateResponse.accepted) return { kind: 'updateAccepted', name };
    const answer = valueOf(updateResponse.completed);
    return { kind: 'updateAnswered', name, refused: Boolean(updateResponse.rejected), answer };
  }
}

function commandOf(asked: Asked): Command | null {
  const { scheduleActivity, scheduleLocalActivity, completeWorkflowExecution } = asked;
  const activity = scheduleActivity ?? scheduleLocalActivity;
  if (activity) {
    const input = (activity.arguments ?? []).map((payload) => valueOf(payload));
    const summary = textOf(asked.userMetadata?.summary);
    return { kind: 'activity', name: activity.activityType ?? '', local: !scheduleActivity, input, summary };
  }
  const fields = asked.upsertWorkflowSearchAttributes?.searchAttributes?.indexedFields;
  if (fields) return announcementOf(fields);
  if (asked.setPatchMarker) return { kind: 'patch', id: asked.setPatchMarker.patchId ?? '' };
  if (completeWorkflowExecution) {
    return { kind: 'end', failed: false, result: valueOf(completeWorkflowExecution.result) };
  }
  return asked.failWorkflowExecution ? { kind: 'end', failed: true, result: null } : null;
}

import { proxySinks, type Sinks, type WorkflowInterceptors } from '@temporalio/workflow';

/**
 * Bundled with the workflows by the replay gate only. Passes activations and commands on and changes neither. The SDK's
 * replay compares kinds and names of commands, the gate their values as well.
 */
export interface GateSinks extends Sinks {
  readonly gate: {
    /** The jobs of an activation, as the SDK's core sends them. */
    activated(jobs: readonly object[]): void;
    /** The commands that the activation ended with. */
    concluded(commands: readonly object[]): void;
  };
}

const { gate } = proxySinks<GateSinks>();

export const interceptors = (): WorkflowInterceptors => ({
  internals: [
    {
      activate(input, next) {
        gate.activated(input.activation.jobs ?? []);
        return next(input);
      },
      concludeActivation(input, next) {
        gate.concluded(input.commands);
        return next(input);
      },
    },
  ],
});

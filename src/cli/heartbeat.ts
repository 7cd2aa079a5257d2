/** Signs of life that a trainer gives to the process that watches over it (`train --max-restarts`). */

/** A sign of life. */
export interface Heartbeat {
  /** The step that is computed, or was last; null before the first. */
  step: number | null;
}

/** Set in the environment of a trainer that is watched over. */
export const supervisedVariable = "PREFTUNE_SUPERVISED";

/** Signs that follow one another sooner than this are left out, unless the step has changed. */
const beatMs = 100;

/**
 * A function that gives a sign of life, and does nothing where nobody watches. When who watches is gone, this process stops as
 * by SIGTERM: a trainer that nobody watches over is not left behind.
 */
export function heartbeats(): (step: number | null) => void {
  if (process.env[supervisedVariable] !== "1" || process.send === undefined) return () => {};
  process.on("disconnect", () => process.kill(process.pid, "SIGTERM"));
  // who listens for nothing but the end keeps no process running
  process.channel?.unref();
  let lastStep: number | null = null;
  let at = Number.NEGATIVE_INFINITY;
  return (step) => {
    const now = performance.now();
    if (step === lastStep && now - at < beatMs) return;
    lastStep = step;
    at = now;
    // from inside a step too: the pipe takes it at once
    if (process.connected) process.send?.({ step } satisfies Heartbeat, undefined, undefined, () => {});
  };
}

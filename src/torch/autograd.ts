/** Gradients: backward passes driven from TypeScript, and blocks without recording. */
import { guarded, native } from "./native.ts";
import { Tensor } from "./tensor.ts";

/** Options of `backward` and `gradients`. */
export interface BackwardOptions {
  /** Gradients with respect to the outputs, one each; may be left out for scalars. */
  gradients?: readonly Tensor[];
  /** Keep what backward needs, to run it again. Default false. */
  retainGraph?: boolean;
}

/** Adds the gradients of `outputs` to the `grad` of every leaf that requires one. */
export function backward(outputs: readonly Tensor[], options: BackwardOptions = {}): void {
  const given = options.gradients?.map((t) => t.handle);
  guarded(() =>
    native.backward(
      outputs.map((t) => t.handle),
      given,
      options.retainGraph ?? false,
    ),
  );
}

/** Gradients of `outputs` with respect to `inputs`, null where an input does not matter; no leaf's `grad` is touched. */
export function gradients(
  outputs: readonly Tensor[],
  inputs: readonly Tensor[],
  options: BackwardOptions = {},
): (Tensor | null)[] {
  const given = options.gradients?.map((t) => t.handle);
  const handles = guarded(() =>
    native.gradients(
      outputs.map((t) => t.handle),
      inputs.map((t) => t.handle),
      given,
      options.retainGraph ?? false,
    ),
  );
  return handles.map((handle) => (handle === undefined ? null : new Tensor(handle)));
}

/** Runs `body` with recording on or off and puts the former state back, also after an exception. */
function withGrad<T>(enabled: boolean, body: () => T): T {
  const before = native.isGradEnabled();
  native.setGradEnabled(enabled);
  try {
    return body();
  } finally {
    native.setGradEnabled(before);
  }
}

/** Whether what is computed now is recorded for autograd. */
export function isGradEnabled(): boolean {
  return native.isGradEnabled();
}

/** Runs `body` (synchronous) without recording for autograd. */
export function noGrad<T>(body: () => T): T {
  return withGrad(false, body);
}

/** Runs `body` (synchronous) with recording, also inside `noGrad`. */
export function enableGrad<T>(body: () => T): T {
  return withGrad(true, body);
}

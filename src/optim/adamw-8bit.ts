/** AdamW with averages in 8 bits (Dettmers et al. 2022, arXiv:2110.02861), in bitsandbytes' layout: `optim: adamw_8bit`. */
import { stateBlock } from "../formats/bits-and-bytes.ts";
import { dequantiseBlocks, dynamicMap, quantiseBlocks } from "../nn/blockwise.ts";
import { noGrad, onDevice, ops, scope, type Tensor } from "../torch/index.ts";

/** The averages of one tensor, under bitsandbytes' names. */
export interface State8 {
  /** uint8, of the tensor's shape: averages of the gradient. */
  state1: Tensor;
  /** (blocks) float32. */
  absmax1: Tensor;
  /** The same of its square. */
  state2: Tensor;
  absmax2: Tensor;
  /** () float32: steps taken. */
  step: Tensor;
}

/** The tables that the averages are stored with, on one device. */
export interface StateCodes extends Disposable {
  /** (256) float32 */
  signed: Tensor;
  unsigned: Tensor;
}

/** Makes them for `device`. */
export function stateCodes(device: string): StateCodes {
  using making = scope();
  const signed = making.keep(onDevice(dynamicMap(true), device, "float32"));
  const unsigned = making.keep(onDevice(dynamicMap(false), device, "float32"));
  return {
    signed,
    unsigned,
    [Symbol.dispose]() {
      signed.dispose();
      unsigned.dispose();
    },
  };
}

/** What an update needs of a tensor. */
export interface Updated8 {
  /** float32 */
  parameter: Tensor;
  grad: Tensor;
  state: State8;
}

/** Rates of one step; `weightDecay` is of the learning rate, as torch has it. */
export interface StepRates {
  lr: number;
  beta1: number;
  beta2: number;
  weightDecay: number;
  eps: number;
}

/**
 * One step by torch's operators, on any device; the addon's kernel does the same on the CPU. The step is counted already.
 *
 * @param skipped - () float32, 1 where nothing is to change
 */
export function plainStep(
  { parameter, grad, state }: Updated8,
  codes: StateCodes,
  { lr, beta1, beta2, weightDecay, eps }: StepRates,
  skipped: Tensor | null,
): void {
  using _ = scope();
  noGrad(() => {
    const stored = (average: Tensor, absmax: Tensor, code: Tensor) =>
      dequantiseBlocks({ codes: average, absmax }, code, stateBlock);
    const moved = (from: Tensor, beta: number, to: Tensor) =>
      ops.add(ops.mul(from, beta), ops.mul(to, 1 - beta));
    const average = moved(stored(state.state1, state.absmax1, codes.signed), beta1, grad);
    const square = moved(stored(state.state2, state.absmax2, codes.unsigned), beta2, ops.mul(grad, grad));
    // 1 − βᵗ without losing its digits in float32
    const correction = (beta: number) => ops.neg(ops.expm1(ops.mul(state.step, Math.log(beta))));
    const divisor = ops.add(ops.div(ops.sqrt(square), ops.sqrt(correction(beta2))), eps);
    const change = ops.div(ops.mul(average, lr), ops.mul(divisor, correction(beta1)));
    const weight = ops.sub(ops.mul(parameter, 1 - lr * weightDecay), change);
    const first = quantiseBlocks(average, codes.signed, stateBlock);
    const second = quantiseBlocks(square, codes.unsigned, stateBlock);
    const results: [Tensor, Tensor][] = [
      [parameter, weight],
      [state.state1, first.codes],
      [state.absmax1, first.absmax],
      [state.state2, second.codes],
      [state.absmax2, second.absmax],
    ];
    for (const [old, made] of results) {
      ops.copy_(old, skipped === null ? made : ops.where(ops.eq(skipped, 1), old, made));
    }
  });
}

/** One step of all, in the addon's kernel: all on the CPU. The step is counted already. */
export function kernelStep(present: readonly Updated8[], codes: StateCodes, rates: StepRates): void {
  const states = present.map(({ state }) => state);
  ops.adamw8bit_(
    present.map(({ parameter }) => parameter),
    present.map(({ grad }) => grad),
    states.map(({ state1 }) => state1),
    states.map(({ absmax1 }) => absmax1),
    states.map(({ state2 }) => state2),
    states.map(({ absmax2 }) => absmax2),
    states.map(({ step }) => step),
    codes.signed,
    codes.unsigned,
    rates,
  );
}

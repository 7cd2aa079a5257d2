/** AdamW with averages in 8 bits (Dettmers et al. 2022, arXiv:2110.02861), in bitsandbytes' layout: `optim: adamw_8bit`. */
import { stateBlock, updateStretch } from "../formats/bits-and-bytes.ts";
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
 * One step by torch's operators, on any device; the addon's kernel does the same on the CPU. The step is counted already. What it takes
 * beside the state is of the size of a stretch, not of the tensor.
 *
 * @param skipped - () float32, 1 where nothing is to change
 * @param stretch - numbers at once, whole blocks; any number gives the same
 */
export function plainStep(
  { parameter, grad, state }: Updated8,
  step: { codes: StateCodes; rates: StepRates },
  skipped: Tensor | null,
  stretch: number = updateStretch,
): void {
  using _ = scope();
  noGrad(() => {
    const { beta1, beta2 } = step.rates;
    // 1 − βᵗ without losing its digits in float32
    const correction = (beta: number) => ops.neg(ops.expm1(ops.mul(state.step, Math.log(beta))));
    const corrections: Corrections = { first: correction(beta1), root: ops.sqrt(correction(beta2)) };
    const total = parameter.numel;
    const flat = ops.reshape(grad, [-1]);
    for (let begin = 0; begin < total; begin += stretch) {
      const size = Math.min(stretch, total - begin);
      const part = (whole: Tensor) => ops.narrow(ops.view(whole, [-1]), 0, begin, size);
      const blocks = (whole: Tensor) =>
        ops.narrow(whole, 0, begin / stateBlock, Math.ceil(size / stateBlock));
      using _part = scope();
      const { state1, absmax1, state2, absmax2 } = state;
      const own = {
        ...{ parameter: part(parameter), grad: part(flat) },
        state: {
          state1: part(state1),
          absmax1: blocks(absmax1),
          state2: part(state2),
          absmax2: blocks(absmax2),
        },
      };
      stretchStep(own, step, corrections, skipped);
    }
  });
}

/** () float32 each: 1 − β₁ᵗ, and the root of 1 − β₂ᵗ. */
interface Corrections {
  first: Tensor;
  root: Tensor;
}

function stretchStep(
  { parameter, grad, state }: Omit<Updated8, "state"> & { state: Omit<State8, "step"> },
  { codes, rates: { lr, beta1, beta2, weightDecay, eps } }: { codes: StateCodes; rates: StepRates },
  { first, root }: Corrections,
  skipped: Tensor | null,
): void {
  const put = (old: Tensor, made: Tensor) =>
    void ops.copy_(old, skipped === null ? made : ops.where(ops.eq(skipped, 1), old, made));
  const stored = (average: Tensor, absmax: Tensor, code: Tensor) =>
    dequantiseBlocks({ codes: average, absmax }, code, stateBlock);
  const moved = (from: Tensor, beta: number, to: Tensor) =>
    ops.add_(ops.mul_(from, beta), ops.mul(to, 1 - beta));
  const average = moved(stored(state.state1, state.absmax1, codes.signed), beta1, grad);
  const square = moved(stored(state.state2, state.absmax2, codes.unsigned), beta2, ops.mul(grad, grad));
  const results = [
    [quantiseBlocks(average, codes.signed, stateBlock), state.state1, state.absmax1],
    [quantiseBlocks(square, codes.unsigned, stateBlock), state.state2, state.absmax2],
  ] as const;
  const divisor = ops.mul_(ops.add(ops.div_(ops.sqrt(square), root), eps), first);
  const change = ops.div_(ops.mul_(average, lr), divisor);
  put(parameter, ops.sub_(ops.mul(parameter, 1 - lr * weightDecay), change));
  for (const [{ codes: made, absmax }, oldCodes, oldAbsmax] of results) {
    put(oldCodes, made);
    put(oldAbsmax, absmax);
  }
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

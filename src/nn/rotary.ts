/** Rotary position embeddings (Su et al. 2021, arXiv:2104.09864) with the scalings of frequencies that published models have. */
import type { RopeConfig } from "../formats/model-config.ts";
import { type DType, onDevice, ops, type Tensor, tensor } from "../torch/index.ts";
import type { RMSNorm } from "./rms-norm.ts";

/** Cosines and sines of T positions, each (T, 1, W), W the numbers of a head that turn, the first of them. */
export interface RotaryAngles {
  cos: Tensor;
  sin: Tensor;
  /** W */
  width: number;
  /** The type of turned heads where the angles are float32 beside activations of another type; else null. */
  rounds: DType | null;
}

/** Frequencies of a head's pairs. */
export interface RotaryTable {
  /** (W/2) float32: radians a position. */
  inverse: Float32Array<ArrayBuffer>;
  /** On cosines and sines. */
  factor: number;
  /** Whether heads are turned in float32. */
  isExact: boolean;
}

/** Numbers of a head that turn. */
function rotatedWidth({ share }: RopeConfig, headDim: number): number {
  return Math.trunc(headDim * share);
}

/** The table of a model's heads of `headDim`. */
export function rotaryTable(rope: RopeConfig, headDim: number, isExact: boolean): RotaryTable {
  const { scaling } = rope;
  return {
    inverse: inverseFrequencies(rope, headDim),
    factor: scaling.kind === "yarn" || scaling.kind === "longrope" ? scaling.attentionFactor : 1,
    isExact,
  };
}

/**
 * Inverse frequencies of the W/2 rotated pairs, float32; 0 of those that stay as they are.
 *
 * Numerics: powers are rounded to float32 where transformers rounds them; the two agree to the last float32 digit or two.
 */
export function inverseFrequencies(config: RopeConfig, headDim: number): Float32Array<ArrayBuffer> {
  const width = rotatedWidth(config, headDim);
  const { theta, scaling } = config;
  const out = new Float32Array(width / 2);
  const turned = scaling.kind === "proportional" ? Math.floor((scaling.share * width) / 2) : out.length;
  for (let i = 0; i < turned; i++) {
    const power = Math.fround(theta ** Math.fround((2 * i) / width));
    const frequency = Math.fround(1 / power);
    if (scaling.kind === "longrope")
      out[i] = 1 / Math.fround(Math.fround(scaling.shortFactors[i] ?? 1) * power);
    else
      out[i] = scaling.kind === "yarn" ? stretched(frequency, i, config, width) : scaled(frequency, config);
  }
  return out;
}

/** Llama 3 keeps high frequencies, divides low ones by `factor`, and blends between (Llama 3.1 release, transformers). */
function scaled(frequency: number, { scaling }: RopeConfig): number {
  if (scaling.kind === "linear") return frequency / scaling.factor;
  if (scaling.kind !== "llama3") return frequency;
  const wavelength = (2 * Math.PI) / frequency;
  const { factor, lowFreqFactor, highFreqFactor, originalMaxPositions } = scaling;
  if (wavelength < originalMaxPositions / highFreqFactor) return frequency;
  if (wavelength > originalMaxPositions / lowFreqFactor) return frequency / factor;
  const smooth = (originalMaxPositions / wavelength - lowFreqFactor) / (highFreqFactor - lowFreqFactor);
  return ((1 - smooth) * frequency) / factor + smooth * frequency;
}

/**
 * YaRN (Peng et al. 2023, arXiv:2309.00071) keeps the pairs that turn often within the original length, divides those that turn
 * less than once by `factor`, and blends between by the pair's place.
 */
function stretched(frequency: number, pair: number, { theta, scaling }: RopeConfig, width: number): number {
  if (scaling.kind !== "yarn") return frequency;
  const { factor, betaFast, betaSlow, originalMaxPositions } = scaling;
  /** The pair that turns so often within the original length. */
  const pairOf = (turns: number) =>
    (width * Math.log(originalMaxPositions / (turns * 2 * Math.PI))) / (2 * Math.log(theta));
  const low = Math.max(Math.floor(pairOf(betaFast)), 0);
  const high = Math.min(Math.ceil(pairOf(betaSlow)), width - 1);
  const divided = Math.min(1, Math.max(0, (pair - low) / (high === low ? 0.001 : high - low)));
  return Math.fround(frequency / factor) * divided + frequency * (1 - divided);
}

/**
 * Angles for the given positions, computed in float32 and rounded to `dtype`.
 *
 * @param positions - (T) int64, on the device of the result
 */
export function rotaryAngles(
  { inverse, factor, isExact }: RotaryTable,
  positions: Tensor,
  dtype: DType,
): RotaryAngles {
  const frequencies = onDevice(tensor(inverse), positions.device, "float32");
  const half = ops.outer(ops.to(positions, "float32"), frequencies);
  const angle = ops.unsqueeze(ops.cat([half, half], 1), 1);
  const type = isExact ? "float32" : dtype;
  const typed = (values: Tensor) => ops.to(factor === 1 ? values : ops.mul(values, factor), type);
  const rounds = type === dtype ? null : dtype;
  return { cos: typed(ops.cos(angle)), sin: typed(ops.sin(angle)), width: 2 * inverse.length, rounds };
}

/**
 * x: (T, H · E) or (T, H, E) -> (T, H, E), normalised per head where there is a norm; then the first W numbers of each are rotated by the
 * angles of the T positions. The two halves of W are the pairs' members.
 */
export function rotate(
  x: Tensor,
  angles: RotaryAngles,
  headDim: number,
  norm: RMSNorm | null = null,
): Tensor {
  const { cos, sin, width, rounds } = angles;
  const typed = (turned: Tensor) => (rounds === null ? turned : ops.to(turned, rounds));
  if (width === headDim) {
    return typed(ops.rotateHeads(x, norm?.factor(x) ?? null, norm?.eps ?? 0, cos, sin));
  }
  const heads = ops.view(x, [x.size(0), -1, headDim]);
  const whole = norm === null ? heads : norm.forward(heads);
  const turned = typed(ops.rotateHeads(ops.narrow(whole, 2, 0, width), null, 0, cos, sin));
  return ops.cat([turned, ops.narrow(whole, 2, width, headDim - width)], 2);
}

/** Rotary position embeddings (Su et al. 2021, arXiv:2104.09864) with linear and Llama 3 frequency scaling. */
import type { RopeConfig } from "../formats/model-config.ts";
import { type DType, onDevice, ops, type Tensor, tensor } from "../torch/index.ts";
import type { RMSNorm } from "./rms-norm.ts";

/** Cosines and sines of T positions, each (T, 1, E). */
export interface RotaryAngles {
  cos: Tensor;
  sin: Tensor;
}

/**
 * Inverse frequencies of the E/2 rotated pairs, float32.
 *
 * Numerics: powers are rounded to float32 where transformers rounds them; the two agree to the last float32 digit or two.
 */
export function inverseFrequencies(config: RopeConfig, headDim: number): Float32Array<ArrayBuffer> {
  const out = new Float32Array(headDim / 2);
  for (let i = 0; i < out.length; i++) {
    const exponent = Math.fround((2 * i) / headDim);
    const frequency = Math.fround(1 / Math.fround(config.theta ** exponent));
    out[i] = scaled(frequency, config);
  }
  return out;
}

/** Llama 3 keeps high frequencies, divides low ones by `factor`, and blends between (Llama 3.1 release, transformers). */
function scaled(frequency: number, { scaling }: RopeConfig): number {
  if (scaling.kind === "none") return frequency;
  if (scaling.kind === "linear") return frequency / scaling.factor;
  const wavelength = (2 * Math.PI) / frequency;
  const { factor, lowFreqFactor, highFreqFactor, originalMaxPositions } = scaling;
  if (wavelength < originalMaxPositions / highFreqFactor) return frequency;
  if (wavelength > originalMaxPositions / lowFreqFactor) return frequency / factor;
  const smooth = (originalMaxPositions / wavelength - lowFreqFactor) / (highFreqFactor - lowFreqFactor);
  return ((1 - smooth) * frequency) / factor + smooth * frequency;
}

/**
 * Angles for the given positions, computed in float32 and rounded to `dtype`.
 *
 * @param frequencies - (E/2) float32
 * @param positions - (T) int64, on the device of the result
 */
export function rotaryAngles(
  frequencies: Float32Array<ArrayBuffer>,
  positions: Tensor,
  dtype: DType,
): RotaryAngles {
  const inverse = onDevice(tensor(frequencies), positions.device, "float32");
  const half = ops.outer(ops.to(positions, "float32"), inverse);
  const angle = ops.unsqueeze(ops.cat([half, half], 1), 1);
  return { cos: ops.to(ops.cos(angle), dtype), sin: ops.to(ops.sin(angle), dtype) };
}

/**
 * x: (T, H, E), normalised per head where there is a norm, then rotated by the angles of its T positions; the two halves of
 * E are the pairs' members.
 */
export function rotate(x: Tensor, angles: RotaryAngles, norm: RMSNorm | null = null): Tensor {
  return ops.rotateHeads(x, norm?.factor(x) ?? null, norm?.eps ?? 0, angles.cos, angles.sin);
}

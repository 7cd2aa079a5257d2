/** Weights that follow from a tensor's name alone: the same numbers as `pattern` in `scripts/write-goldens.py`. */
import type { ModelConfig } from "../../src/formats/model-config.ts";
import type { WeightSource } from "../../src/models/weights.ts";
import { tensor } from "../../src/torch/index.ts";

/** `count` float32 numbers in [-bound, bound): FNV-1a of the name and the place, then murmur3's finaliser. */
export function pattern(name: string, count: number, bound = 1): Float32Array<ArrayBuffer> {
  let seed = 2166136261;
  for (const byte of Buffer.from(name, "utf8")) seed = Math.imul(seed ^ byte, 16777619) >>> 0;
  return Float32Array.from({ length: count }, (_, i) => {
    let x = (Math.imul(i, 0x9e3779b1) + seed) >>> 0;
    x = Math.imul(x ^ (x >>> 16), 0x85ebca6b) >>> 0;
    x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35) >>> 0;
    x = (x ^ (x >>> 16)) >>> 0;
    return ((x / 2 ** 32) * 2 - 1) * bound;
  });
}

/**
 * Weights of a whole model: matrices that keep the size of activations, vectors near their neutral value.
 *
 * @param neutralNorm - what a stored norm weight varies about: 1, or 0 for Gemma
 */
export function patternedWeights(neutralNorm: 0 | 1): WeightSource {
  return (name, shape) => {
    const count = shape.reduce((product, size) => product * size, 1);
    if (shape.length > 1) return tensor(pattern(name, count, Math.sqrt(3 / (shape.at(-1) ?? 1))), shape);
    const centre = name.includes("norm") ? neutralNorm : 0;
    return tensor(
      pattern(name, count, 0.25).map((x) => centre + x),
      shape,
    );
  };
}

/** What a norm's stored weight is when it does nothing. */
export function neutralNorm({ design }: ModelConfig): 0 | 1 {
  return design.normOffset === 1 ? 0 : 1;
}

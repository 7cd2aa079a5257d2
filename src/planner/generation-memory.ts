/** Memory of a process that generates: what decides whether each of several ranks has the whole model. */
import type { ModelConfig } from "../formats/model-config.ts";
import { itemBytes, type PlannedNumerics, passingBytesPerToken } from "./activations.ts";
import { processBytes } from "./memory.ts";
import { countParameters } from "./parameter-counts.ts";
import { cacheBytes, type RolloutSize } from "./sampling-memory.ts";
import { wholeBytes } from "./sharded-memory.ts";
import { nothing } from "./trained-parts.ts";

/** Bytes of a process that has the whole model and samples so much at a time. */
export function generationBytes(model: ModelConfig, numerics: PlannedNumerics, size: RolloutSize): number {
  // on the CPU the files are mapped
  const stored = itemBytes(model);
  const mapped = numerics.onGpu ? 0 : countParameters(model, nothing).total * stored;
  const logits = 4 * model.vocabSize * size.completions;
  const working = size.completions * passingBytesPerToken(model, numerics);
  const weights = wholeBytes({ model, trained: nothing, numerics });
  return processBytes(numerics) + weights + mapped + cacheBytes(model, numerics, size) + logits + working;
}

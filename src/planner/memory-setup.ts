/** What the memory of a run depends on, from its keys. */
import { isOnPolicy } from "../config/online-keys.ts";
import { microBatchesOf, rowsPerStep } from "../config/step-rows.ts";
import { comparesOnPolicy, methodOf, predictsPrompts } from "../methods/index.ts";
import { scalesSize } from "./final-scale-plan.ts";
import { type PairLengths, streamTokens } from "./flops.ts";
import type { MemorySetup } from "./memory.ts";
import type { PlanInput, PlannedKeys } from "./plan-input.ts";
import { evaluationSize, rolloutSize, watchSize } from "./sampled-sizes.ts";
import { noSideModels, type SideModels } from "./side-models.ts";

/** What the memory of a run on one device depends on. */
export function memorySetup(input: PlanInput): MemorySetup {
  const { model, trained, keys, dtype, device, workload } = input;
  const { method } = keys;
  const entropyGradient = "entropy_coef" in method && method.entropy_coef !== 0;
  return {
    ...keys,
    model,
    trained,
    entropyGradient,
    predictsPrompts: predictsPrompts(method),
    hasHead: methodOf(method.objective).over !== "scores",
    log_entropy: keys.log_entropy || entropyGradient,
    numerics: {
      ...{ dtype, onGpu: device.isGpu, hasCudaTorch: device.hasCudaTorch ?? false },
      embeddingOnHost: keys.offload_embedding && device.isGpu,
    },
    activation_offloading: keys.activation_offloading && device.isGpu,
    accumulates: accumulates(input),
    rollout: isOnPolicy(keys) ? rolloutSize(keys, workload) : null,
    evaluation: evaluationSize(keys, workload),
    watch: watchSize(keys, workload),
    side: isOnPolicy(keys) ? sideModels(input) : noSideModels,
    shards: null,
    scales: scalesSize(keys, workload),
  };
}

/** Whether some step on one device has several micro-batches; one that is cut by tokens may. */
function accumulates({ keys, workload }: PlanInput): boolean {
  const rowTokens = streamTokens(workload.mean, keys.share_prompt);
  const step = { rows: rowsPerStep(keys), rowTokens, full: tokensOf(workload.own, keys) };
  const isEachCut = keys.tokens_per_step !== null || microBatchesOf(keys, step) > 1;
  return isEachCut || workload.isCut?.(1) === true;
}

/** Tokens through the layers. */
export function tokensOf(rows: readonly PairLengths[], { share_prompt }: PlannedKeys): number {
  return rows.reduce((sum, pair) => sum + streamTokens(pair, share_prompt), 0);
}

/** The models beside it: a new adapter switched off is its own reference, anything else needs the model of the start again. */
export function sideModels({ keys, model, trained, valueModel, rewardModel = null }: PlanInput): SideModels {
  const { method, adapter_name_or_path } = keys;
  const isCopied = trained.isFull || adapter_name_or_path !== null;
  return {
    hasReference: comparesOnPolicy(method) && isCopied,
    isLoadedToEvaluate: isCopied,
    valueModel: "value_model_name_or_path" in method ? (valueModel ?? { model, trained }) : null,
    rewardModel,
  };
}

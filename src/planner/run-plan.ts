/** The plan of a run: parameters, work, memory, the largest batch and time, for its objective and for the others. */

import { isOnPolicy, type REWARD_SOURCES } from "../config/online-keys.ts";
import type { RunConfig } from "../config/run-config.ts";
import { rowsPerStep } from "../config/step-rows.ts";
import type { ModelConfig } from "../formats/model-config.ts";
import { comparesOnPolicy, type MethodName, methodOf, pairMethods, updatesOf } from "../methods/index.ts";
import { type Advice, adviceFor } from "./advice.ts";
import { type ComputeType, type Device, usableBytes } from "./devices.ts";
import { completionTokens, type PairFlops, type PairLengths, pairFlops, streamTokens } from "./flops.ts";
import { type MemoryPlan, type MemorySetup, planMemory, type RolloutSize } from "./memory.ts";
import { countParameters, type ParameterCounts } from "./parameter-counts.ts";
import { noSideModels, type SideModels } from "./side-models.ts";
import type { TrainedParts } from "./trained-parts.ts";

/** Keys of a run that a plan needs besides what is trained. */
export type PlannedKeys = Pick<
  RunConfig,
  | "method"
  | "train_batch_size"
  | "per_device_train_batch_size"
  | "gradient_accumulation_steps"
  | "tokens_per_step"
  | "max_tokens_per_micro_batch"
  | "gradient_checkpointing"
  | "gradient_checkpointing_blocks"
  | "activation_offloading"
  | "optimizer_in_backward"
  | "logits_chunk_size"
  | "logits_kept_mib"
  | "share_prompt"
  | "precompute_ref_log_probs"
  | "log_entropy"
  | "num_train_epochs"
  | "max_steps"
  | "max_length"
  | (typeof REWARD_SOURCES)[number]
  | "num_generations"
  | "max_completion_length"
  | "max_staleness"
  | "steps_per_generation"
  | "num_iterations"
  | "adapter_name_or_path"
>;

/** The rows of a run, as far as they are known. */
export interface Workload {
  /** Where the lengths come from, for the reader. */
  source: string;
  /** False where lengths are assumed. */
  isMeasured: boolean;
  /** Rows of an epoch; null where unknown. In an on-policy run completions. */
  pairs: number | null;
  mean: PairLengths;
  /** The run's largest micro-batch as it is configured. */
  own: readonly PairLengths[];
  /** The largest micro-batch of so many rows. */
  microBatch(size: number): readonly PairLengths[];
}

/** What is planned. */
export interface PlanInput {
  modelName: string;
  model: ModelConfig;
  trained: TrainedParts;
  keys: PlannedKeys;
  dtype: ComputeType;
  device: Device;
  /** Devices of this kind. */
  count: number;
  /** Fraction of the device's peak that is taken to be reached. */
  utilisation: number;
  /** Whether that fraction was measured (`--mfu`): then no micro-batch is too small for it. */
  isUtilisationGiven: boolean;
  /** Where the device's speed comes from, for the reader. */
  speedSource: string;
  workload: Workload;
  /** What scores completions besides functions; left out or null: no model does. */
  rewardModel?: ModelConfig | null;
}

/** A method with its way to a reference, if it needs one: computed live or before training. */
interface PlannedMethod {
  name: MethodName;
  reference: "live" | "precomputed" | null;
}

/** The figures of one objective. */
export interface MethodPlan {
  /** Its name, with its way to a reference: "dpo-live". */
  method: string;
  /** For people: "DPO, live reference". */
  name: string;
  /** Whether it is what the run's configuration says. */
  isOwn: boolean;
  /** Whether it trains a score layer in place of a head over the vocabulary, which the figures count nevertheless. */
  scores: boolean;
  /** Why preftune does not run it with these settings; null where it does. The figures are then null. */
  refused: string | null;
  /** FLOPs of a pair in training, what is recomputed and a live reference included. */
  flopsPerPair: number | null;
  memoryBytes: number | null;
  /** Largest per_device_train_batch_size that fits; 0 where not even one pair does. */
  largestBatch: number | null;
  pairsPerSecond: number | null;
  /** Seconds of the run, on one device; null where the number of pairs is unknown. */
  runSeconds: number | null;
}

/** Everything that is planned. */
export interface Plan {
  model: { name: string; family: string; layers: number; width: number; vocabulary: number };
  parameters: ParameterCounts;
  training: {
    kind: "full" | "lora";
    dtype: ComputeType;
    batchSize: number;
    pairsPerStep: number;
    gradientCheckpointing: boolean;
  };
  device: Omit<Device, "peaks"> & {
    count: number;
    /** FLOP/s at best in the run's type. */
    peakFlops: number;
    utilisation: number;
    usableBytes: number;
    speedSource: string;
  };
  /** Seconds that a micro-batch takes at least, because its kernels have to be launched; 0 where that is not assumed. */
  launchSeconds: number;
  /** Fraction of the peak that the run's own objective is planned to reach, recomputation counted as work. */
  reachedShare: number;
  rows: {
    source: string;
    isMeasured: boolean;
    pairs: number | null;
    mean: PairLengths;
    /** Tokens through the layers and completion tokens of the largest micro-batch. */
    largestMicroBatch: { pairs: number; tokens: number; answerTokens: number };
    /** Whether rows are completions that the model samples. */
    ofRollout: boolean;
  };
  flops: PairFlops;
  memory: MemoryPlan & { fits: boolean };
  /** Memory of one pair as long as max_length allows. */
  longestPairBytes: number;
  methods: MethodPlan[];
  /** What would make the run fit, when it does not. */
  advice: Advice[];
}

/** What the memory of a run depends on. */
export function memorySetup(input: PlanInput): MemorySetup {
  const { model, trained, keys, dtype, device, workload, rewardModel = null } = input;
  const { method } = keys;
  const entropyGradient = "entropy_coef" in method && method.entropy_coef !== 0;
  return {
    ...keys,
    model,
    trained,
    entropyGradient,
    log_entropy: keys.log_entropy || entropyGradient,
    numerics: { dtype, onGpu: device.isGpu },
    activation_offloading: keys.activation_offloading && device.isGpu,
    accumulates: keys.gradient_accumulation_steps > 1 || keys.tokens_per_step !== null,
    rollout: isOnPolicy(keys) ? rolloutSize(keys, workload) : null,
    side: isOnPolicy(keys) ? sideModels(keys, trained, rewardModel) : noSideModels,
  };
}

/** Prompts whose completions are sampled together: the default of `sampleCompletions`. */
const promptsAtOnce = 16;

function rolloutSize(keys: PlannedKeys, { own }: Workload): RolloutSize {
  const { num_generations: n, max_completion_length: longest } = keys;
  const prompts = Math.min(promptsAtOnce, Math.ceil((rowsPerStep(keys) * updatesOf(keys).steps) / n));
  // a row has its part of the prompt
  const prompt = n * Math.max(0, ...own.map((row) => row.prompt));
  const completions = prompts * n;
  return {
    completions,
    cachedTokens: prompts * prompt + completions * longest,
    isAhead: keys.max_staleness > 0,
  };
}

/** A new adapter switched off is its own reference; anything else needs the model of the start a second time. */
function sideModels(
  { method, adapter_name_or_path }: PlannedKeys,
  { isFull }: TrainedParts,
  rewardModel: ModelConfig | null,
): SideModels {
  const isCopied = isFull || adapter_name_or_path !== null;
  const hasValueModel = "value_model_name_or_path" in method;
  return { hasReference: comparesOnPolicy(method) && isCopied, hasValueModel, rewardModel };
}

/** The largest batch is looked for up to here. */
const batchLimit = 4096;

/** The largest number of rows whose micro-batch fits `bytes`, by bisection; 0 where one row does not. */
function largestBatch(setup: MemorySetup, workload: Workload, bytes: number): number {
  const fits = (size: number) => planMemory(setup, workload.microBatch(size)).total <= bytes;
  let low = 0;
  let high = Math.min(batchLimit, workload.pairs ?? batchLimit) + 1;
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2);
    if (fits(middle)) low = middle;
    else high = middle;
  }
  return low;
}

/** The plan of a run. */
export function planRun(input: PlanInput): Plan {
  const { model, trained, keys, device, workload } = input;
  const setup = memorySetup(input);
  const bytes = usableBytes(device);
  const memory = planMemory(setup, workload.own);
  const flops = pairFlops(model, workload.mean, {
    trained,
    share_prompt: keys.share_prompt,
    recomputed: keys.gradient_checkpointing
      ? Math.min(1, (keys.gradient_checkpointing_blocks ?? model.numLayers) / model.numLayers)
      : 0,
  });
  const fits = memory.total <= bytes;
  const largest = largestBatch(setup, workload, bytes);
  const own = workload.own;
  const longest = longestPair(workload.mean, keys.max_length);
  return {
    model: {
      name: input.modelName,
      family: model.family,
      layers: model.numLayers,
      width: model.hiddenSize,
      vocabulary: model.vocabSize,
    },
    parameters: countParameters(model, trained),
    training: {
      kind: trained.isFull ? "full" : "lora",
      dtype: input.dtype,
      batchSize: keys.per_device_train_batch_size,
      pairsPerStep: pairsPerStep(input),
      gradientCheckpointing: keys.gradient_checkpointing,
    },
    device: {
      ...withoutPeaks(device),
      count: input.count,
      peakFlops: device.peaks[input.dtype],
      utilisation: input.utilisation,
      usableBytes: bytes,
      speedSource: input.speedSource,
    },
    rows: {
      source: workload.source,
      isMeasured: workload.isMeasured,
      pairs: workload.pairs,
      mean: workload.mean,
      largestMicroBatch: {
        pairs: own.length,
        tokens: own.reduce((sum, pair) => sum + streamTokens(pair, keys.share_prompt), 0),
        answerTokens: own.reduce((sum, pair) => sum + completionTokens(pair), 0),
      },
      ofRollout: isOnPolicy(keys),
    },
    flops,
    memory: { ...memory, fits },
    longestPairBytes: planMemory(setup, [longest]).total,
    launchSeconds: launchSeconds(input),
    reachedShare: pairTime(flops.training + flops.recompute, input, 1).fraction,
    methods: methodsBeside(keys.method.objective).map((method) =>
      planMethod(method, input, { flops, memoryBytes: memory.total, largest }),
    ),
    advice: fits ? [] : adviceFor(setup, { device, bytes, largest, pair: workload.microBatch(1) }),
  };
}

/** A pair of the same proportions, as long as `max_length` allows. */
export function longestPair(mean: PairLengths, maxLength: number): PairLengths {
  const completion = Math.max(mean.chosen, mean.rejected);
  const prompt = Math.max(1, Math.round((maxLength * mean.prompt) / (mean.prompt + completion)));
  return { prompt, chosen: maxLength - prompt, rejected: mean.rejected > 0 ? maxLength - prompt : 0 };
}

function pairsPerStep({ keys, workload }: PlanInput): number {
  const { tokens_per_step: tokens } = keys;
  if (tokens === null) return rowsPerStep(keys);
  return Math.max(1, tokens / streamTokens(workload.mean, keys.share_prompt));
}

/** What is compared with a method: the others over pairs, where it is over pairs itself. */
function methodsBeside(own: MethodName): PlannedMethod[] {
  const names = pairMethods.includes(own) ? pairMethods : [own];
  return names.flatMap((name): PlannedMethod[] =>
    methodOf(name).needsReference
      ? [
          { name, reference: "live" },
          { name, reference: "precomputed" },
        ]
      : [{ name, reference: null }],
  );
}

const referenceText = { live: ", live reference", precomputed: ", precomputed" };

function isOwnMethod({ name, reference }: PlannedMethod, { keys }: PlanInput): boolean {
  const isWay = reference === null || (reference === "precomputed") === keys.precompute_ref_log_probs;
  return name === keys.method.objective && isWay;
}

function planMethod(
  planned: PlannedMethod,
  input: PlanInput,
  shared: { flops: PairFlops; memoryBytes: number; largest: number },
): MethodPlan {
  const { workload, keys, trained } = input;
  const { name, reference: way } = planned;
  const base = {
    method: way === null ? name : `${name}-${way}`,
    name: `${methodOf(name).label}${way === null ? "" : referenceText[way]}`,
    isOwn: isOwnMethod(planned, input),
    scores: methodOf(name).over === "scores",
  };
  if (way === "live" && trained.isFull) {
    const refused = "in full tuning preftune precomputes the reference: there is no adapter to switch off";
    const none = { flopsPerPair: null, memoryBytes: null, largestBatch: null, pairsPerSecond: null };
    return { ...base, refused, ...none, runSeconds: null };
  }
  const { training, recompute, reference } = shared.flops;
  const flopsPerPair = training + recompute + (way === "live" ? reference : 0);
  const { seconds } = pairTime(flopsPerPair, input, way === "live" ? 1 + forwardShare : 1);
  const pairs = runPairs(keys, workload, pairsPerStep(input));
  const once = way === "precomputed" ? pairTime(reference, input, forwardShare).seconds : 0;
  return {
    ...base,
    refused: null,
    flopsPerPair,
    memoryBytes: shared.memoryBytes,
    largestBatch: shared.largest,
    pairsPerSecond: 1 / seconds,
    runSeconds: pairs === null ? null : pairs * seconds + (workload.pairs ?? 0) * once,
  };
}

function withoutPeaks({ peaks: _, ...device }: Device): Omit<Device, "peaks"> {
  return device;
}

/** Kernels that a block launches forward and back: the block's, its adapters', and those of computing it again. */
const launches = { block: 90, adapter: 60, again: 30 };
/** Seconds from one launch to the next: a call of an operator from here, and what torch does for it. */
const secondsALaunch = 5e-6;
/** Fraction of a step's kernels that a forward pass alone launches. */
const forwardShare = 1 / 3;

/** On a GPU a small micro-batch waits for its kernels to be launched, whatever they compute. */
function launchSeconds({ model, trained, keys, device, isUtilisationGiven }: PlanInput): number {
  if (!device.isGpu || isUtilisationGiven) return 0;
  const block =
    launches.block +
    (trained.adapted.length > 0 ? launches.adapter : 0) +
    (keys.gradient_checkpointing ? launches.again : 0);
  return model.numLayers * block * secondsALaunch;
}

/** Seconds of a pair and the fraction of the peak that is reached; `passes` is how many steps' kernels it launches. */
function pairTime(flops: number, input: PlanInput, passes: number): { seconds: number; fraction: number } {
  const peak = input.device.peaks[input.dtype];
  const launching = (passes * launchSeconds(input)) / Math.max(1, input.workload.own.length);
  const seconds = Math.max(flops / (peak * input.utilisation), launching);
  return { seconds, fraction: flops / seconds / peak };
}

/** Pairs that a run trains on, repeated ones counted; null where unknown. */
function runPairs(keys: PlannedKeys, workload: Workload, perStep: number): number | null {
  if (keys.max_steps > 0) return keys.max_steps * perStep;
  return workload.pairs === null ? null : workload.pairs * keys.num_train_epochs;
}

/** The plan of a run: parameters, work, memory, the largest batch and time, for its objective and for the others. */

import { isOnPolicy } from "../config/online-keys.ts";
import { rowsPerStep } from "../config/step-rows.ts";
import type { ModelConfig } from "../formats/model-config.ts";
import { quantisationText } from "../formats/quantisation.ts";
import {
  comparedMethods,
  klOverOfSettings,
  type MethodName,
  type MethodSettings,
  methodOf,
  pairMethods,
  predictsPrompts,
  takesStartTokens,
} from "../methods/index.ts";
import { type Advice, adviceFor } from "./advice.ts";
import { type ComputeType, type Device, usableBytes } from "./devices.ts";
import { type FinalScalePlan, finalScalePlan } from "./final-scale-plan.ts";
import { completionTokens, type PairFlops, type PairLengths, pairFlops, streamTokens } from "./flops.ts";
import { ranksOf } from "./layout.ts";
import { type MemoryPlan, type MemorySetup, planMemory, scalesMemory } from "./memory.ts";
import { memorySetup, sideModels, tokensOf } from "./memory-setup.ts";
import { countParameters, type ParameterCounts } from "./parameter-counts.ts";
import { longestPair, type PlanInput, type PlannedKeys, rowUnit } from "./plan-input.ts";
import { forwardShare, launchSeconds, pairTime, runPairs } from "./plan-time.ts";
import { canShare, planRanks, type RanksPlan } from "./ranks-plan.ts";
import { valueModelOf, withoutHead } from "./side-models.ts";

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
  /** Whether it trains a score layer in place of a head over the vocabulary. */
  scores: boolean;
  /** Why preftune does not run it with these settings; null where it does. The figures are then null. */
  refused: string | null;
  /** FLOPs of a pair in training, what is recomputed and a live reference included. */
  flopsPerPair: number | null;
  memoryBytes: number | null;
  /** Largest per_device_train_batch_size that fits; 0 where not even one pair does. */
  largestBatch: number | null;
  pairsPerSecond: number | null;
  /** Seconds of the run's steps and of its passes at the end, on one device; null where the number of pairs is unknown. */
  runSeconds: number | null;
}

/** Everything that is planned. */
export interface Plan {
  model: { name: string; family: string; layers: number; width: number; vocabulary: number };
  parameters: ParameterCounts;
  training: {
    kind: "full" | "lora";
    dtype: ComputeType;
    /** How the linears of blocks are held, in words; null: in `dtype`, or float32 where they are trained. */
    held: string | null;
    batchSize: number;
    pairsPerStep: number;
    gradientCheckpointing: boolean;
    /** Whether the embedding's table stays in the computer's memory. */
    offloadEmbedding: boolean;
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
    /** Of the held-out tokens' log-probs that the run keeps from its start; null: unknown. */
    startLogpBytes: number | null;
    /** The same of the rows' tokens that the loss compares with; 0: it compares with none; null: unknown. */
    comparedLogpBytes: number | null;
    /** Whether rows are completions that the model samples. */
    ofRollout: boolean;
  };
  /** Answers that each evaluation samples at most, and rows that have as many tokens; null: none. */
  watch: { prompts: number; samples: number; longest: number; tokens: number; rows: number } | null;
  flops: PairFlops;
  /** Null where the run does not choose its scale. */
  finalScale: FinalScalePlan | null;
  memory: MemoryPlan & { fits: boolean };
  /** On several ranks; null on one. */
  ranks: RanksPlan | null;
  /** Memory of one row as long as max_length allows, of a rollout as long as max_completion_length. */
  longestPairBytes: number;
  methods: MethodPlan[];
  /** What would make the run fit, when it does not. */
  advice: Advice[];
}

/** FLOPs of a mean row of the method called `name`, with what the run's own method computes besides. */
function rowFlops(name: MethodName, { model, trained, keys, workload }: PlanInput): PairFlops {
  const { method, share_prompt } = keys;
  const isOwn = name === method.objective;
  const run = methodOf(name).over === "scores" ? { ...model, vocabSize: 0 } : model;
  return pairFlops(run, workload.mean, {
    ...{ trained, share_prompt },
    predictsPrompts: isOwn && predictsPrompts(method),
    estimatesKl: isOwn && klOverOfSettings(method) !== null,
    recomputed: recomputedShare(keys, model),
  });
}

/** Part of the blocks that is computed again. */
function recomputedShare(keys: PlannedKeys, { numLayers }: ModelConfig): number {
  if (!keys.gradient_checkpointing) return 0;
  return Math.min(1, (keys.gradient_checkpointing_blocks ?? numLayers) / numLayers);
}

/** FLOPs of PPO's value model in the step of a mean row; 0: there is none. */
function valueModelFlops(input: PlanInput): number {
  const { keys, workload } = input;
  const { valueModel } = sideModels(input);
  if (valueModel === null) return 0;
  const { model, trained } = valueModelOf(valueModel);
  // a row of weights in place of a head
  const { training, recompute } = pairFlops({ ...model, vocabSize: 0 }, workload.mean, {
    ...{ trained, share_prompt: keys.share_prompt },
    recomputed: recomputedShare(keys, model),
  });
  return training + recompute;
}

/** What a step of a row takes: with a live reference its passes too, one for the row, one for its KL; and the value model's step. */
function stepCost(
  { training, recompute, reference, kl }: PairFlops,
  isLive: boolean,
  ofValueModel: number = 0,
): { flops: number; passes: number } {
  const references = isLive ? 1 + (kl > 0 ? 1 : 0) : 0;
  const steps = ofValueModel > 0 ? 2 : 1;
  return {
    flops: training + recompute + kl + references * reference + ofValueModel,
    passes: steps + forwardShare * (references + (kl > 0 ? 1 : 0)),
  };
}

/** What an evaluation samples in all; null where nothing is watched. */
function watchPlan({ keys, workload: { mean } }: PlanInput): Plan["watch"] {
  const { watch_prompts, watch_rows: prompts, watch_samples: samples, watch_max_new_tokens: longest } = keys;
  if (watch_prompts === null) return null;
  const tokens = prompts * samples * longest;
  const forward = tokens + prompts * mean.prompt;
  return { prompts, samples, longest, tokens, rows: forward / streamTokens(mean, keys.share_prompt) };
}

/** The largest batch is looked for up to here. */
const batchLimit = 4096;

/** The largest number of rows whose micro-batch fits `bytes`, by bisection; 0 where the fewest that may be do not. */
function largestBatch(setup: MemorySetup, { workload, keys }: PlanInput, bytes: number): number {
  const fits = (size: number) => planMemory(setup, workload.microBatch(size)).total <= bytes;
  let low = 0;
  let high = Math.min(batchLimit, workload.pairs ?? batchLimit) + 1;
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2);
    if (fits(middle)) low = middle;
    else high = middle;
  }
  const unit = rowUnit(keys);
  return unit * Math.floor(low / unit);
}

/** The longest row that there can be. */
function longestRow({ keys, workload: { mean, own } }: PlanInput): PairLengths {
  const longest = longestPair(mean, keys.max_length);
  // completions are planned as long as they may be, or as long as is given
  return isOnPolicy(keys)
    ? own.reduce((a, b) => (tokensOf([b], keys) > tokensOf([a], keys) ? b : a), own[0] ?? longest)
    : longest;
}

/** The plan of its ranks, where the run has several. `end`: seconds of what comes after the steps, on one device. */
function planOnRanks(
  input: PlanInput,
  { setup, flops, end }: { setup: MemorySetup; flops: PairFlops; end: number },
): RanksPlan | null {
  const { model, trained, keys, cluster, workload, device } = input;
  if (ranksOf(cluster) === 1) return null;
  const { own, mean } = workload;
  const method = methodsBeside(keys.method).find((one) => isOwnMethod(one, input));
  const isLive = method?.reference === "live";
  const row = stepCost(flops, isLive);
  const rows = Math.max(1, own.length);
  return planRanks({
    ...{ model, trained, cluster, hasLiveReference: isLive, numerics: setup.numerics },
    keys: { ...keys, shard: shardFor(keys, model) },
    usable: usableBytes(device),
    memoryOf: (shards, accumulates) => planMemory({ ...setup, shards, accumulates }, own).total,
    microBatch: {
      seconds: rows * pairTime(row.flops, input, row.passes).seconds,
      tokens: tokensOf(own, keys),
      flops: rows * row.flops,
    },
    rowTokens: streamTokens(mean, keys.share_prompt),
    isCut: () => workload.isCut?.(ranksOf(cluster)) ?? false,
    runRows: (perStep) => runPairs(keys, workload, perStep),
    endSeconds: end / ranksOf(cluster),
  });
}

/** Who holds the model, as configured; left to be chosen, each rank all of it where it cannot be shared. */
function shardFor(keys: PlannedKeys, model: ModelConfig): PlannedKeys["shard"] {
  return keys.shard === "auto" && !canShare(keys, model) ? "none" : keys.shard;
}

/** Bytes of a run's memory at its peak. */
function memoryOf(input: PlanInput): number {
  const setup = memorySetup(input);
  const ranks = planOnRanks(input, { setup, flops: rowFlops(input.keys.method.objective, input), end: 0 });
  return planMemory(ranks === null ? setup : { ...setup, ...ranks.memory }, input.workload.own).total;
}

function rowsOf({ keys, workload }: PlanInput): Plan["rows"] {
  const { source, isMeasured, pairs, mean, own } = workload;
  return {
    ...{ source, isMeasured, pairs, mean },
    startLogpBytes: workload.startLogpBytes ?? null,
    comparedLogpBytes: takesStartTokens(keys.method) ? (workload.comparedLogpBytes ?? null) : 0,
    largestMicroBatch: {
      pairs: own.length,
      tokens: tokensOf(own, keys),
      answerTokens: own.reduce((sum, pair) => sum + completionTokens(pair), 0),
    },
    ofRollout: isOnPolicy(keys),
  };
}

/** A reward model has no head: neither its matrix nor its logits are there. */
function withItsHead(input: PlanInput): PlanInput {
  return methodOf(input.keys.method.objective).over === "scores" ? withoutHead(input) : input;
}

/** The plan of a run. */
export function planRun(given: PlanInput): Plan {
  const input = withItsHead(given);
  const { model, trained, keys, device, workload } = input;
  const bytes = usableBytes(device);
  const flops = rowFlops(keys.method.objective, input);
  const alone = memorySetup(input);
  const finalScale =
    alone.scales === null ? null : finalScalePlan(input, scalesMemory(alone, alone.scales).total);
  const end = finalScale?.seconds ?? 0;
  const ranks = planOnRanks(input, { setup: alone, flops, end });
  const setup = ranks === null ? alone : { ...alone, ...ranks.memory };
  const memory = planMemory(setup, workload.own);
  const fits = memory.total <= bytes;
  const largest = largestBatch(setup, input, bytes);
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
      held: model.quantisation === null ? null : quantisationText(model.quantisation),
      batchSize: keys.per_device_train_batch_size,
      pairsPerStep: ranks?.rowsPerStep ?? pairsPerStep(input),
      gradientCheckpointing: keys.gradient_checkpointing,
      offloadEmbedding: keys.offload_embedding && device.isGpu,
    },
    device: {
      ...withoutPeaks(device),
      count: ranksOf(input.cluster),
      peakFlops: device.peaks[input.dtype],
      utilisation: input.utilisation,
      usableBytes: bytes,
      speedSource: input.speedSource,
    },
    rows: rowsOf(input),
    watch: watchPlan(input),
    flops,
    finalScale,
    memory: { ...memory, fits },
    ranks,
    longestPairBytes: planMemory(setup, [longestRow(input)]).total,
    launchSeconds: launchSeconds(input),
    reachedShare: pairTime(flops.training + flops.recompute, input, 1).fraction,
    methods: methodsBeside(keys.method).map((method) =>
      planMethod(method, input, { memoryBytes: memory.total, largest, end }),
    ),
    advice: fits ? [] : adviceFor(input, memoryOf),
  };
}

function pairsPerStep({ keys, workload }: PlanInput): number {
  const { tokens_per_step: tokens } = keys;
  if (tokens === null) return rowsPerStep(keys);
  return Math.max(1, tokens / streamTokens(workload.mean, keys.share_prompt));
}

/** What is compared with a method that is over pairs; of any other nothing. */
function methodsBeside(method: MethodSettings): PlannedMethod[] {
  const { objective: own } = method;
  const names = pairMethods.includes(own) ? [...new Set([...comparedMethods, own])] : [own];
  return names.flatMap((name): PlannedMethod[] =>
    methodOf(name).needsReference || (name === own && takesStartTokens(method))
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
  shared: { memoryBytes: number; largest: number; end: number },
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
  const flops = rowFlops(name, input);
  const { flops: flopsPerPair, passes } = stepCost(flops, way === "live", valueModelFlops(input));
  const { seconds } = pairTime(flopsPerPair, input, passes);
  const pairs = runPairs(keys, workload, pairsPerStep(input));
  const once = way === "precomputed" ? pairTime(flops.reference, input, forwardShare).seconds : 0;
  return {
    ...base,
    refused: null,
    flopsPerPair,
    memoryBytes: shared.memoryBytes,
    largestBatch: shared.largest,
    pairsPerSecond: 1 / seconds,
    // a row is mismatched with another one in each epoch
    runSeconds:
      pairs === null
        ? null
        : pairs * seconds + ((workload.pairs ?? 0) + (flops.kl > 0 ? pairs : 0)) * once + shared.end,
  };
}

function withoutPeaks({ peaks: _, ...device }: Device): Omit<Device, "peaks"> {
  return device;
}

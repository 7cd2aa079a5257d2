/**
 * Peak memory of a run by component. A training step is looked at in the moments where memory can be highest; each of
 * them is a sum of tensors that `src/forward/walk.ts` then holds.
 */

import type { RunConfig } from "../config/run-config.ts";
import { headsOf, type ModelConfig } from "../formats/model-config.ts";
import {
  backwardBytesPerToken,
  blockTensors,
  completionAttentionBytes,
  hasWideNorms,
  itemBytes,
  keptBytesPerToken,
  type PlannedNumerics,
  passingBytesPerToken,
} from "./activations.ts";
import { scoreTables } from "./capped-scores.ts";
import { completionTokens, type PairLengths, streamTokens } from "./flops.ts";
import { type HeadMemory, type HeadOptions, headMemory } from "./head-memory.ts";
import {
  blockParameters,
  checkedBytes,
  countParameters,
  densifiedBytes,
  heldBytes,
  optimiserBytes,
  type ParameterCounts,
  passingUpdateBytes,
} from "./parameter-counts.ts";
import { filteredBytes, type Moment, type RolloutSize, sampling } from "./sampling-memory.ts";
import { type Shards, shardBytes, shardedMoments, wholeBytes } from "./sharded-memory.ts";
import { type SideModels, sideBytes, valueModelOf } from "./side-models.ts";
import { firstTrainedLayer, type TrainedParts } from "./trained-parts.ts";
import { rangesOfHead } from "./units.ts";

const mebibyte = 2 ** 20;

/**
 * Resident memory of a training process before it has a model: Node, libtorch, the trainer's code and its data. Measured
 * on Linux x86-64 with torch's CPU build.
 */
const bareProcessBytes = 270 * mebibyte;

/** What its CUDA libraries take beside that in a process that computes on the CPU. Measured with torch 2.11 for CUDA 13. */
const cudaLibraryBytes = 280 * mebibyte;

/** CUDA context, libraries and cuBLAS workspaces on the GPU. An estimate: torch's allocator does not count them. */
const gpuProcessBytes = 700 * mebibyte;

/** Bytes of a process before it has a model. */
export function processBytes({ onGpu, hasCudaTorch = false }: PlannedNumerics): number {
  if (onGpu) return gpuProcessBytes;
  return bareProcessBytes + (hasCudaTorch ? cudaLibraryBytes : 0);
}

/** What memory depends on, besides the micro-batch. */
export interface MemorySetup extends Omit<HeadOptions, "isTrained" | "isRanged"> {
  model: ModelConfig;
  trained: TrainedParts;
  /** Blocks are computed again in the backward pass. */
  gradient_checkpointing: boolean;
  /** How many of them, from the first; null: all. */
  gradient_checkpointing_blocks: number | null;
  /** What recomputed blocks need waits in the computer's memory. */
  activation_offloading: boolean;
  /** Each weight is updated, and its gradient freed, as soon as it is there. */
  optimizer_in_backward: boolean;
  optim: RunConfig["optim"];
  /** Beside the adapter the model is written, and checked too. */
  export_merged?: boolean;
  share_prompt: boolean;
  /** A step has more than one micro-batch: gradients are there from the second on. */
  accumulates: boolean;
  /** What an on-policy run samples; null for others. */
  rollout: RolloutSize | null;
  /** Completions that each evaluation of an on-policy run samples; null: none. */
  evaluation: RolloutSize | null;
  /** Answers that each evaluation samples for people to read. */
  watch: RolloutSize | null;
  /** What an on-policy run has beside its model. */
  side: SideModels;
  /** How ranks share the model; null where each has all of it. */
  shards: Shards | null;
  /** What is measured when training is over; null: nothing. */
  scales: ScalesSize | null;
}

/** Scales of the model that are measured one after the other on the same rows. */
export interface ScalesSize {
  count: number;
  /** The largest batch. */
  batch: readonly PairLengths[];
  /** Tokens of all rows' answers. */
  tokens: number;
}

/** Components in the order in which they are shown. */
export const componentNames = [
  "process",
  "files",
  "weights",
  "gathered",
  "optimiser",
  "gradients",
  "activations",
  "head",
  "working",
  "cache",
  "filtered",
  "reference",
  "valueModel",
  "rewardModel",
  "sampler",
] as const;

/** A part of memory. */
export type Component = (typeof componentNames)[number];

/** The plan of a run's memory. */
export interface MemoryPlan {
  /** Bytes by component at the peak. */
  components: Record<Component, number>;
  total: number;
  /** When memory is highest. */
  moment: string;
}

/** Bytes that are there from the beginning to the end. */
interface ResidentBytes {
  process: number;
  files: number;
  weights: number;
  optimiser: number;
}

function residentBytes(setup: MemorySetup, counts: ParameterCounts): ResidentBytes {
  const { model, trained, numerics, shards } = setup;
  const { weights, optimiser } =
    shards === null
      ? {
          weights: heldBytes(model, trained, counts, numerics),
          optimiser: optimiserBytes(model, trained, setup.optim),
        }
      : shardBytes(setup, shards);
  const process = processBytes(numerics);
  if (numerics.onGpu) return { process, files: 0, weights, optimiser };
  // on the CPU the checkpoint is mapped: a frozen model is used in the map itself, and at the end the export is mapped to be checked,
  // while the memory of training is still the process's: resident memory counts pages of the same file twice (docs/memory.md)
  // what is held in fewer bits was read a stretch at a time, and the export is checked with it
  const files = checkedBytes(setup, counts) / (shards?.ranks ?? 1);
  if (shards?.keep_gathered === true && !trained.isFull && itemBytes(numerics) > itemBytes(model)) {
    // a copy that is made when the blocks that stayed gathered are gone, and takes their place
    const { gathered } = shardedMoments(setup, shards, false).forward;
    return { process, files: Math.max(0, files - gathered), weights, optimiser };
  }
  return { process, files, weights, optimiser };
}

/** Sizes of a micro-batch in a model. */
interface Sizes {
  tokens: number;
  responses: number;
  /** Bytes of one (T, D) tensor. */
  stream: number;
  /** Bytes that each block keeps besides its input. */
  kept: number[];
  /** Bytes of attention plans, angles and the last norm. */
  shared: number;
  /** Bytes that come and go in a block beside those of each token. */
  passing: number;
  head: HeadMemory;
}

function sizesOf(setup: MemorySetup, pairs: readonly PairLengths[]): Sizes {
  const { model, trained, numerics, share_prompt } = setup;
  const tokens = pairs.reduce((sum, pair) => sum + streamTokens(pair, share_prompt), 0);
  const responses = pairs.reduce((sum, pair) => sum + completionTokens(pair), 0);
  const item = itemBytes(numerics);
  const first = firstTrainedLayer(model, trained);
  const tables = scoreTables(model, pairs, numerics, share_prompt);
  const kept = Array.from(
    { length: model.numLayers - first },
    (_, i) => tokens * keptBytesPerToken(blockTensors(model, trained, first + i, numerics)) + tables.kept,
  );
  const widths = [...new Set(model.layerKinds)].reduce((sum, kind) => sum + headsOf(model, kind).headDim, 0);
  const angles = 2 * widths * tokens * item;
  // the last norm's input in float32, where torch computes it so
  const isWide = hasWideNorms(model, numerics, model.design.logitScale);
  const tail = (isWide ? 4 : 3) * responses * model.hiddenSize * item;
  return {
    tokens,
    responses,
    stream: tokens * model.hiddenSize * item,
    kept,
    shared: angles + tail + tables.masks + completionAttentionBytes(model, pairs, numerics, share_prompt),
    passing: tables.passing,
    head: headMemory(model, pairs, {
      ...setup,
      isTrained: trained.trainsHead,
      isRanged: setup.shards !== null && rangesOfHead(model, trained) > 1,
    }),
  };
}

function moments(setup: MemorySetup, counts: ParameterCounts, sizes: Sizes): Moment[] {
  const { model, trained, gradient_checkpointing, accumulates, numerics, optimizer_in_backward } = setup;
  const { tokens, kept, stream, shared, head } = sizes;
  const again = gradient_checkpointing
    ? Math.min(kept.length, setup.gradient_checkpointing_blocks ?? kept.length)
    : 0;
  const allGradients = 4 * counts.trained;
  const headGradient = trained.trainsHead ? 4 * model.vocabSize * model.hiddenSize : 0;
  // only the embedding's waits for the end of the pass
  const tableGradient = trained.isFull ? 4 * model.vocabSize * model.hiddenSize : 0;
  const blockGradient = trained.isFull ? 4 * blockParameters(model) : 0;
  const gradients = (bytes: number) => (accumulates ? allGradients : Math.min(allGradients, bytes));
  const inputs = (kept.length + 1 - (setup.activation_offloading ? Math.max(0, again - 1) : 0)) * stream;
  const graphs = kept.slice(again).reduce((sum, bytes) => sum + bytes, 0);
  const most = Math.max(0, ...kept);
  const dense = densifiedBytes(model, trained, numerics);
  const passing = tokens * passingBytesPerToken(model, numerics) + sizes.passing + dense;
  const update = numerics.onGpu ? passingUpdateBytes(model, trained, setup.optim) : 0;
  const atUpdate = gradients(optimizer_in_backward ? tableGradient : allGradients);
  const back =
    (optimizer_in_backward ? update : 0) +
    tokens * backwardBytesPerToken(model, numerics) +
    (gradient_checkpointing ? passing : sizes.passing + dense);
  const held = shared + inputs + graphs;
  // the last block's graph is there already when it is not computed again
  const made = again === kept.length ? most : 0;
  return [
    {
      name: "the last block's forward pass",
      gradients: gradients(0),
      activations: held,
      head: 0,
      working: passing + (again > 0 ? most : 0),
    },
    {
      name: "the head",
      gradients: gradients(headGradient),
      activations: held,
      head: head.gradient + head.working,
      working: 0,
    },
    {
      name: "the last block's backward pass",
      gradients: gradients(headGradient + blockGradient),
      activations: held + made,
      head: head.gradient,
      working: back,
    },
    {
      name: "the first block's backward pass",
      gradients: optimizer_in_backward ? gradients(tableGradient + blockGradient) : allGradients,
      activations: shared + 2 * stream + most,
      head: head.gradient,
      working: back,
    },
    { ...{ name: "the update", activations: 0, head: 0 }, gradients: atUpdate, working: update },
  ];
}

/** The moments of a step of which ranks share the model: other gradients, and gathered units. */
function momentsOfShards(
  setup: MemorySetup,
  { stream, kept, shared, head }: Sizes,
  [forward, inHead, lastBack, firstBack]: Moment[],
): Moment[] {
  if (setup.shards === null || !forward || !inHead || !lastBack || !firstBack) return [];
  const at = shardedMoments(setup, setup.shards, setup.accumulates);
  // two blocks' gradients are on their way when what these two held is gone
  const later = 2 * stream + (setup.gradient_checkpointing ? 0 : 2 * Math.max(0, ...kept));
  const middle = Math.max(firstBack.activations, lastBack.activations - later);
  return [
    { ...forward, ...at.forward },
    { ...inHead, ...at.head },
    { ...lastBack, ...at.lastBack },
    { ...lastBack, ...at.middleBack, name: "a block's backward pass", activations: middle },
    { ...firstBack, ...at.firstBack },
    {
      ...{ ...at.embedding, name: "the exchange of the embedding's gradient" },
      ...{ activations: shared + 2 * stream, head: head.gradient, working: 0 },
    },
  ];
}

/** The value model's step, when the policy's gradients are gone: its head is a row, of float32 states. */
function valueMoments(setup: MemorySetup, pairs: readonly PairLengths[]): Moment[] {
  if (setup.side.valueModel === null) return [];
  const { model, trained, counts } = valueModelOf(setup.side.valueModel);
  const sizes = sizesOf({ ...setup, model, trained }, pairs);
  const states = sizes.responses * model.hiddenSize;
  const head: HeadMemory = { working: 2 * 4 * states, gradient: itemBytes(setup.numerics) * states };
  return moments({ ...setup, model, trained }, counts, { ...sizes, head }).map((moment) => ({
    ...moment,
    name: `${moment.name} of the value model`,
  }));
}

/** Bytes of a rank that shares the model while it samples between two steps, with all of the model gathered. */
export function samplingBytes(setup: MemorySetup, rollout: RolloutSize): number {
  const counts = countParameters(setup.model, setup.trained);
  const { process, files, weights, optimiser } = residentBytes(setup, counts);
  const gathered = wholeBytes(setup);
  const drawn = sampling("sampling", rollout, setup);
  const held = drawn.reduce((sum, { cache = 0, head, working }) => sum + cache + head + working, 0);
  return process + files + weights + optimiser + gathered + held;
}

/**
 * Memory while scales are measured, training's being free: an adapter's base with the adapter; of full tuning start, result and what is
 * mixed of them. All of it on each rank, however training shares the model.
 */
export function scalesMemory(setup: MemorySetup, { count, batch, tokens }: ScalesSize): MemoryPlan {
  const { model, trained, numerics } = setup;
  const counts = countParameters(model, trained);
  const stored = itemBytes(model);
  // the largest tensor is mixed in float32: both of it, and their difference
  const mixed = counts.total * (2 * stored + itemBytes(numerics)) + 12 * model.vocabSize * model.hiddenSize;
  const pass = scoringPass(setup, batch);
  const held: Partial<Record<Component, number>> = {
    process: processBytes(numerics),
    weights: trained.isFull ? mixed : heldBytes(model, trained, counts, numerics),
    ...pass,
    // in the computer's memory: each token's log-prob and its change at each scale, and its log-prob at the start
    head: pass.head + (numerics.onGpu ? 0 : (8 * count + 4) * tokens),
  };
  const components = Object.fromEntries(componentNames.map((name) => [name, held[name] ?? 0]));
  return planOf(components as Record<Component, number>, "measuring the scales at the end");
}

/** A pass without gradients, on all of the model. */
function scoringPass(
  setup: MemorySetup,
  batch: readonly PairLengths[],
): Record<"activations" | "head" | "working", number> {
  const { model, trained, numerics } = setup;
  const { stream, shared, kept, head, passing, tokens } = sizesOf({ ...setup, shards: null }, batch);
  const ofTokens = tokens * passingBytesPerToken(model, numerics) + passing;
  return {
    activations: shared + 2 * stream,
    head: head.working + head.gradient,
    working: ofTokens + Math.max(0, ...kept) + densifiedBytes(model, trained, numerics),
  };
}

/** An evaluation of an on-policy run: its completions are sampled, then scored by the model of the start, which may be loaded for that. */
function evaluationMoments(
  setup: MemorySetup,
  counts: ParameterCounts,
  pairs: readonly PairLengths[],
): Moment[] {
  const { model, trained, numerics, side } = setup;
  const drawn = sampling("sampling an evaluation", setup.evaluation, setup);
  if (drawn.length === 0 || !side.isLoadedToEvaluate) return drawn;
  const reference = heldBytes(model, trained, counts, numerics);
  const held = { filtered: drawn[0]?.filtered ?? 0, reference };
  const scored = { name: "kl_init of an evaluation", gradients: 0, ...scoringPass(setup, pairs), ...held };
  return [...drawn, scored];
}

function planOf(components: Record<Component, number>, moment: string): MemoryPlan {
  return { components, total: Object.values(components).reduce((a, b) => a + b, 0), moment };
}

/** Peak memory of training on micro-batches of these pairs, and of what is measured after it. */
export function planMemory(setup: MemorySetup, pairs: readonly PairLengths[]): MemoryPlan {
  const training = trainingMemory(setup, pairs);
  const after = setup.scales === null ? null : scalesMemory(setup, setup.scales);
  return after !== null && after.total > training.total ? after : training;
}

function bytesOf({ name: _, ...parts }: Moment): number {
  return Object.values(parts).reduce((sum, bytes) => sum + bytes, 0);
}

function trainingMemory(setup: MemorySetup, pairs: readonly PairLengths[]): MemoryPlan {
  const counts = countParameters(setup.model, setup.trained);
  const always = residentBytes(setup, counts);
  const drawn = sampling("sampling a rollout", setup.rollout, setup);
  const watched = sampling("sampling the watched answers", setup.watch, setup);
  const isAhead = setup.rollout?.isAhead === true;
  const sizes = sizesOf(setup, pairs);
  const own = moments(setup, counts, sizes);
  const ofPolicy = setup.shards === null ? own : momentsOfShards(setup, sizes, own);
  const steps = [...ofPolicy, ...valueMoments(setup, pairs)];
  const evaluated = evaluationMoments(setup, counts, pairs);
  // a rollout has it until the next one is drawn
  const kept = setup.rollout === null ? 0 : filteredBytes(setup.rollout, setup);
  const later = [...steps, ...watched, ...evaluated];
  const all = [
    ...later.map((moment) => ({ ...moment, filtered: kept + (moment.filtered ?? 0) })),
    ...(isAhead ? [] : drawn),
  ];
  const highest = all.reduce((a, b) => (bytesOf(b) > bytesOf(a) ? b : a));
  const { name, reference = 0, ...parts } = highest;
  // on rows a reference is the model without its adapter, or a table of numbers: never a second model
  const beside = sideBytes(setup.side, { ...setup, counts }, setup.numerics);
  const sampler = isAhead
    ? drawn.reduce((held, moment) => held + bytesOf(moment), always.process + always.weights)
    : 0;
  const rare = { gathered: 0, cache: 0, filtered: 0 };
  const components: Record<Component, number> = { ...always, ...rare, ...parts, ...beside, sampler };
  components.reference += reference;
  return planOf(components, name);
}

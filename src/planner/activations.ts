/**
 * What a block keeps in memory for its backward pass, tensor by tensor: the only description of it. It follows
 * `src/nn` and `native/*.h` and is to be changed with them; `test/campaign/planned-memory.test.ts` compares it with real runs.
 *
 * On the CPU the addon's own kernels run, elsewhere torch's operators. Of the latter the table is read from the code and torch's
 * documentation, not measured.
 */

import { type BlockLinear, blockLinears, type LinearRole } from "../formats/block-linears.ts";
import {
  headsOf,
  kindOf,
  type LayerKind,
  type LinearName,
  type ModelConfig,
} from "../formats/model-config.ts";
import type { PairLengths } from "./flops.ts";
import type { TrainedParts } from "./trained-parts.ts";

/** Where and in what type the model runs. */
export interface PlannedNumerics {
  dtype: "float32" | "bfloat16";
  onGpu: boolean;
  /** Whether torch is built for CUDA: its libraries count on the CPU too. */
  hasCudaTorch?: boolean;
  /** Whether the embedding's table stays in the computer's memory. */
  embeddingOnHost?: boolean;
}

/** Tensors of one name in one block, for each token of the stream. */
export interface TokenTensor {
  name: string;
  /** Elements a token. */
  width: number;
  /** Bytes of an element. */
  bytes: number;
}

/** Bytes of an element of activations, or of a checkpoint. */
export function itemBytes({ dtype }: { dtype: string }): number {
  return dtype === "float32" ? 4 : 2;
}

/** Whether the addon's kernels do norms, rotation and attention. In bfloat16 they copy what they read and write in float32. */
function hasOwnKernels({ onGpu }: PlannedNumerics): boolean {
  return !onGpu;
}

function isHalf({ dtype }: PlannedNumerics): boolean {
  return dtype !== "float32";
}

/** Widest heads of torch's flash attention. */
const widestFlashHead = 256;

/** Whether torch's flash attention takes all segments of such a layer in one call (`src/nn/varlen-attention.ts`). */
function hasVarlenAttention(
  config: ModelConfig,
  kind: LayerKind,
  { dtype, onGpu }: PlannedNumerics,
): boolean {
  const { headDim } = headsOf(config, kind);
  return onGpu && dtype === "bfloat16" && headDim % 8 === 0 && headDim <= widestFlashHead;
}

/** Widths of a block's tensors. */
interface Widths {
  stream: number;
  queries: number;
  keys: number;
  inner: number;
}

function widthsOf(config: ModelConfig, kind: LayerKind): Widths {
  const { headDim, numKeyValueHeads } = headsOf(config, kind);
  return {
    stream: config.hiddenSize,
    queries: config.numHeads * headDim,
    keys: numKeyValueHeads * headDim,
    inner: config.intermediateSize,
  };
}

/** The widths of the kind of layer that has the widest queries. */
function widest(config: ModelConfig): Widths {
  const all = [...new Set(config.layerKinds)].map((kind) => widthsOf(config, kind));
  return all.reduce((most, one) => (one.queries > most.queries ? one : most));
}

/** How a block's linears are trained. */
interface LayerTraining {
  layer: number;
  isFull: boolean;
  /** Rank by linear; absent where there is no adapter. */
  ranks: ReadonlyMap<LinearName, number>;
  /** Linears trained in full beside an adapter. */
  saved: ReadonlySet<LinearName>;
  drops: boolean;
  useDora: boolean;
}

function trainingOf(trained: TrainedParts, layer: number): LayerTraining {
  const here = trained.adapted.filter((one) => one.layer === layer);
  return {
    layer,
    isFull: trained.isFull,
    ranks: new Map(here.map(({ linear, rank }) => [linear.name, rank])),
    saved: new Set(
      trained.savedLinears.filter((one) => one.layer === layer).map(({ linear }) => linear.name),
    ),
    drops: trained.dropout > 0,
    useDora: trained.useDora,
  };
}

/** Whether adapters keep their dropped inputs. On the CPU LoRA makes them again in the backward pass (`native/dropout.h`). */
function keepsDropped({ drops, useDora }: LayerTraining, numerics: PlannedNumerics): boolean {
  return drops && (useDora || numerics.onGpu);
}

/** Whether the gradient of the own weights of a linear of this role needs the input as it is. */
function keepsInput(
  config: ModelConfig,
  training: LayerTraining,
  numerics: PlannedNumerics,
  role: LinearRole,
): boolean {
  const { layer, isFull, ranks, saved } = training;
  const names = blockLinears(config, layer).flatMap((linear) => (linear.role === role ? [linear.name] : []));
  const adapted = (name: LinearName) => ranks.has(name) && !keepsDropped(training, numerics);
  return isFull || names.some((name) => saved.has(name) || adapted(name));
}

/**
 * What the graph of block `layer` holds, its own input left out, for each token of the stream.
 */
export function blockTensors(
  config: ModelConfig,
  trained: TrainedParts,
  layer: number,
  numerics: PlannedNumerics,
): TokenTensor[] {
  const { stream, queries, keys, inner } = widthsOf(config, kindOf(config, layer));
  const training = trainingOf(trained, layer);
  const bytes = itemBytes(numerics);
  const kept = (name: string, width: number, when = true): TokenTensor => ({
    name,
    width: when ? width : 0,
    bytes,
  });
  const isWide = hasWideNorms(config, numerics);
  const hasHeadNorms = config.design.queryKeyNorms !== "none";
  const normsOutputs = config.design.norms !== "before";
  const normsInputs = config.design.norms !== "after";
  const inputOf = (role: LinearRole) => keepsInput(config, training, numerics, role);
  return [
    kept("first norm's output", stream, normsInputs && inputOf("attention in")),
    kept("q and k before their norms", queries + keys, hasHeadNorms && !isWide),
    kept("q and k, rotated", queries + keys),
    kept("v", keys),
    kept("v before its norm", keys, config.design.valueNorms),
    kept("attention's output", queries),
    { name: "log-sum-exp of scores", width: config.numHeads, bytes: 4 },
    kept("o_proj's output, before its norm", stream, normsOutputs && !isWide),
    kept("stream after attention", stream, !isWide),
    kept("second norm's output", stream, normsInputs && inputOf("mlp in")),
    kept("gate and up", 2 * inner),
    kept("gated product", inner, !trained.isFull && inputOf("mlp out")),
    kept("down_proj's output, before its norm", stream, normsOutputs && !isWide),
    ...normTensors(config, training, numerics),
    ...torchAttentionTensors(config, layer, numerics),
    ...adapterTensors(config, training, numerics),
  ].filter(({ width }) => width > 0);
}

/** What torch's norms keep besides their input: the addon's keep nothing. */
function normTensors(config: ModelConfig, training: LayerTraining, numerics: PlannedNumerics): TokenTensor[] {
  if (hasOwnKernels(numerics)) return [];
  const { headDim, numKeyValueHeads } = headsOf(config, kindOf(config, training.layer));
  const { queryKeyNorms, valueNorms } = config.design;
  const ofQueries = queryKeyNorms === "none" ? 0 : config.numHeads + numKeyValueHeads;
  const heads = ofQueries + (valueNorms ? numKeyValueHeads : 0);
  const ofStream = config.design.norms === "around" ? 4 : 2;
  const scales = { name: "norms' scales", width: ofStream + heads, bytes: 4 };
  if (!hasWideNorms(config, numerics)) return [scales];
  return [
    scales,
    { name: "norms' inputs in float32", width: ofStream * config.hiddenSize + heads * headDim, bytes: 4 },
  ];
}

/** Whether torch's norms, of this factor on their result, get half precision in float32 and keep it so (`native/rms-norm-rotary.h`). */
export function hasWideNorms({ design }: ModelConfig, numerics: PlannedNumerics, scale: number = 1): boolean {
  return !hasOwnKernels(numerics) && isHalf(numerics) && (design.normOffset !== 0 || scale !== 1);
}

/** What torch's attention adds, a call a segment: the parts' outputs, and a completion's keys and values with its prompt's. */
function torchAttentionTensors(config: ModelConfig, layer: number, numerics: PlannedNumerics): TokenTensor[] {
  const isCapped = config.design.scoreCap !== null;
  const kind = kindOf(config, layer);
  if (!isCapped && (hasOwnKernels(numerics) || hasVarlenAttention(config, kind, numerics))) return [];
  const { queries } = widthsOf(config, kind);
  return [{ name: "attention's output, part by part", width: queries, bytes: itemBytes(numerics) }];
}

/** What adapters add to a block. */
function adapterTensors(
  config: ModelConfig,
  training: LayerTraining,
  numerics: PlannedNumerics,
): TokenTensor[] {
  const bytes = itemBytes(numerics);
  const isPlain =
    hasOwnKernels(numerics) &&
    !isHalf(numerics) &&
    config.quantisation === null &&
    !training.drops &&
    !training.useDora;
  const adapted = blockLinears(config, training.layer).filter(({ name }) => training.ranks.has(name));
  // the addon makes W + sBA and keeps nothing but the input
  if (isPlain && adapted.every(({ hasBias }) => !hasBias)) return [];
  const sum = (width: (linear: BlockLinear) => number) =>
    adapted.reduce((total, linear) => total + width(linear), 0);
  const inputs = sum(({ inputs }) => inputs);
  const outputs = sum(({ outputs }) => outputs);
  return [
    { name: "adapters' inner vectors", width: sum(({ name }) => training.ranks.get(name) ?? 0), bytes },
    { name: "adapters' inputs after dropout", width: keepsDropped(training, numerics) ? inputs : 0, bytes },
    // on the CPU they are made again in the backward pass
    { name: "dropout's masks", width: training.drops && numerics.onGpu ? inputs : 0, bytes: 1 },
    { name: "DoRA's two outputs", width: training.useDora ? 2 * outputs : 0, bytes },
  ];
}

/** Bytes a token that a block keeps for its backward pass, its own input left out. */
export function keptBytesPerToken(tensors: readonly TokenTensor[]): number {
  return tensors.reduce((sum, { width, bytes }) => sum + width * bytes, 0);
}

/** What torch's attention keeps of completions' keys and values and their masks, over all layers. */
export function completionAttentionBytes(
  config: ModelConfig,
  pairs: readonly PairLengths[],
  numerics: PlannedNumerics,
  share_prompt: boolean,
): number {
  if (hasOwnKernels(numerics) || !share_prompt || config.design.scoreCap !== null) return 0;
  const completions = pairs.flatMap(({ prompt, chosen, rejected }) =>
    [chosen, rejected].filter((n) => n > 1).map((n) => ({ own: n - 1, all: prompt + n - 1 })),
  );
  const bytes = itemBytes(numerics);
  const rows = completions.reduce((sum, { all }) => sum + all, 0);
  const repeated = completions.reduce((sum, { own, all }) => sum + all - own, 0);
  const masks = completions.reduce((sum, { own, all }) => sum + own * all, 0);
  const ofKinds = [...new Set(config.layerKinds)].map((kind) => {
    const layers = config.layerKinds.filter((one) => one === kind).length;
    const { queries, keys } = widthsOf(config, kind);
    // the prompt's keys and values once more for each completion, and an index of all keys
    if (hasVarlenAttention(config, kind, numerics)) return 2 * layers * keys * repeated * bytes + 8 * rows;
    // a masked call repeats keys and values for each query head
    return bytes * (2 * layers * queries * rows + masks);
  });
  return ofKinds.reduce((sum, one) => sum + one, 0);
}

/** Bytes a token that come and go while one block runs forward: what its graph does not need, freed at its end. */
export function passingBytesPerToken(config: ModelConfig, numerics: PlannedNumerics): number {
  const { stream, queries, keys } = widest(config);
  const rotated = config.design.queryKeyNorms === "none" ? queries + keys : 0;
  const normed = hasWideNorms(config, numerics) ? 2 * stream : 0;
  return itemBytes(numerics) * (2 * stream + normed + rotated + attending(config, numerics));
}

/** Bytes a token that come and go in one block's backward pass: gradients of its widest tensors. */
export function backwardBytesPerToken(config: ModelConfig, numerics: PlannedNumerics): number {
  const { stream, queries, keys, inner } = widest(config);
  const isOwn = hasOwnKernels(numerics);
  const mlp = (isOwn && !isHalf(numerics) ? 3 : 5) * inner + 2 * stream;
  // q, k, v, the result, its gradient and those of q, k, v once more in float32
  const copies = isOwn && isHalf(numerics) ? 2 * (4 * queries + 4 * keys) : 0;
  const attention = 3 * queries + 3 * stream + copies;
  return itemBytes(numerics) * Math.max(mlp, attention);
}

/** Numbers a token that come and go in attention's forward pass, in the kind of layer that needs most. */
function attending(config: ModelConfig, numerics: PlannedNumerics): number {
  if (hasOwnKernels(numerics)) {
    const { queries, keys } = widest(config);
    // q, k, v and the result once more in float32
    return isHalf(numerics) ? 2 * (2 * queries + 2 * keys) : 0;
  }
  const numbers = [...new Set(config.layerKinds)].map((kind) => {
    const { queries, keys } = widthsOf(config, kind);
    return hasVarlenAttention(config, kind, numerics) ? 2 * keys : 4 * (queries + keys);
  });
  return Math.max(...numbers);
}

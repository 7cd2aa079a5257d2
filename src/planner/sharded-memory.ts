/**
 * Memory of a rank that holds a part of each unit of a model (the embedding, a block, the final norm, the head). It follows
 * `src/sharding` and is to be changed with it.
 */
import { blockWeights } from "../formats/block-linears.ts";
import { headRanges } from "../formats/head-ranges.ts";
import type { ModelConfig } from "../formats/model-config.ts";
import { itemBytes, type PlannedNumerics } from "./activations.ts";
import { blockParameters, type ParameterCounts } from "./parameter-counts.ts";
import type { TrainedParts } from "./trained-parts.ts";

/** How many ranks share a copy of the model, and whether blocks stay gathered until their backward pass. */
export interface Shards {
  ranks: number;
  keep_gathered: boolean;
}

/** What the units depend on. */
export interface UnitInput {
  model: ModelConfig;
  trained: TrainedParts;
  counts: ParameterCounts;
  numerics: PlannedNumerics;
}

/** Bytes of gathered units, and trained numbers in them. */
export interface UnitBytes {
  block: number;
  embedding: number;
  /** 0 where the head is the embedding's matrix. */
  head: number;
  /** Of a head that acts, or is trained: the largest range that is gathered at a time; 0 as above. */
  headRange: number;
  trainedInBlock: number;
  trainedInEmbedding: number;
  trainedInHead: number;
  trainedInHeadRange: number;
}

/** How many ranges a head that ranks share comes in: 1 where it is tied to the embedding, and gathered with it. */
export function rangesOfHead(model: ModelConfig, { isFull, trainsHead }: TrainedParts): number {
  return model.tieWordEmbeddings && (isFull || !trainsHead) ? 1 : headRanges(model).length;
}

/** The units as they are gathered: matrices in the activations' type, trained vectors and adapters in float32. */
export function unitBytes({ model, trained, counts, numerics }: UnitInput): UnitBytes {
  const item = itemBytes(numerics);
  const table = model.vocabSize * model.hiddenSize;
  const isTied = model.tieWordEmbeddings;
  const copied = (isTrained: boolean) => (isTrained ? table : 0);
  const range = Math.max(...headRanges(model).map(({ start, end }) => end - start)) * model.hiddenSize;
  if (trained.isFull) {
    const matrices = blockWeights(model);
    return {
      block: item * matrices + 4 * (blockParameters(model) - matrices),
      embedding: item * table,
      head: isTied ? 0 : item * table,
      headRange: isTied ? 0 : item * range,
      trainedInBlock: blockParameters(model),
      trainedInEmbedding: table,
      trainedInHead: isTied ? 0 : table,
      trainedInHeadRange: isTied ? 0 : range,
    };
  }
  const savedInBlocks = trained.savedLinears.reduce(
    (sum, { linear }) => sum + linear.inputs * linear.outputs,
    0,
  );
  const ownInBlock = (counts.adapter + savedInBlocks) / model.numLayers;
  return {
    block: item * blockParameters(model) + 4 * ownInBlock,
    embedding: item * table + 4 * copied(trained.trainsEmbedding),
    head: (isTied ? 0 : item * table) + 4 * copied(trained.trainsHead),
    headRange: trained.trainsHead ? 4 * range : isTied ? 0 : item * range,
    trainedInBlock: ownInBlock,
    trainedInEmbedding: copied(trained.trainsEmbedding),
    trainedInHead: copied(trained.trainsHead),
    trainedInHeadRange: trained.trainsHead ? range : 0,
  };
}

/** Bytes of all units, gathered. */
export function wholeBytes(input: UnitInput): number {
  const unit = unitBytes(input);
  return input.model.numLayers * unit.block + unit.embedding + unit.head + 4 * input.model.hiddenSize;
}

/** Bytes that a rank holds from the beginning to the end: its parts of all units, and float32 masters of what is in another type. */
export function shardBytes(input: UnitInput, { ranks }: Shards): { weights: number; optimiser: number } {
  const { model, trained, counts, numerics } = input;
  const parts = wholeBytes(input);
  const table = model.vocabSize * model.hiddenSize;
  const matrices = model.numLayers * blockWeights(model) + table * (model.tieWordEmbeddings ? 1 : 2);
  const masters = trained.isFull && itemBytes(numerics) !== 4 ? 4 * matrices : 0;
  return { weights: (parts + masters) / ranks, optimiser: (8 * counts.trained) / ranks };
}

/** Exchanges of gradients under way at most: as in `sharded-model.ts`. */
const exchangesInFlight = 2;

/** Bytes of gathered units and of gradients at a moment of a step. */
export interface ShardedMoment {
  gathered: number;
  gradients: number;
}

/** The moments of a step, in its order, as `memory.ts` has them; and when the embedding's gradient is exchanged. */
export interface ShardedMoments {
  forward: ShardedMoment;
  head: ShardedMoment;
  lastBack: ShardedMoment;
  /** The backward pass of a block while the gradients of others are exchanged. */
  middleBack: ShardedMoment;
  firstBack: ShardedMoment;
  embedding: ShardedMoment;
}

/**
 * Gathered units and gradients of a rank in the moments of a step.
 *
 * @param accumulates - whether gradients of an earlier micro-batch are there
 */
export function shardedMoments(
  input: UnitInput,
  { ranks, keep_gathered }: Shards,
  accumulates: boolean,
): ShardedMoments {
  const { model, trained, counts, numerics } = input;
  const unit = unitBytes(input);
  const isTied = model.tieWordEmbeddings;
  const blocks = model.numLayers * unit.block;
  const tables = isTied ? unit.embedding : 0;
  const passing = keep_gathered ? blocks : 2 * unit.block;
  const sums = (4 * counts.trained) / ranks;
  const earlier = accumulates ? sums : 0;
  // what autograd has of a block, and what is on its way: a rank's own and what arrives
  const fresh = (trained.isFull ? itemBytes(numerics) : 4) * unit.trainedInBlock;
  const exchange = 8 * unit.trainedInBlock;
  const inFlight = Math.min(exchangesInFlight, model.numLayers) * exchange;
  // a tied table's gradient waits for the embedding's
  const ranges = rangesOfHead(model, trained);
  const table = isTied && unit.trainedInHead === 0 ? 4 * unit.trainedInEmbedding : 0;
  const onTheWay = (most: number) => 8 * Math.min(exchangesInFlight, most) * unit.trainedInHeadRange;
  const headSums = accumulates ? 0 : (4 * unit.trainedInHead) / ranks;
  const heldHead = (keep_gathered && unit.trainedInHead > 0 ? ranges : Math.min(2, ranges)) * unit.headRange;
  return {
    forward: { gathered: passing + tables, gradients: earlier },
    head: {
      gathered: (keep_gathered ? blocks : unit.block) + (unit.headRange === 0 ? tables : heldHead),
      gradients: earlier + table + 4 * unit.trainedInHeadRange + onTheWay(ranges - 1) + headSums,
    },
    lastBack: { gathered: passing, gradients: earlier + table + onTheWay(ranges) + headSums + fresh },
    middleBack: { gathered: passing, gradients: earlier + table + inFlight + fresh },
    firstBack: {
      gathered: unit.block,
      gradients: sums + table + inFlight + fresh,
    },
    embedding: { gathered: 0, gradients: sums + exchange + 8 * unit.trainedInEmbedding },
  };
}

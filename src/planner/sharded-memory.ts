/**
 * Memory of a rank that holds a part of each unit of a model (the embedding, a block, the final norm, the head). It follows
 * `src/sharding` and is to be changed with it.
 */
import { itemBytes } from "./activations.ts";
import {
  allUnits,
  gatheredBytes,
  type PlannedPart,
  plannedUnits,
  trainedNumbers,
  type UnitInput,
} from "./units.ts";

/** How many ranks share a copy of the model, and whether blocks stay gathered until their backward pass. */
export interface Shards {
  ranks: number;
  keep_gathered: boolean;
}

/** Bytes of all units, gathered. */
export function wholeBytes(input: UnitInput): number {
  return gatheredBytes(allUnits(plannedUnits(input, 1)));
}

/** Bytes that a rank holds from the beginning to the end: its parts of all units, and float32 masters of what is in another type. */
export function shardBytes(input: UnitInput, { ranks }: Shards): { weights: number; optimiser: number } {
  const bytes = { weights: 0, optimiser: 0 };
  for (const { layout } of allUnits(plannedUnits(input, ranks))) {
    bytes.weights += layout.partBytes;
    bytes.optimiser += (8 * layout.trainedNumel) / ranks;
    for (const { dtype, numel } of layout.trained)
      if (dtype !== "float32") bytes.weights += (4 * numel) / ranks;
  }
  return bytes;
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
  const { model, trained, numerics } = input;
  const units = plannedUnits(input, ranks);
  const { embedding, blocks, head } = units;
  const most = (parts: readonly PlannedPart[], of: (part: PlannedPart) => number) =>
    Math.max(...parts.map(of));
  const block = most(blocks, gatheredBytes);
  const kept = gatheredBytes(blocks.flat());
  // a head that is the embedding's table is there from the embedding on, and its gradient waits for the embedding's
  const isTied = head[0] === embedding;
  const table = isTied ? gatheredBytes(embedding) : 0;
  const tableGradient = isTied ? 4 * trainedNumbers(embedding) : 0;
  const passing = keep_gathered ? kept : 2 * block;
  const sums = (4 * trainedNumbers(allUnits(units))) / ranks;
  const earlier = accumulates ? sums : 0;
  // what autograd has of a block, and what is on its way: a rank's own and what arrives
  const inBlock = most(blocks, trainedNumbers);
  const fresh = (trained.isFull ? itemBytes(numerics) : 4) * inBlock;
  const inFlight = Math.min(exchangesInFlight, model.numLayers) * 8 * inBlock;
  const range = isTied ? 0 : most(head, trainedNumbers);
  const ofRanges = (count: number) => 8 * Math.min(exchangesInFlight, count) * range;
  const rangeSums = isTied || accumulates ? 0 : (4 * trainedNumbers(head.flat())) / ranks;
  const isKept = keep_gathered && range > 0;
  const ranges = isKept ? gatheredBytes(head.flat()) : Math.min(2, head.length) * most(head, gatheredBytes);
  return {
    forward: { gathered: passing + table, gradients: earlier },
    head: {
      gathered: (keep_gathered ? kept : block) + (isTied ? table : ranges),
      gradients: earlier + tableGradient + 4 * range + ofRanges(head.length - 1) + rangeSums,
    },
    lastBack: {
      gathered: passing,
      gradients: earlier + tableGradient + ofRanges(head.length) + rangeSums + fresh,
    },
    middleBack: { gathered: passing, gradients: earlier + tableGradient + inFlight + fresh },
    firstBack: { gathered: block, gradients: sums + tableGradient + inFlight + fresh },
    embedding: { gathered: 0, gradients: sums + 8 * inBlock + 8 * trainedNumbers(embedding) },
  };
}

/**
 * The walk over the model: embedding, blocks, final norm and the given head are separate segments, each run forward on its own and
 * later backward on its own, in this file's order and nowhere else. Whether a block's activations are kept or computed
 * again is a choice here, not a property of the model.
 */
import type { Decoder, Residence } from "../models/causal-lm.ts";
import type { ParameterSet } from "../nn/parameter-set.ts";
import {
  backward,
  batchInvariant,
  type DType,
  enableGrad,
  noGrad,
  onDevice,
  ops,
  scope,
  type Tensor,
} from "../torch/index.ts";
import type { CompletionSlice, DeviceBatch } from "./batch.ts";
import type { Head } from "./head.ts";
import type { Numerics } from "./numerics.ts";

/** Options of `walk`. */
export interface WalkOptions extends Omit<Numerics, "temperature" | "logits_chunk_size" | "logits_kept_mib"> {
  /** What is trained; null: nothing is kept for a backward pass. */
  trained: ParameterSet | null;
}

/** The model run up to its head; what is left is asked of it in this order: `head` for every slice, then `backward`. */
export interface Walk<Values> {
  /** What the head makes of a slice's tokens. */
  head(slice: CompletionSlice): WalkedHead<Values>;
  /**
   * Adds dL/dparameter of everything below the head to `grad`. Once, only in training, when all slices have gone back.
   *
   * @param onGradientsReady - called after each block's backward, when more gradients are final: those of all parameters that
   *   have one, the embedding's (and a head's that shares its table) after the last call only
   */
  backward(onGradientsReady?: () => void): void;
}

/** A head's values for a slice, with a way back that ends at the walk. */
export type WalkedHead<Values> = Values & {
  /** Takes the gradients that the head's `backward` takes: adds to the head's `grad`, and keeps what goes down. Once, only in training. */
  backward(grad: Tensor, gradEntropies?: Tensor | null): void;
};

/** A segment of the backward pass that has run forward. */
interface Stage {
  /** The leaf that stands for what came in; with `activation_offloading` a copy elsewhere. */
  input: Tensor;
  /** With its graph, or null when it must be computed again. */
  output: Tensor | null;
  /** Whether its input needs a gradient. */
  receives: boolean;
  run: (input: Tensor) => Tensor;
  /** The module that it runs. */
  part: object;
}

/**
 * Runs the blocks over a batch; the head follows slice by slice, so that only one slice's probabilities are ever held.
 *
 * Memory: in training one (T, D) input per block, and the block's graph unless `gradient_checkpointing`; R × D for the head. The
 * caller's scope owns what is kept.
 */
export function walk<Values>(
  model: Decoder,
  batch: DeviceBatch,
  head: Head<Values>,
  options: WalkOptions,
): Walk<Values> {
  if (options.batch_invariant !== true) return walked(model, batch, head, options);
  const pass = batchInvariant(() => walked(model, batch, head, options));
  return {
    head: (slice) => {
      const values = batchInvariant(() => pass.head(slice));
      return {
        ...values,
        backward: (...grads) => batchInvariant(() => values.backward(...grads)),
      };
    },
    backward: (onGradientsReady) => batchInvariant(() => pass.backward(onGradientsReady)),
  };
}

function walked<Values>(
  model: Decoder,
  batch: DeviceBatch,
  head: Head<Values>,
  options: WalkOptions,
): Walk<Values> {
  const { trained } = options;
  const trains = trainedParts(model, trained);
  const stages: Stage[] = [];
  const { residence } = model;
  const { embed_tokens, layers, norm } = model.model;
  const context = model.context(batch, options.dtype);
  residence?.enter(embed_tokens, layers[0]);
  let h = embedded(model, batch, options.dtype);
  residence?.leave(embed_tokens, false);
  const recomputed = options.gradient_checkpointing
    ? (options.gradient_checkpointing_blocks ?? Number.POSITIVE_INFINITY)
    : 0;
  for (const [i, block] of layers.entries()) {
    residence?.enter(block, layers[i + 1] ?? norm);
    h = forwardStage(stages, h, (x) => block.forward(x, context), {
      part: block,
      records: i >= trains.firstBlock,
      gradient_checkpointing: i - trains.firstBlock < recomputed,
      activation_offloading: options.activation_offloading ?? false,
      receives: trains.embedding || i > trains.firstBlock,
    });
    residence?.leave(block, i >= trains.firstBlock);
  }
  residence?.enter(norm, model.head);
  const tail = (x: Tensor) => norm.forward(ops.indexSelect(x, 0, batch.predictors));
  const rows = forwardStage(stages, h, tail, {
    part: norm,
    records: trains.anyBelowHead,
    gradient_checkpointing: false,
    activation_offloading: false,
    receives: trains.embedding || trains.firstBlock < layers.length,
  });
  residence?.leave(norm, trains.anyBelowHead);
  const gradRows = trained !== null ? noGrad(() => ops.zerosLike(ops.detach(rows))) : null;
  return {
    head: (slice) =>
      noGrad(() => {
        const part = (x: Tensor) => ops.slice(ops.detach(x), 0, slice.start, slice.end);
        const pass = head(part(rows), slice, trained);
        const goBack = (grad: Tensor, gradEntropies: Tensor | null) => {
          const down = pass.backward(grad, gradEntropies);
          if (gradRows !== null) ops.copy_(part(gradRows), down);
        };
        return {
          ...pass,
          backward: (grad, gradEntropies = null) => noGrad(() => goBack(grad, gradEntropies)),
        };
      }),
    backward: (onGradientsReady) => {
      const grad = walkBack(stages, gradRows, { residence, onGradientsReady });
      if (trained === null || !trains.embedding) return;
      using _ = scope();
      const table = trained.gradOf(embed_tokens.table);
      if (grad !== null) noGrad(() => model.addEmbeddingGrad(table, batch.ids, grad));
      residence?.complete(embed_tokens);
    },
  };
}

/** Which parts have something to train: blocks before `firstBlock` need no gradient at all. */
function trainedParts(
  model: Decoder,
  trained: ParameterSet | null,
): {
  embedding: boolean;
  firstBlock: number;
  anyBelowHead: boolean;
} {
  const trains = (module: object) => trained?.trains(module) ?? false;
  const { embed_tokens, layers, norm } = model.model;
  const embedding = trains(embed_tokens);
  const first = layers.findIndex(trains);
  const firstBlock = embedding ? 0 : first < 0 ? layers.length : first;
  const anyBelowHead = firstBlock < layers.length || trains(norm);
  return { embedding, firstBlock, anyBelowHead };
}

/** Embeddings of the stream, outside autograd: their gradient is a sum of rows, made by hand. */
function embedded(model: Decoder, batch: DeviceBatch, dtype: DType): Tensor {
  using stage = scope();
  return stage.keep(noGrad(() => model.embed(batch.ids, dtype)));
}

/** How a segment runs. */
interface StageOptions {
  part: object;
  /** Whether anything in it or below it is trained. */
  records: boolean;
  /** Whether anything below it is trained, so that its input needs a gradient. */
  receives: boolean;
  gradient_checkpointing: boolean;
  activation_offloading: boolean;
}

/** Runs one segment. Its temporaries are freed here; what its gradient needs lives in its graph. */
function forwardStage(
  stages: Stage[],
  incoming: Tensor,
  run: (input: Tensor) => Tensor,
  { part, records, receives, gradient_checkpointing, activation_offloading }: StageOptions,
): Tensor {
  using stage = scope();
  if (!records) {
    const output = stage.keep(noGrad(() => run(incoming)));
    release(stages, incoming);
    return output;
  }
  const input = leafOf(incoming, receives);
  const body = () => run(input);
  const output = stage.keep(gradient_checkpointing ? noGrad(body) : enableGrad(body));
  const kept = gradient_checkpointing && activation_offloading ? offloaded(incoming) : input;
  stage.keep(kept);
  release(stages, incoming);
  stages.push({ input: kept, output: gradient_checkpointing ? null : output, receives, run, part });
  return output;
}

function offloaded(value: Tensor): Tensor {
  return noGrad(() => ops.to(value, "cpu", value.dtype, false, true));
}

function leafOf(value: Tensor, receives: boolean): Tensor {
  const leaf = ops.detach(value);
  leaf.requiresGrad = receives;
  return leaf;
}

/** Frees what went into a segment, unless it is the root of the graph of the segment before. */
function release(stages: Stage[], incoming: Tensor): void {
  if (stages.at(-1)?.output !== incoming) incoming.dispose();
}

/**
 * Each segment in reverse, freed as soon as its gradient is passed down.
 *
 * @param last - gradient of what the last segment gave
 * @returns the gradient of what the first segment received, or null where it needs none
 */
function walkBack(
  stages: Stage[],
  last: Tensor | null,
  {
    residence,
    onGradientsReady,
  }: { residence: Residence | null; onGradientsReady?: (() => void) | undefined },
): Tensor | null {
  let grad = last;
  for (let stage = stages.pop(); stage !== undefined && grad !== null; stage = stages.pop()) {
    using step = scope();
    const { output, receives, part } = stage;
    residence?.enter(part, stages.at(-1)?.part);
    const input =
      output === null ? leafOf(onDevice(stage.input, grad.device, stage.input.dtype), receives) : stage.input;
    backward([output ?? enableGrad(() => stage.run(input))], { gradients: [grad] });
    const next = input.grad;
    output?.dispose();
    input.grad = null;
    stage.input.dispose();
    grad.dispose();
    grad = next === null ? null : step.keep(next);
    residence?.leave(part, false);
    residence?.complete(part);
    onGradientsReady?.();
  }
  return grad;
}

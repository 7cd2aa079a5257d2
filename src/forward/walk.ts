/**
 * The walk over the model: embedding, blocks, final norm and head are separate segments, each run forward on its own and
 * later backward on its own, in this file's order and nowhere else. Whether a block's activations are kept or computed
 * again is a choice here, not a property of the model.
 */
import type { CausalLM } from "../models/causal-lm.ts";
import type { ParameterSet } from "../nn/parameter-set.ts";
import { backward, type DType, enableGrad, noGrad, ops, scope, type Tensor } from "../torch/index.ts";
import type { CompletionSlice, DeviceBatch } from "./batch.ts";
import type { Numerics } from "./numerics.ts";
import { tokenLogps } from "./token-logps.ts";

/** Options of `walk`. */
export interface WalkOptions extends Numerics {
  /** What is trained; null: log-probs only, nothing is kept for a backward pass. */
  trained: ParameterSet | null;
  /** Also compute entropies. */
  entropies: boolean;
}

/** The model run up to the head; what is left is asked of it in this order: `head` for every group, then `backward`. */
export interface Walk {
  /** Log-probabilities of a group's response tokens. */
  head(group: CompletionSlice): HeadPass;
  /**
   * Adds dL/dparameter of everything below the head to `grad`. Once, only in training, when all groups have gone back.
   *
   * @param onGradientsReady - called after each block's backward, when more gradients are final: those of all parameters that
   *   have one, the embedding's (and a head's that shares its table) after the last call only
   */
  backward(onGradientsReady?: () => void): void;
}

/** Log-probabilities of R response tokens. */
export interface HeadPass {
  /** (R) float32 */
  logps: Tensor;
  /** (R) float32 or null, see `WalkOptions.entropies` */
  entropies: Tensor | null;
  /** (R) float32: 1 where no token is likelier than the target */
  correct: Tensor;
  /** Takes dL/dlogps (R): adds to the head's `grad`, and keeps what goes down. Once, and only in training. */
  backward(gradLogps: Tensor): void;
}

/** A segment of the backward pass that has run forward. */
interface Stage {
  /** The leaf that stands for what came in; with `activation_offloading` a copy elsewhere. */
  input: Tensor;
  /** With its graph, or null when it must be computed again. */
  output: Tensor | null;
  /** Whether its input needs a gradient. */
  receives: boolean;
  run: (input: Tensor) => Tensor;
}

/**
 * Runs the blocks over a batch; the head follows group by group, so that only one group's probabilities are ever held.
 *
 * Memory: in training one (T, D) input per block, and the block's graph unless `gradient_checkpointing`; R × D for the head. The
 * caller's scope owns what is kept.
 */
export function walk(model: CausalLM, batch: DeviceBatch, options: WalkOptions): Walk {
  const { trained } = options;
  const trains = trainedParts(model, trained);
  const stages: Stage[] = [];
  const context = model.context(batch, options.dtype);
  let h = embedded(model, batch, options.dtype);
  const recomputed = options.gradient_checkpointing
    ? (options.gradient_checkpointing_blocks ?? Number.POSITIVE_INFINITY)
    : 0;
  for (const [i, block] of model.model.layers.entries()) {
    h = forwardStage(stages, h, (x) => block.forward(x, context), {
      records: i >= trains.firstBlock,
      gradient_checkpointing: i - trains.firstBlock < recomputed,
      activation_offloading: options.activation_offloading ?? false,
      receives: trains.embedding || i > trains.firstBlock,
    });
  }
  const tail = (x: Tensor) => model.model.norm.forward(ops.indexSelect(x, 0, batch.predictors));
  const rows = forwardStage(stages, h, tail, {
    records: trains.anyBelowHead,
    gradient_checkpointing: false,
    activation_offloading: false,
    receives: trains.embedding || trains.firstBlock < model.model.layers.length,
  });
  const gradRows = trained !== null ? noGrad(() => ops.zerosLike(ops.detach(rows))) : null;
  return {
    head: (group) =>
      noGrad(() => headPass(model, { rows, gradRows, group }, { ...options, trainsHead: trains.head })),
    backward: (onGradientsReady) => {
      const grad = walkBack(stages, gradRows, onGradientsReady);
      if (trained !== null && trains.embedding && grad !== null) {
        using _ = scope();
        const table = trained.gradOf(model.model.embed_tokens.table);
        noGrad(() => model.addEmbeddingGrad(table, batch.ids, grad));
      }
    },
  };
}

/** Hidden states (R, D), the place for their gradient, and which of them are meant. */
interface HeadRows {
  rows: Tensor;
  gradRows: Tensor | null;
  group: CompletionSlice;
}

function headPass(
  model: CausalLM,
  { rows, gradRows, group }: HeadRows,
  options: WalkOptions & { trainsHead: boolean },
): HeadPass {
  const { trained, trainsHead } = options;
  const part = (x: Tensor) => ops.slice(ops.detach(x), 0, group.start, group.end);
  const { logps, entropies, correct, backward } = tokenLogps(
    part(rows),
    model.lm_head.weight,
    group.targets,
    {
      logits_chunk_size: options.logits_chunk_size,
      logits_kept_mib: options.logits_kept_mib ?? null,
      gradient: trained === null ? "none" : trainsHead ? "hidden-and-weight" : "hidden",
      entropies: options.entropies,
    },
  );
  return {
    logps,
    entropies,
    correct,
    backward: (gradLogps) =>
      noGrad(() => {
        const weightGrad = trained !== null && trainsHead ? trained.gradOf(model.lm_head.weight) : null;
        const grad = backward(gradLogps, weightGrad);
        if (gradRows !== null) ops.copy_(part(gradRows), grad);
      }),
  };
}

/** Which parts have something to train: blocks before `firstBlock` need no gradient at all. */
function trainedParts(
  model: CausalLM,
  trained: ParameterSet | null,
): {
  embedding: boolean;
  firstBlock: number;
  anyBelowHead: boolean;
  head: boolean;
} {
  const trains = (module: object) => trained?.trains(module) ?? false;
  const { embed_tokens, layers, norm } = model.model;
  const embedding = trains(embed_tokens);
  const first = layers.findIndex(trains);
  const firstBlock = embedding ? 0 : first < 0 ? layers.length : first;
  const anyBelowHead = firstBlock < layers.length || trains(norm);
  return { embedding, firstBlock, anyBelowHead, head: trains(model.lm_head) };
}

/** Embeddings of the stream, outside autograd: their gradient is a sum of rows, made by hand. */
function embedded(model: CausalLM, batch: DeviceBatch, dtype: DType): Tensor {
  using stage = scope();
  return stage.keep(noGrad(() => model.embed(batch.ids, dtype)));
}

/** How a segment runs. */
interface StageOptions {
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
  { records, receives, gradient_checkpointing, activation_offloading }: StageOptions,
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
  stages.push({ input: kept, output: gradient_checkpointing ? null : output, receives, run });
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
 * Each segment in reverse, freed as soon as its gradient has gone on.
 *
 * @param last - gradient of what the last segment gave
 * @param onGradientsReady - called after each segment
 * @returns the gradient of what the first segment received, or null where it needs none
 */
function walkBack(stages: Stage[], last: Tensor | null, onGradientsReady?: () => void): Tensor | null {
  let grad = last;
  for (let stage = stages.pop(); stage !== undefined && grad !== null; stage = stages.pop()) {
    using step = scope();
    const { output, receives } = stage;
    const input =
      output === null ? leafOf(ops.to(stage.input, grad.device, stage.input.dtype), receives) : stage.input;
    backward([output ?? enableGrad(() => stage.run(input))], { gradients: [grad] });
    const next = input.grad;
    output?.dispose();
    input.grad = null;
    stage.input.dispose();
    grad.dispose();
    grad = next === null ? null : step.keep(next);
    onGradientsReady?.();
  }
  return grad;
}

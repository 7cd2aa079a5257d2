/** How many parameters a model has, part by part, from its config.json alone. */
import type { RunConfig } from "../config/run-config.ts";
import { averagesBytes, updateBytes } from "../formats/bits-and-bytes.ts";
import { type BlockLinear, blockLinears, linearPath, weightsOfBlocks } from "../formats/block-linears.ts";
import { isQuantised } from "../formats/held-quantisation.ts";
import { headsOf, kindOf, type ModelConfig } from "../formats/model-config.ts";
import { quantisedBytes } from "../formats/quantisation.ts";
import { itemBytes, type PlannedNumerics } from "./activations.ts";
import type { TrainedParts } from "./trained-parts.ts";

/** Parameters of a model and of what is trained in it. */
export interface ParameterCounts {
  embedding: number;
  /** 0 where the head is the embedding's matrix. */
  head: number;
  attention: number;
  mlp: number;
  /** Fixed factors of layers among them. */
  norms: number;
  /** The checkpoint's parameters: the sum of the above. */
  total: number;
  /** LoRA matrices and DoRA magnitudes. */
  adapter: number;
  /** Copies of modules trained in full beside an adapter. */
  savedCopies: number;
  /** What the optimiser updates. */
  trained: number;
}

/** Weights and biases of one linear. */
function linearParameters({ inputs, outputs, hasBias }: BlockLinear): number {
  return inputs * outputs + (hasBias ? outputs : 0);
}

/** Widths of the norms of block `layer`: those of the stream, and of q and k where the design has them. */
export function blockNormSizes(config: ModelConfig, layer: number): number[] {
  const { design, hiddenSize, numHeads } = config;
  const { headDim, numKeyValueHeads } = headsOf(config, kindOf(config, layer));
  const ofStream = new Array<number>(design.norms === "around" ? 4 : 2).fill(hiddenSize);
  switch (design.queryKeyNorms) {
    case "none":
      return ofStream;
    case "head":
      return [...ofStream, headDim, headDim];
    case "projection":
      return [...ofStream, numHeads * headDim, numKeyValueHeads * headDim];
  }
}

function blockNorms(config: ModelConfig, layer: number): number {
  return blockNormSizes(config, layer).reduce((sum, size) => sum + size, 0);
}

/** Sum over the blocks. */
function overBlocks({ layerKinds }: ModelConfig, count: (layer: number) => number): number {
  return layerKinds.reduce((sum, _, layer) => sum + count(layer), 0);
}

/** Trained parameters of the largest block. */
export function blockParameters(config: ModelConfig): number {
  const ofBlock = (_: unknown, layer: number) =>
    blockLinears(config, layer).reduce((sum, linear) => sum + linearParameters(linear), 0) +
    blockNorms(config, layer);
  return Math.max(...config.layerKinds.map(ofBlock));
}

/** Numbers that a checkpoint has and that are never trained. */
function fixedNumbers({ design, numLayers }: ModelConfig): number {
  return design.layerFactors ? numLayers : 0;
}

/** Numbers of each tensor that is trained. */
export function trainedTensors(config: ModelConfig, trained: TrainedParts): number[] {
  const table = config.vocabSize * config.hiddenSize;
  if (trained.isFull) {
    const blocks = config.layerKinds.flatMap((_, layer) => [
      ...blockLinears(config, layer).flatMap((linear) => [
        linear.inputs * linear.outputs,
        ...(linear.hasBias ? [linear.outputs] : []),
      ]),
      ...blockNormSizes(config, layer),
    ]);
    return [table, ...(config.tieWordEmbeddings ? [] : [table]), ...blocks, config.hiddenSize];
  }
  const { adapted, savedLinears, trainsEmbedding, trainsHead, useDora } = trained;
  return [
    ...adapted.flatMap(({ linear, rank }) => [
      rank * linear.inputs,
      rank * linear.outputs,
      ...(useDora ? [linear.outputs] : []),
    ]),
    ...savedLinears.flatMap(({ linear: { inputs, outputs, hasBias } }) => [
      inputs * outputs,
      ...(hasBias ? [outputs] : []),
    ]),
    ...(trainsEmbedding ? [table] : []),
    ...(trainsHead ? [table] : []),
  ];
}

/** Bits of a number of AdamW's averages. */
export const averageBits: Readonly<Record<RunConfig["optim"], 32 | 16 | 8>> = {
  ...{ adamw_torch_fused: 32, adamw_bf16: 16, adamw_8bit: 8 },
};

/** Bytes of the optimiser's averages. */
export function optimiserBytes(
  config: ModelConfig,
  trained: TrainedParts,
  optim: RunConfig["optim"],
): number {
  return trainedTensors(config, trained).reduce(
    (sum, numel) => sum + averagesBytes(numel, averageBits[optim]),
    0,
  );
}

/** Bytes that the optimiser's update has for a while, beside the averages: none in the kernels for the CPU and for float32. */
export function passingUpdateBytes(
  config: ModelConfig,
  trained: TrainedParts,
  optim: RunConfig["optim"],
): number {
  const largest = trainedTensors(config, trained).reduce((most, numel) => Math.max(most, numel), 0);
  return updateBytes(largest, averageBits[optim]);
}

/** Adapter parameters: A (r, in), B (out, r), and with DoRA a magnitude for each output. */
function adapterParameters({ adapted, useDora }: TrainedParts): number {
  return adapted.reduce(
    (sum, { linear, rank }) => sum + rank * (linear.inputs + linear.outputs) + (useDora ? linear.outputs : 0),
    0,
  );
}

/** The counts for a model of which `trained` is trained. */
export function countParameters(config: ModelConfig, trained: TrainedParts): ParameterCounts {
  const partOf = (part: "attention" | "mlp") =>
    overBlocks(config, (layer) =>
      blockLinears(config, layer)
        .filter(({ role }) => role.startsWith(part))
        .reduce((sum, linear) => sum + linearParameters(linear), 0),
    );
  const embedding = config.vocabSize * config.hiddenSize;
  const parts = {
    embedding,
    head: config.tieWordEmbeddings ? 0 : embedding,
    attention: partOf("attention"),
    mlp: partOf("mlp"),
    norms:
      overBlocks(config, (layer) => blockNorms(config, layer)) + config.hiddenSize + fixedNumbers(config),
  };
  const total = Object.values(parts).reduce((sum, part) => sum + part, 0);
  const adapter = adapterParameters(trained);
  const copies =
    trained.savedLinears.reduce((sum, { linear }) => sum + linearParameters(linear), 0) +
    (trained.isFull ? 0 : embedding * (Number(trained.trainsEmbedding) + Number(trained.trainsHead)));
  return {
    ...parts,
    total,
    adapter,
    savedCopies: copies,
    trained: trained.isFull ? total - fixedNumbers(config) : adapter + copies,
  };
}

/** The linears that are held in fewer bits: their weights, the bytes that these take, and the weights of the largest. */
export function quantisedLinears(model: ModelConfig): { weights: number; bytes: number; largest: number } {
  const sum = { weights: 0, bytes: 0, largest: 0 };
  const { quantisation, numLayers } = model;
  if (quantisation === null) return sum;
  for (let layer = 0; layer < numLayers; layer++) {
    for (const linear of blockLinears(model, layer)) {
      if (!isQuantised(quantisation, linearPath(layer, linear))) continue;
      const weights = linear.inputs * linear.outputs;
      sum.weights += weights;
      sum.bytes += quantisedBytes(quantisation, linear);
      sum.largest = Math.max(sum.largest, weights);
    }
  }
  return sum;
}

/** Bytes that come and go while a linear in fewer bits is a matrix for one product, or DoRA takes the norm of one. */
export function densifiedBytes(
  model: ModelConfig,
  { useDora, adapted }: TrainedParts,
  numerics: PlannedNumerics,
): number {
  const { largest } = quantisedLinears(model);
  // without a kernel, codes and numbers of a stretch of 2^24
  const between = numerics.onGpu ? 6 * Math.min(largest, 2 ** 24) : 0;
  const normed = Math.max(0, ...adapted.map(({ linear }) => linear.inputs * linear.outputs));
  // the update as a matrix in float32, and the weight where it is not float32 itself
  const bytesOfNorm = largest === 0 && itemBytes(numerics) === 4 ? 4 : 8;
  return largest * itemBytes(numerics) + between + (useDora ? bytesOfNorm * normed : 0);
}

/** Bytes of the weights of a model of which `trained` is trained, as they are held to compute with. */
export function heldBytes(
  model: ModelConfig,
  trained: TrainedParts,
  counts: ParameterCounts,
  numerics: PlannedNumerics,
): number {
  const held = trained.isFull ? 4 : itemBytes(numerics);
  const { weights, bytes } = quantisedLinears(model);
  const own = (counts.total - weights) * held + bytes + (counts.adapter + counts.savedCopies) * 4;
  const away = numerics.embeddingOnHost ? model.vocabSize * model.hiddenSize * held : 0;
  return own - away + halfCopyBytes(model, trained, counts, numerics);
}

/**
 * Bytes of the model of the export's gate, all that is not held in fewer bits: the mapped file, or, of a base in another type than is
 * computed in, a copy in that type.
 */
export function checkedBytes(
  {
    model,
    trained,
    numerics,
    export_merged = false,
  }: { model: ModelConfig; trained: TrainedParts; numerics: PlannedNumerics; export_merged?: boolean },
  counts: ParameterCounts,
): number {
  const stored = itemBytes(model);
  const computed = itemBytes(numerics);
  // a merged file of wider numbers than are computed in is compared in them: the base was copied for the adapter's gate, and again
  const merged = stored > computed ? stored + computed : computed;
  const ofAdapter = export_merged ? merged : computed;
  return (counts.total - quantisedLinears(model).weights) * (trained.isFull ? stored : ofAdapter);
}

/** Copies in the activations' type of the trained matrices they are multiplied by, where those are float32 and they are not. */
function halfCopyBytes(
  model: ModelConfig,
  trained: TrainedParts,
  counts: ParameterCounts,
  numerics: PlannedNumerics,
): number {
  if (numerics.dtype === "float32") return 0;
  const embedding = model.vocabSize * model.hiddenSize;
  const matrices = trained.isFull
    ? weightsOfBlocks(model).reduce((sum, weights) => sum + weights, 0) + (trained.trainsHead ? embedding : 0)
    : counts.adapter + counts.savedCopies - (trained.trainsEmbedding ? embedding : 0);
  return matrices * itemBytes(numerics);
}

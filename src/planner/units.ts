/**
 * The units that ranks share a model in, from its configuration alone. It follows `src/sharding/sharded-model.ts` and is to be changed
 * with it; `test/distributed/collectives.test.ts` compares what real ranks pass.
 */
import { loraTensorName } from "../formats/adapter-names.ts";
import { blockLinears } from "../formats/block-linears.ts";
import { headRanges } from "../formats/head-ranges.ts";
import type { ModelConfig } from "../formats/model-config.ts";
import { UnitLayout, type UnitTensor } from "../formats/unit-layout.ts";
import type { PlannedNumerics } from "./activations.ts";
import { blockNormSizes } from "./parameter-counts.ts";
import type { TrainedParts } from "./trained-parts.ts";

/** What the units depend on. */
export interface UnitInput {
  model: ModelConfig;
  trained: TrainedParts;
  numerics: PlannedNumerics;
}

/** A unit over some ranks. */
export interface PlannedUnit {
  name: string;
  layout: UnitLayout;
}

/** The units of a part of the model, what is trained before what is frozen. */
export type PlannedPart = readonly PlannedUnit[];

/** The parts of a model. */
export interface PlannedUnits {
  embedding: PlannedPart;
  blocks: readonly PlannedPart[];
  norm: PlannedPart;
  /** The ranges of the head that acts in training; the embedding where the head is its table. */
  head: readonly PlannedPart[];
  /** The same while adapters are off. */
  frozenHead: readonly PlannedPart[];
}

/** How many ranges a head that ranks share comes in: 1 where it is tied to the embedding, and gathered with it. */
export function rangesOfHead(model: ModelConfig, { isFull, trainsHead }: TrainedParts): number {
  return model.tieWordEmbeddings && (isFull || !trainsHead) ? 1 : headRanges(model).length;
}

/** A model's units over `ranks`. */
export function plannedUnits(input: UnitInput, ranks: number): PlannedUnits {
  const { model, trained } = input;
  const { hiddenSize, vocabSize } = model;
  const own = (...shape: number[]) => ownTensor(input, shape);
  const part = (name: string, tensors: readonly UnitTensor[]): PlannedPart => {
    const kinds = [tensors.filter((one) => one.trained), tensors.filter((one) => !one.trained)];
    return kinds
      .filter((some) => some.length > 0)
      .map((some) => ({ name, layout: new UnitLayout(some, ranks) }));
  };
  const inRanges = (tensor: (rows: number) => UnitTensor): PlannedPart[] =>
    headRanges(model).map(({ start, end }) => part(`lm_head[${start}:${end}]`, [tensor(end - start)]));
  const embedding = part("model.embed_tokens", [
    own(vocabSize, hiddenSize),
    ...(!trained.isFull && trained.trainsEmbedding ? [addedTensor(vocabSize, hiddenSize)] : []),
  ]);
  const frozenHead = model.tieWordEmbeddings ? [embedding] : inRanges((rows) => own(rows, hiddenSize));
  return {
    embedding,
    blocks: Array.from({ length: model.numLayers }, (_, layer) =>
      part(`model.layers.${layer}`, blockTensors(input, layer)),
    ),
    norm: part("model.norm", [own(hiddenSize)]),
    head:
      trained.isFull || !trained.trainsHead ? frozenHead : inRanges((rows) => addedTensor(rows, hiddenSize)),
    frozenHead,
  };
}

function blockTensors(input: UnitInput, layer: number): UnitTensor[] {
  const { model, trained } = input;
  const own = (...shape: number[]) => ownTensor(input, shape);
  const ofLayer = (one: { layer: number }) => one.layer === layer;
  return [
    ...blockLinears(model, layer).flatMap(({ inputs, outputs, hasBias }) => [
      own(outputs, inputs),
      ...(hasBias ? [own(outputs)] : []),
    ]),
    ...blockNormSizes(model, layer).map((size) => own(size)),
    ...(model.design.layerFactors ? [{ ...own(1), trained: false }] : []),
    ...trained.adapted
      .filter(ofLayer)
      .flatMap(({ linear: { inputs, outputs }, rank }) => [
        addedTensor(rank, inputs),
        addedTensor(outputs, rank),
        ...(trained.useDora ? [{ ...addedTensor(outputs), name: loraTensorName("", "magnitude") }] : []),
      ]),
    ...trained.savedLinears
      .filter(ofLayer)
      .flatMap(({ linear: { inputs, outputs, hasBias } }) => [
        addedTensor(outputs, inputs),
        ...(hasBias ? [addedTensor(outputs)] : []),
      ]),
  ];
}

/** A tensor of the model: matrices are gathered in the activations' type, trained vectors in float32. */
function ownTensor({ trained: { isFull }, numerics: { dtype } }: UnitInput, shape: number[]): UnitTensor {
  return { name: "", shape, dtype: isFull && shape.length === 1 ? "float32" : dtype, trained: isFull };
}

/** A tensor of an adapter, or a copy that is trained beside it. */
function addedTensor(...shape: number[]): UnitTensor {
  return { name: "", shape, dtype: "float32", trained: true };
}

/** Bytes of a part while it is gathered. */
export function gatheredBytes(part: PlannedPart): number {
  return part.reduce((sum, { layout }) => sum + layout.bytes, 0);
}

/** Trained numbers of a part. */
export function trainedNumbers(part: PlannedPart): number {
  return part.reduce((sum, { layout }) => sum + layout.trainedNumel, 0);
}

/** All units of a model, each once. */
export function allUnits({ embedding, blocks, norm, head, frozenHead }: PlannedUnits): PlannedUnit[] {
  return [...new Set([embedding, ...blocks, norm, ...head, ...frozenHead].flat())];
}

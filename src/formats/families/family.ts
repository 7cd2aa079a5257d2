/** What a family of models is: one description, which everything else is made by. A family is a file of this folder. */
import type { JsonFields } from "../json-fields.ts";
import type { DecoderDesign, LayerKind, LinearName, ModelConfig, RopeScaling } from "../model-config.ts";

/** What `config.json` may leave out, in its own spelling. */
export interface FamilyDefaults {
  vocab_size: number;
  hidden_size: number;
  intermediate_size: number;
  num_hidden_layers: number;
  num_attention_heads: number;
  /** null: as many as attention heads. */
  num_key_value_heads: number | null;
  /** null: hidden size / attention heads. */
  head_dim: number | null;
  max_position_embeddings: number;
  rms_norm_eps: number;
  tie_word_embeddings: boolean;
}

/** The words by which a file names a class of transformers. */
export interface ClassNames {
  modelType: string;
  /** `architectures` entry of the language model, and of the reward model (a classifier); null: there is no such class. */
  architecture: string;
  rewardArchitecture: string | null;
  /** Whether PEFT has target modules for it where none are named. */
  hasPeftTargets: boolean;
}

/** A model of text and something else, whose text part is of a family. */
export interface MultimodalClass extends ClassNames {
  /** What its `text_config` says that it is. */
  textType: string;
  /** Keys beside the text's where the text's stand at the top of the file, as in older ones; left out: they never do. */
  besideText?: readonly string[];
  /** Whether the head is the embedding where only the text part says so, against the top of the file; left out: the top decides. */
  textTies?: boolean;
  /** The text part's fields as the family's own files have them; left out: it has them so. */
  asText?: (fields: Readonly<Record<string, unknown>>) => Record<string, unknown>;
}

/** Sizes that a family's other values may depend on. */
export type FamilySizes = Pick<
  ModelConfig,
  "hiddenSize" | "numLayers" | "numHeads" | "numKeyValueHeads" | "headDim" | "maxPositions"
>;

/** What a family makes of the keys that others do not have. */
export interface FamilyReading
  extends Pick<ModelConfig, "rope" | "layerKinds" | "slidingWindow" | "attentionScale"> {
  design: DecoderDesign;
  /** Of full layers where they differ; left out: they do not. */
  fullHeads?: ModelConfig["fullHeads"];
  /** Where another key than `intermediate_size` says it. */
  intermediateSize?: number;
}

/** How llama.cpp has a family. What a model has beside this is refused, since another model would come out. */
export interface LlamaCppForm {
  /** Its architecture's name: the prefix of a file's keys. */
  name: string;
  /** Whether it turns neighbours in a head where transformers turns halves. */
  turnsNeighbours: boolean;
  /** The scalings of positions that it computes. */
  scalings: readonly RopeScaling["kind"][];
  /** The linears that may have a bias. */
  biases: readonly LinearName[];
  /**
   * Windows: none, so that a file's context ends where the model's window does; in all layers but every n-th, as the file says; or in
   * all but every second.
   */
  windows: "none" | "by layer" | "every second";
  /** Every so-many-th layer has no rotary positions; left out: all have. */
  unrotatedEvery?: number;
  /** Whether a file has factors on embeddings, scores, logits and what a block adds. */
  hasFactors: boolean;
  /** Whether a file has caps on scores and on logits, and has to have both; left out: it has none. */
  capsScores?: boolean;
  /** Number of layers of the size whose scale of scores follows from width / heads, not from the width of a head. */
  wideScaleLayers?: number;
  /** What a file has to have as the head: the embedding's matrix alone, or one by itself, the same numbers again; left out: either. */
  head?: "embedding" | "separate";
  /** Whether the heads of the queries together have to be as wide as the model; left out: they need not. */
  headsFillWidth?: boolean;
  /** Whether rows of the embedding without a token are left out. */
  cutsEmbedding: boolean;
}

/** Llama as llama.cpp has it: what most families differ from in a line or two. */
export const plainForm: LlamaCppForm = {
  name: "llama",
  turnsNeighbours: true,
  scalings: ["none", "linear"],
  biases: [],
  windows: "none",
  hasFactors: false,
  cutsEmbedding: false,
};

/** A family of models. */
export interface Family {
  /** Its file's name. */
  name: string;
  /** As people write it. */
  title: string;
  names: ClassNames;
  /** A multimodal model whose text part is of this family; null: there is none. */
  multimodal: MultimodalClass | null;
  activationKey: "hidden_act" | "hidden_activation";
  activation: string;
  /** Of its configuration class in transformers. */
  defaults: FamilyDefaults;
  tokens: { bos: number[]; eos: number[]; pad: number[] };
  /** Keys that its files have and that mean nothing here. */
  ignored: readonly string[];
  /** Keys of which only these values can be computed; an absent key is one of them. */
  only: Readonly<Record<string, readonly (string | number | boolean | null)[]>>;
  /** Null: no GGUF file is written of its models. */
  llamaCpp: LlamaCppForm | null;
  /** @throws {FormatError} for what the family cannot have */
  read(fields: JsonFields, sizes: FamilySizes): FamilyReading;
  /** Keys of `config.json` beside those that all families have. */
  write(config: ModelConfig): Record<string, unknown>;
}

/** A pre-norm decoder with SwiGLU, separate projections and nothing special: what most families differ from in a line or two. */
export const plainDesign: DecoderDesign = {
  norms: "before",
  normOffset: 0,
  queryKeyNorms: "none",
  valueNorms: false,
  keysAreValues: false,
  layerFactors: false,
  activation: "silu",
  biases: [],
  linears: "separate",
  unrotatedLayers: [],
  exactRotary: false,
  embedScale: 1,
  roundsEmbedScale: false,
  residualScale: 1,
  logitScale: 1,
  scoreCap: null,
  logitCap: null,
  countsStretch: false,
};

/** Layers that all attend to everything before them. */
export function fullLayers({ numLayers, headDim }: FamilySizes): Omit<FamilyReading, "design" | "rope"> {
  return { layerKinds: Array(numLayers).fill("full"), slidingWindow: null, attentionScale: headDim ** -0.5 };
}

const layerTypes: Readonly<Record<string, LayerKind>> = {
  full_attention: "full",
  sliding_attention: "sliding",
};

/** The kinds in `layer_types`; null where the file has none. */
export function readLayerTypes(fields: JsonFields, numLayers: number): LayerKind[] | null {
  const names = fields.strings("layer_types");
  if (names === null) return null;
  const kinds = names.flatMap((name) => (Object.hasOwn(layerTypes, name) ? (layerTypes[name] ?? []) : []));
  if (kinds.length !== numLayers || names.length !== numLayers) {
    fields.refuse("layer_types", `${numLayers} entries of ${Object.keys(layerTypes).join(" or ")}`);
  }
  return kinds;
}

/** Refuses `layer_types` that slide. */
export function requireFullLayers(fields: JsonFields, numLayers: number, title: string): void {
  if (readLayerTypes(fields, numLayers)?.includes("sliding") !== true) return;
  fields.refuse(
    "layer_types",
    `full_attention throughout (sliding-window ${title} is unsupported)`,
    "This variant of the model is not supported.",
  );
}

/** `layer_types` as files have it. */
export function layerTypeNames({ layerKinds }: ModelConfig): string[] {
  return layerKinds.map((kind) => `${kind}_attention`);
}

/** A cap; null is none, and an absent key means `absent`. */
export function readCap(fields: JsonFields, key: string, absent: number | null): number | null {
  const { [key]: given = absent } = fields.values;
  return given === null ? null : fields.positiveNumber(key, absent ?? 1);
}

/** Tokens that sliding layers see; null where none slides. */
export function readWindow(
  fields: JsonFields,
  layerKinds: readonly LayerKind[],
  fallback: number,
): number | null {
  return layerKinds.includes("sliding") ? fields.positiveInt("sliding_window", fallback, 2 ** 31) : null;
}

/** The window of a family in which all layers slide or none: null is none, and an absent key means `absent`. */
export function oneWindow(fields: JsonFields, absent: number | null): number | null {
  const { sliding_window: given = absent } = fields.values;
  return given === null ? null : fields.positiveInt("sliding_window", absent ?? 1, 2 ** 31);
}

/** Layers that all slide, where there is a window; else all full. */
export function windowedLayers(
  sizes: FamilySizes,
  slidingWindow: number | null,
): Omit<FamilyReading, "design" | "rope"> {
  const layers = fullLayers(sizes);
  return slidingWindow === null
    ? layers
    : { ...layers, layerKinds: layers.layerKinds.map(() => "sliding"), slidingWindow };
}

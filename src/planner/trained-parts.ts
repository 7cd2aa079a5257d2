/** What of a model is trained: everything, or adapters of given ranks and modules in full beside them. */
import type { RunConfig } from "../config/run-config.ts";
import { readAdapter } from "../formats/adapter.ts";
import { type AdapterConfig, dropoutOf, loraScale } from "../formats/adapter-config.ts";
import { adaptedModules } from "../formats/adapter-targets.ts";
import { type BlockLinear, blockLinears, linearPath } from "../formats/block-linears.ts";
import { listedTargets } from "../formats/listed-targets.ts";
import type { ModelConfig } from "../formats/model-config.ts";

/** An adapter on one linear. */
export interface AdaptedLinear {
  layer: number;
  linear: BlockLinear;
  rank: number;
}

/** Settings of an adapter that decide its size. */
export type AdapterShape = Pick<
  AdapterConfig,
  "rank" | "targetModules" | "modulesToSave" | "rankPattern" | "dropout" | "useDora"
> & { targets?: string };

/** What is trained. */
export interface TrainedParts {
  /** True: every weight, in float32. False: adapters and copies, also float32, beside frozen weights. */
  isFull: boolean;
  adapted: readonly AdaptedLinear[];
  /** Linears of blocks trained in full beside an adapter. */
  savedLinears: readonly { layer: number; linear: BlockLinear }[];
  trainsEmbedding: boolean;
  trainsHead: boolean;
  /** Dropout of the adapters' inputs, in training. */
  dropout: number;
  useDora: boolean;
}

/** Full tuning. */
export const everything: TrainedParts = {
  isFull: true,
  adapted: [],
  savedLinears: [],
  trainsEmbedding: true,
  trainsHead: true,
  dropout: 0,
  useDora: false,
};

/** A model that is used as it is. */
export const nothing: TrainedParts = {
  ...everything,
  isFull: false,
  trainsEmbedding: false,
  trainsHead: false,
};

/**
 * What an adapter of this shape trains in a model.
 *
 * @param adapter - `targets`, where given, takes the place of the list `targetModules`: "all-linear" or an expression
 * @throws {ConfigError} if nothing matches, the head does, or a module to save does not exist
 */
export function adapterParts(config: ModelConfig, adapter: AdapterShape): TrainedParts {
  const places = Array.from({ length: config.numLayers }, (_, layer) =>
    blockLinears(config, layer).map((linear) => ({ layer, linear, path: linearPath(layer, linear) })),
  ).flat();
  const embedding = "model.embed_tokens";
  const { adapted, saved } = adaptedModules(adapter.targets ?? adapter.targetModules, adapter.modulesToSave, {
    linears: [...places.map(({ path }) => path), "lm_head"],
    embeddings: [embedding],
  });
  return {
    isFull: false,
    adapted: places
      .filter(({ path }) => adapted.has(path))
      .map(({ layer, linear, path }) => ({ layer, linear, rank: rankOf(adapter, path) })),
    savedLinears: places.filter(({ path }) => saved.has(path)),
    trainsEmbedding: saved.has(embedding),
    trainsHead: saved.has("lm_head"),
    dropout: adapter.dropout,
    useDora: adapter.useDora,
  };
}

/**
 * What a run trains of its model, by its configuration.
 *
 * @param adapterDir - the adapter that it continues; null: it begins a new one, or trains without
 */
export function trainedPartsOf(
  config: Omit<RunConfig, "output_dir" | "train_data">,
  model: ModelConfig,
  adapterDir: string | null,
): TrainedParts {
  if (!config.use_peft) return everything;
  if (adapterDir !== null) {
    const { config: own } = readAdapter(adapterDir);
    return adapterParts(model, { ...own, dropout: dropoutOf(config, own) });
  }
  const targets = config.lora_target_modules;
  return adapterParts(model, {
    rank: config.lora_r,
    rankPattern: {},
    modulesToSave: config.lora_modules_to_save,
    useDora: config.use_dora,
    dropout: dropoutOf(config),
    ...(targets === "all-linear"
      ? { targets, targetModules: [] }
      : { targetModules: [...listedTargets(model, targets)] }),
  });
}

function rankOf({ rank, rankPattern }: AdapterShape, path: string): number {
  return loraScale({ rank, rankPattern, alpha: 1, alphaPattern: {}, useRslora: false }, path).rank;
}

/** Layers below which nothing is trained: they keep nothing for a backward pass. */
export function firstTrainedLayer(config: ModelConfig, trained: TrainedParts): number {
  if (trained.isFull || trained.trainsEmbedding) return 0;
  const layers = [...trained.adapted, ...trained.savedLinears].map(({ layer }) => layer);
  return layers.reduce((least, layer) => Math.min(least, layer), config.numLayers);
}

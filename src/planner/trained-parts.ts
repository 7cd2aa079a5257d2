/** What of a model is trained: everything, or adapters of given ranks and modules in full beside them. */
import { ConfigError } from "../base/errors.ts";
import { didYouMean } from "../base/suggest.ts";
import { type AdapterConfig, loraScale } from "../formats/adapter-config.ts";
import { isNamed, matchTargets } from "../formats/adapter-names.ts";
import type { ModelConfig } from "../formats/model-config.ts";
import { type BlockLinear, blockLinears, linearPath } from "../formats/block-linears.ts";

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

/**
 * What an adapter of this shape trains in a model.
 *
 * @param adapter - `targets`, where given, takes the place of the list `targetModules`: "all-linear" or an expression
 * @throws {ConfigError} if nothing matches, or a module to save does not exist
 */
export function adapterParts(config: ModelConfig, adapter: AdapterShape): TrainedParts {
  const places = Array.from({ length: config.numLayers }, (_, layer) =>
    blockLinears(config).map((linear) => ({ layer, linear, path: linearPath(layer, linear) })),
  ).flat();
  const paths = [...places.map((place) => place.path), "lm_head"];
  const wanted = new Set(
    matchTargets(adapter.targets ?? adapter.targetModules, paths, adapter.modulesToSave),
  );
  const adapted = places
    .filter(({ path }) => wanted.has(path))
    .map(({ layer, linear, path }) => ({ layer, linear, rank: rankOf(adapter, path) }));
  if (adapted.length === 0) {
    throw new ConfigError(
      `lora_target_modules matches no linear of this model; its linears are ${names(config).join(", ")}`,
    );
  }
  const embedding = "model.embed_tokens";
  for (const name of adapter.modulesToSave) requireModule(name, [...paths, embedding], config);
  const isSaved = (path: string) => adapter.modulesToSave.some((name) => isNamed(path, name));
  return {
    isFull: false,
    adapted,
    savedLinears: places.filter(({ path }) => isSaved(path)),
    trainsEmbedding: isSaved(embedding),
    trainsHead: isSaved("lm_head"),
    dropout: adapter.dropout,
    useDora: adapter.useDora,
  };
}

function rankOf({ rank, rankPattern }: AdapterShape, path: string): number {
  return loraScale({ rank, rankPattern, alpha: 1, alphaPattern: {}, useRslora: false }, path).rank;
}

function names(config: ModelConfig): string[] {
  return blockLinears(config).map(({ name }) => name);
}

function requireModule(name: string, paths: readonly string[], config: ModelConfig): void {
  if (paths.some((path) => isNamed(path, name))) return;
  const known = [...names(config), "embed_tokens", "lm_head"];
  throw new ConfigError(
    `lora_modules_to_save names "${name}", which is no linear and no embedding of this model; ` +
      `those are ${known.join(", ")}.${didYouMean(name, known)}`,
  );
}

/** Layers below which nothing is trained: they keep nothing for a backward pass. */
export function firstTrainedLayer(config: ModelConfig, trained: TrainedParts): number {
  if (trained.isFull || trained.trainsEmbedding) return 0;
  const layers = [...trained.adapted, ...trained.savedLinears].map(({ layer }) => layer);
  return layers.reduce((least, layer) => Math.min(least, layer), config.numLayers);
}

/** Reward models from Hugging Face directories: `…ForSequenceClassification` with one label, or a language model to begin from. */
import { FormatError } from "../base/errors.ts";
import { readAdapter } from "../formats/adapter.ts";
import { headName, scoreName } from "../formats/checkpoint-names.ts";
import { families, titlesOf } from "../formats/families/index.ts";
import { openModel, type StoredModel } from "../formats/tied-head.ts";
import { ops } from "../torch/index.ts";
import { buildRewardModel } from "./build.ts";
import { buildStored, type LoadOptions } from "./load.ts";
import { installAdapter } from "./load-adapter.ts";
import type { RewardModel } from "./reward-model.ts";
import { randomWeights, type WeightSource } from "./weights.ts";

/** Options of `loadRewardModel`. */
export interface RewardModelOptions extends LoadOptions {
  /**
   * A language model gets a new score layer: "normal" as transformers gives it one, with `initializer_range`, from torch's
   * generator, or "zero". Otherwise one without a score layer is refused, unless the adapter brings it. Default null.
   */
  newScore?: "normal" | "zero" | null;
  /** Token with which batches of its texts are padded elsewhere; default: that of config.json. */
  padTokenId?: number | null;
}

/**
 * Loads the reward model in `dir`, its score layer in float32; no parameter but an adapter's requires grad. As `loadModel` otherwise. A
 * language model's head is not used.
 *
 * @throws {FormatError} for anything a directory lacks or has wrong: no score layer, several outputs, another shape, a family without a
 *   class for it in transformers
 */
export function loadRewardModel(dir: string, options: RewardModelOptions = {}): RewardModel {
  const stored = openModel(dir);
  requireClass(dir, stored);
  const { newScore = null, adapter, padTokenId = stored.config.padTokenId } = options;
  const files = adapter ? readAdapter(adapter) : null;
  const isInAdapter = files?.saved.has(scoreName) ?? false;
  const score = scoreOf(dir, stored, newScore ?? (isInAdapter ? "zero" : "refused"));
  const config = { ...stored.config, isRewardModel: true, padTokenId };
  const model = buildStored(dir, stored, options, {
    build: (source) => buildRewardModel(config, source, score ?? source),
    isHarmless: (name) => name === headName,
    exact: [scoreName],
  });
  if (files !== null) installAdapter(model, files);
  return model;
}

/** Refuses families whose reward models transformers could not name. */
function requireClass(dir: string, { config }: StoredModel): void {
  const known = families.filter(({ names }) => names.rewardArchitecture !== null);
  const own = families.find(({ name }) => name === config.family);
  if (!own || known.includes(own)) return;
  throw new FormatError(
    `${dir}: expected a family whose reward models transformers reads (${titlesOf(known)}), got ${own.title}, which has no class for ` +
      "sequence classification there. Take a model of one of these; ppo takes its value model by value_model_name_or_path.",
  );
}

/** Where the score layer comes from: the files, or what takes its place where they have none. */
function scoreOf(
  dir: string,
  { config, index, names }: StoredModel,
  without: "normal" | "zero" | "refused",
): WeightSource | null {
  const found = index.tensors.get(names.get(scoreName) ?? "");
  if (found !== undefined) {
    const [outputs = 0] = found.entry.shape;
    if (found.entry.shape.length !== 2 || outputs === 1) return null;
    throw new FormatError(
      `${found.file.path}: tensor "${scoreName}": expected one output, a reward, got ${outputs}. ` +
        "A classifier with several labels is no reward model; take one with num_labels 1.",
    );
  }
  if (without === "refused") {
    throw new FormatError(
      `${dir}: expected a reward model, got ${config.isRewardModel ? "one" : "a language model"} without "${scoreName}". ` +
        "Train one from it (objective: reward), or name the directory of a reward model.",
    );
  }
  const { initializer_range: range } = config.raw;
  const deviation = typeof range === "number" && range > 0 ? range : 0.02;
  return without === "normal"
    ? randomWeights(deviation, 1)
    : (_, shape) => ops.zeros(shape, { dtype: "float32" });
}

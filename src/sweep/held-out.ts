/**
 * What a run made of each held-out pair: log-probs of both answers before and after training, by the same path that
 * scoring takes. All runs of a study on the same rows are paired by them.
 */

import { existsSync } from "node:fs";
import { at } from "../base/at.ts";
import { DataError } from "../base/errors.ts";
import { writeFileAtomic } from "../base/files.ts";
import { stringifyNumbers } from "../base/json-numbers.ts";
import type { RunConfig } from "../config/run-config.ts";
import { assertPreflight } from "../data/preflight.ts";
import { settleEnvironment } from "../forward/environment.ts";
import { scoreBatch } from "../forward/score.ts";
import { resolveModelDirectory } from "../hub/hub-model.ts";
import { loadModel } from "../models/load.ts";
import { runPaths } from "../runs/run-directory.ts";
import { scope } from "../torch/index.ts";
import { prepareData } from "../train/prepare-data.ts";
import { evaluationBatches } from "../train/step-source.ts";
import type { HeldOutPair } from "./cell.ts";

/** A model on disk. */
interface ModelPlace {
  model: string;
  adapter: string | null;
}

/**
 * Scores the held-out rows of `config` and writes a line each to `path`, unless the file is there already.
 *
 * @param which - the model the run begins with, or what it exported
 * @throws {DataError} if the run has no held-out pairs
 */
export async function writeHeldOut(
  config: RunConfig,
  which: "before" | "after",
  path: string,
): Promise<void> {
  if (existsSync(path)) return;
  const pairs = await scorePairs(config, which === "before" ? startOf(config) : exportOf(config));
  writeFileAtomic(path, pairs.map((pair) => `${stringifyNumbers(pair)}\n`).join(""));
}

function startOf(config: RunConfig): ModelPlace {
  return { model: config.model_name_or_path, adapter: config.use_peft ? config.adapter_name_or_path : null };
}

function exportOf(config: RunConfig): ModelPlace {
  const paths = runPaths(config.output_dir);
  return config.use_peft
    ? { model: config.model_name_or_path, adapter: paths.adapter }
    : { model: paths.model, adapter: null };
}

async function scorePairs(config: RunConfig, place: ModelPlace): Promise<HeldOutPair[]> {
  const base = await resolveModelDirectory(place.model);
  const { dataset } = await prepareData({ ...config, model_name_or_path: base, task: "preference" });
  assertPreflight(dataset.report);
  const examples = dataset.evalExamples ?? [];
  if (examples.length === 0) {
    throw new DataError(
      "expected held-out pairs, got none: give eval_data or eval_fraction, with prompts that are not trained on.",
    );
  }
  const { device, dtype } = settleEnvironment(config);
  using _ = scope();
  const adapter = place.adapter && (await resolveModelDirectory(place.adapter, { kind: "adapter" }));
  const model = loadModel(base, { device, dtype, adapter });
  const pairs = examples.map(
    ({ origin: { file, line } }): HeldOutPair => ({ file, line, chosen: [], rejected: [] }),
  );
  for (const batch of evaluationBatches(examples, config)) {
    for (const score of scoreBatch(model, batch, {
      dtype,
      gradient_checkpointing: false,
      logits_chunk_size: null,
    })) {
      const pair = at(pairs, score.index);
      pair[score.completion === 0 ? "chosen" : "rejected"] = Array.from(score.logps);
    }
  }
  return pairs;
}

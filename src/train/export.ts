/**
 * Handing the trained model over: files that PEFT and transformers load, and the gate that re-scores held-out rows with
 * exactly those files before the export counts as good.
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { copyFile } from "../base/copy-files.ts";
import { FormatError } from "../base/errors.ts";
import { writeDirectoryAtomic } from "../base/files.ts";
import type { WeightDtype } from "../formats/model-config.ts";
import type { MicroBatch } from "../forward/batch.ts";
import type { Numerics } from "../forward/numerics.ts";
import type { Decoder } from "../models/causal-lm.ts";
import { writeAdapter, writeMergedModel } from "../models/save.ts";
import type { ParityResult } from "../runs/train-events.ts";
import type { Tokenizer } from "../text/tokenizer.ts";
import { scope } from "../torch/index.ts";
import {
  differenceOf,
  differenceText,
  type HeadedModel,
  kindOf,
  loadLike,
  outputsOf,
} from "./logp-difference.ts";
import { writeTokenizer } from "./padding-token.ts";
import type { TrainedModel } from "./prepare-model.ts";
import { allowedMean, roundingNoise } from "./rounding.ts";

/** Writes the adapter directory `dir`: all of it appears at once, or nothing. */
export async function exportAdapter(
  dir: string,
  trained: Pick<TrainedModel<Decoder>, "model" | "adapter" | "parameters">,
  tokenizer: Tokenizer,
): Promise<void> {
  const { model, adapter, parameters } = trained;
  if (adapter === null) throw new FormatError("there is no adapter to export: the run trains all weights");
  await writeDirectoryAtomic(
    dir,
    (temporary) => {
      writeAdapter(temporary, adapter.config, parameters.tensors);
      writeTokenizer(temporary, tokenizer, model);
    },
    { replace: true },
  );
}

/** What a merged model is written from. */
export interface MergedExport {
  model: Decoder;
  tokenizer: Tokenizer;
  /** Directory the model came from: its generation config goes along. */
  baseDir: string;
  dtype: WeightDtype;
  /** Replace what is at the target; default false. */
  replace?: boolean;
  /** Looks at the whole directory before it is put in place; what it throws leaves the target as it was. */
  check?: (directory: string) => void;
}

/** Writes a Hugging Face model directory with tokenizer, template and generation config. */
export async function exportModel(dir: string, merged: MergedExport): Promise<void> {
  await writeDirectoryAtomic(
    dir,
    (temporary) => {
      writeMergedModel(temporary, merged.model, merged.dtype);
      writeTokenizer(temporary, merged.tokenizer, merged.model);
      const generation = join(merged.baseDir, "generation_config.json");
      if (existsSync(generation)) copyFile(generation, join(temporary, "generation_config.json"));
      merged.check?.(temporary);
    },
    { replace: merged.replace ?? false },
  );
}

/** What the gate compares, and with which files. */
export interface ParityCheck {
  kind: "adapter" | "model";
  path: string;
  baseDir: string;
  /** The model as it was trained. */
  model: HeadedModel;
  batches: readonly MicroBatch[];
  numerics: Numerics;
  dtype: WeightDtype;
  /** Largest difference allowed for float32 exports, nats. */
  tolerance: number;
}

/**
 * Loads the exported files and compares the log-probs of `batches` with the trained model's, token by token.
 *
 * A float32 export must agree within the tolerance. Weights rounded to a half type cannot: there the mean difference
 * must stay within 200 times the tolerance (0.02 nats by default), or within what rounding does by chance.
 *
 * @throws {FormatError} with the figures if they differ more; the files stay for inspection
 */
export function checkParity(check: ParityCheck): ParityResult {
  using _ = scope();
  const { device } = check.model;
  const dtype = check.numerics.dtype;
  const { kind, path, tolerance } = check;
  const exported =
    kind === "model"
      ? loadLike(check.model, path, { device, dtype })
      : loadLike(check.model, check.baseDir, { device, dtype, adapter: path });
  const difference = differenceOf(outputsOf(check.model, check), outputsOf(exported, check));
  const result: ParityResult = {
    kind,
    path,
    dtype: check.dtype,
    tolerance,
    ...difference,
    ...kindOf(check.model),
  };
  const isFine =
    check.dtype === "float32" ? result.maxDifference <= tolerance : isRounding(check, result.meanDifference);
  if (isFine) return result;
  throw new FormatError(
    `${check.path}: the exported ${check.kind} does not score held-out rows as the trained model does: ` +
      `${differenceText(check.model, result)}, allowed is ${check.dtype === "float32" ? tolerance : "what rounding explains"}. Do not use these files; the run's checkpoints are intact.`,
  );
}

/** Whether a half-precision export differs no more than its rounding explains; that is measured only where it matters. */
function isRounding(check: ParityCheck, mean: number): boolean {
  const { kind, path, model, dtype, tolerance } = check;
  if (mean <= 200 * tolerance) return true;
  return kind === "model" && mean <= allowedMean(roundingNoise(path, { ...check, model, dtype }), tolerance);
}

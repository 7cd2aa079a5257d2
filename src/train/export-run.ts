/** The export of a run, each part of it checked by re-scoring held-out rows. */
import { at } from "../base/at.ts";
import { ConfigError } from "../base/errors.ts";
import type { RunConfig } from "../config/run-config.ts";
import type { Example } from "../data/example.ts";
import type { ModelConfig } from "../formats/model-config.ts";
import { otherPartsOf } from "../formats/other-parts.ts";
import { askedQuantisation } from "../formats/quantisation.ts";
import { methodOf } from "../methods/index.ts";
import type { Objective } from "../methods/objective.ts";
import type { RunPaths } from "../runs/run-directory.ts";
import type { ParityResult, TrainEvent } from "../runs/train-events.ts";
import { exportAdapter, exportModel, refuseTextOnly } from "./export.ts";
import type { HeadedModel } from "./logp-difference.ts";
import { checkParity, type ParityCheck } from "./parity.ts";
import type { PreparedData } from "./prepare-data.ts";
import type { Training } from "./step.ts";
import { evaluationBatches } from "./step-source.ts";

/** Rows that the parity gate re-scores at most. */
const parityRows = 16;

/** What a run exports. */
export interface TrainedRun
  extends Pick<Training<HeadedModel>, "model" | "adapter" | "parameters" | "numerics" | "base" | "ranks"> {
  objective: Pick<Objective, "over">;
}

/**
 * Exports the adapter, or the model (also merged where the run wants it).
 *
 * @throws {FormatError} if an export does not score as the trained model does; what was in its place is as it was
 */
export async function* exportRun(
  paths: Pick<RunPaths, "adapter" | "model">,
  config: RunConfig,
  data: PreparedData,
  trained: TrainedRun,
): AsyncGenerator<Extract<TrainEvent, { type: "export" }>> {
  const { model, adapter, numerics, ranks, base, objective } = trained;
  const { dataset, tokenizer, chatTemplate, modelConfig, stopIds } = data;
  const held = (dataset.evalExamples ?? dataset.examples).slice(0, parityRows).map(withCompletion);
  if (held.length === 0) throw new ConfigError("there are no rows to check the export with");
  const baseDir = config.model_name_or_path;
  const quantise = askedQuantisation(config);
  const batches = evaluationBatches(held, { ...config, scores: objective.over === "scores" });
  const gate = {
    baseDir,
    base,
    quantise,
    model,
    batches,
    numerics,
    ranks,
    tolerance: config.export_parity_tolerance,
  };
  const textOnly = config.export_text_only;
  if (adapter !== null) {
    const parity = { ...gate, kind: "adapter", path: paths.adapter, dtype: "float32" } as const;
    const result = await checked(parity, (check) =>
      exportAdapter(paths.adapter, { ...trained, tokenizer, chatTemplate, textOnly, check }),
    );
    yield { type: "export", result };
  }
  if (adapter === null || config.export_merged) {
    const { dtype } = modelConfig;
    const written = { tokenizer, chatTemplate, stopIds };
    const merged = { model, ...written, baseDir, dtype, textOnly, ranks, replace: true };
    const result = await checked({ ...gate, kind: "model", path: paths.model, dtype }, (check) =>
      exportModel(paths.model, { ...merged, check }),
    );
    yield { type: "export", result };
  }
}

/** What the gate measures of the files that `write` makes, which puts them in place only if they pass. */
async function checked(
  parity: ParityCheck,
  write: (check: (directory: string) => void) => Promise<void>,
): Promise<ParityResult> {
  const results: ParityResult[] = [];
  await write((directory) => void results.push(checkParity(parity, directory)));
  return at(results, 0);
}

/**
 * What to tell the user of a run's export of a multimodal model.
 *
 * @throws {ConfigError} if a text model's other parts are to be left out
 * @throws {FormatError} if its other parts cannot be carried over
 */
export function exportNotes(
  config: Pick<
    RunConfig,
    "model_name_or_path" | "use_peft" | "export_merged" | "export_text_only" | "method"
  >,
  { isMultimodalText }: Pick<ModelConfig, "isMultimodalText">,
): string[] {
  const { model_name_or_path: dir, export_text_only: textOnly } = config;
  if (!isMultimodalText) {
    if (textOnly) refuseTextOnly(dir, "export_text_only");
    return [];
  }
  const of = `${dir}: the text part of a multimodal model is trained`;
  if (methodOf(config.method.objective).over === "scores")
    return [`${of}, and exported as a reward model of text.`];
  if (textOnly) return [`${of}, and exported alone (export_text_only).`];
  if (config.use_peft && !config.export_merged) return [`${of}. The adapter is for the class of the whole.`];
  const { tensors } = otherPartsOf(dir) ?? { tensors: [] };
  return [`${of}. The ${tensors.length} tensors of its other parts go into the export as they are.`];
}

/** A prompt alone, of an on-policy run, with its later half as the completion: there is something to score. */
export function withCompletion(example: Example): Example {
  if (example.completions.length > 0) return example;
  const { promptIds } = example;
  const half = Math.ceil(promptIds.length / 2);
  const ids = promptIds.slice(half);
  return {
    ...example,
    promptIds: promptIds.slice(0, half),
    completions: [{ ids: ids.length > 0 ? ids : promptIds }],
  };
}

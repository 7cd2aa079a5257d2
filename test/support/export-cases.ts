/** Exports to compare: of one process, and of ranks that hold a part of the model each. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { Random } from "../../src/base/random.ts";
import type { WeightDtype } from "../../src/formats/model-config.ts";
import { loadModel } from "../../src/models/load.ts";
import { writeAdapter } from "../../src/models/save.ts";
import type { ParityResult } from "../../src/runs/train-events.ts";
import { loadTokenizer } from "../../src/text/tokenizer.ts";
import { scope } from "../../src/torch/index.ts";
import { exportAdapter, exportModel } from "../../src/train/export.ts";
import { adapterParameters } from "../../src/train/parameters.ts";
import { checkParity } from "../../src/train/parity.ts";
import { prepareModel, type TrainedModel, type TrainedSelection } from "../../src/train/prepare-model.ts";
import { prepareSharded } from "../../src/train/prepare-sharded.ts";
import type { HoldingRanks } from "../../src/train/step-ranks.ts";
import { evaluationBatches } from "../../src/train/step-source.ts";
import { makeTinyModel } from "./tiny-model.ts";
import { adaptPatterned, type TinyName, tinyAdapterConfig } from "./tiny-models.ts";
import { randomRows } from "./tiny-training.ts";

/** What is trained and exported. */
export interface ExportCase {
  name: string;
  selection: TrainedSelection;
  /** What is computed in, and what the model's files are written in. */
  dtype: "float32" | "bfloat16";
  written: WeightDtype;
}

/** Families with what is trained of them. */
const trained: [
  TinyName,
  "full" | "LoRA" | "DoRA" | "LoRA and the head",
  ExportCase["dtype"],
  WeightDtype,
][] = [
  ["llama_tied", "full", "float32", "float32"],
  ["gemma3", "full", "bfloat16", "bfloat16"],
  ["qwen3", "full", "bfloat16", "float32"],
  ["llama_untied", "LoRA", "float32", "float32"],
  ["qwen3", "DoRA", "bfloat16", "bfloat16"],
  ["llama_tied", "LoRA and the head", "float32", "float32"],
  ["gemma3", "LoRA", "bfloat16", "float32"],
];

/** Makes the models and adapters of the cases under `dir`. */
export function makeExportCases(dir: string): ExportCase[] {
  return trained.map(([family, kind, dtype, written]) => {
    const name = `${family} ${kind} ${dtype}`;
    const place = join(dir, name);
    const base = makeTinyModel(join(place, "base"), { family });
    const adapter = join(place, "adapter");
    if (kind !== "full") {
      using _ = scope();
      mkdirSync(adapter);
      const model = loadModel(base);
      const modulesToSave = kind === "LoRA and the head" ? ["lm_head"] : [];
      const config = tinyAdapterConfig({ useDora: kind === "DoRA", modulesToSave });
      const { config: full } = adaptPatterned(model, config);
      writeAdapter(adapter, full, adapterParameters(model).tensors);
    }
    const selection: TrainedSelection = {
      ...{ model_name_or_path: base, baseModel: base, use_peft: kind !== "full" },
      ...{ adapter_name_or_path: kind === "full" ? null : adapter, disable_dropout: true },
      ...{ lora_r: 4, lora_alpha: 8, lora_dropout: 0, lora_target_modules: "all-linear" },
      ...{ lora_modules_to_save: [], use_rslora: false, use_dora: false },
    };
    return { name, selection, dtype, written };
  });
}

/** A model in which no part is much of it: blocks and embedding of equal size. */
export function makeDeepModel(dir: string): string {
  const config = { num_hidden_layers: 12, hidden_size: 64, intermediate_size: 160 };
  return makeTinyModel(dir, { family: "llama_untied", config });
}

/** What training in full asks of `prepareModel`. */
export function fullTuning(base: string): TrainedSelection {
  return {
    ...{ model_name_or_path: base, baseModel: base, use_peft: false, adapter_name_or_path: null },
    ...{
      disable_dropout: true,
      lora_r: 4,
      lora_alpha: 8,
      lora_dropout: 0,
      lora_target_modules: "all-linear",
    },
    ...{ lora_modules_to_save: [], use_rslora: false, use_dora: false },
  };
}

/** Exports as a run does, and has the gate look at it. @param ranks - null: this process is alone */
export async function exportCase(
  { selection, dtype, written }: ExportCase,
  to: { adapter: string; model: string },
  group: HoldingRanks["group"] | null,
): Promise<ParityResult[]> {
  const environment = { device: "cpu", dtype, threads: 1, matmul: "torch" } as const;
  const prepared: TrainedModel & { sharded?: HoldingRanks["sharded"] } =
    group === null
      ? prepareModel(selection, environment)
      : prepareSharded(selection, environment, { group, keep_gathered: false });
  const { model, adapter } = prepared;
  const sharers = Array.from({ length: group?.size ?? 0 }, (_, rank) => rank);
  const ranks = group === null ? null : { group, sharded: prepared.sharded ?? null, replicas: null, sharers };
  const baseDir = selection.model_name_or_path;
  const tokenizer = loadTokenizer(baseDir);
  const numerics = { dtype, gradient_checkpointing: false, logits_chunk_size: null };
  const rows = randomRows(new Random(5), 3);
  const batches = evaluationBatches(rows, {
    per_device_eval_batch_size: 2,
    share_prompt: true,
    scores: false,
  });
  const gate = { baseDir, model, batches, numerics, ranks, tolerance: 1e-4 };
  const results: ParityResult[] = [];
  if (adapter !== null) {
    await exportAdapter(to.adapter, { ...prepared, ranks, tokenizer, chatTemplate: null });
    results.push(checkParity({ ...gate, kind: "adapter", path: to.adapter, dtype: "float32" }));
  }
  await exportModel(to.model, {
    model,
    tokenizer,
    chatTemplate: null,
    baseDir,
    dtype: written,
    ranks,
    replace: true,
  });
  // of rounded weights no more is allowed than what rounding does by chance
  const tolerance = written === "float32" ? gate.tolerance : 1e-9;
  results.push(checkParity({ ...gate, tolerance, kind: "model", path: to.model, dtype: written }));
  prepared.dispose();
  return results;
}

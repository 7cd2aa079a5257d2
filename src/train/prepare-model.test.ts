/** What is said of the adapter that a run continues. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { fixturePath } from "../../test/support/fixture-files.ts";
import { listenToWarnings } from "../../test/support/warnings.ts";
import { loadConfig } from "../config/load-config.ts";
import { readAdapter } from "../formats/adapter.ts";
import { storedConfig } from "../formats/tied-head.ts";
import { trainedPartsOf } from "../planner/trained-parts.ts";
import { type TrainedSelection, withDropout } from "./prepare-model.ts";

test("the dropout of an adapter that is continued is its own where the run gives none, as in PEFT", () => {
  const files = readAdapter(fixturePath("llama_tied", "lora"));
  const own = { ...files, config: { ...files.config, dropout: 0.2 } };
  const values = { model_name_or_path: "m", output_dir: "o", train_data: "a.jsonl", use_peft: true };
  const dropout = (given: Record<string, unknown>) => {
    const { config } = loadConfig({ values: { ...values, adapter_name_or_path: files.dir, ...given } });
    const parts = trainedPartsOf(config, storedConfig(fixturePath("llama_tied", "model")), files.dir);
    const { dropout: trained } = withDropout(own, { ...config, baseModel: "m" }).config;
    return [config.lora_dropout, trained, parts.dropout];
  };
  const { dropout: planned } = files.config;
  assert.deepEqual(dropout({ objective: "sft" }), [null, 0.2, planned]);
  assert.deepEqual(dropout({ objective: "sft", lora_dropout: 0.1 }), [0.1, 0.1, 0.1]);
  assert.deepEqual(dropout({ objective: "sft", disable_dropout: true }), [null, 0, 0]);
  assert.equal(loadConfig({ values }).config.lora_dropout, 0.05);
});

test("of an adapter by MiCA, that PEFT would leave lora_B as it is; of another nothing", async (t) => {
  const warned = listenToWarnings(t);
  const files = readAdapter(fixturePath("llama_tied", "lora"));
  const selection = { disable_dropout: true } as TrainedSelection;
  assert.equal(withDropout(files, selection).config.dropout, 0);
  assert.deepEqual(await warned(files.dir), []);
  const raw = { ...files.config.raw, init_lora_weights: "mica" };
  withDropout({ ...files, config: { ...files.config, raw } }, selection);
  assert.deepEqual(await warned(files.dir), [
    `${files.dir}: an adapter by MiCA, of which PEFT trains lora_A alone. Here lora_B is trained with it.`,
  ]);
});

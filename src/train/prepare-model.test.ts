/** What is said of the adapter that a run continues. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { fixturePath } from "../../test/support/fixture-files.ts";
import { listenToWarnings } from "../../test/support/warnings.ts";
import { readAdapter } from "../formats/adapter.ts";
import { type TrainedSelection, withDropout } from "./prepare-model.ts";

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

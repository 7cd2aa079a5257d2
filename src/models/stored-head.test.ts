/**
 * A head that is stored although config.json ties it: used, tied or taken for both, as transformers 5.23 does. The right
 * logits are transformers' own, of the same files (`write_tied_heads` in scripts/write-goldens.py).
 */
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { assertClose, withoutLeaks } from "../../test/support/close.ts";
import { float32, golden } from "../../test/support/goldens.ts";
import { pattern } from "../../test/support/patterned.ts";
import {
  adaptPatterned,
  checkpointTensors,
  logitsOf,
  type TinyName,
  temporaryDirectory,
  tinyAdapterConfig,
  tinyConfig,
  tinyModel,
  writeCheckpoint,
} from "../../test/support/tiny-models.ts";
import { listenToWarnings } from "../../test/support/warnings.ts";
import type { TensorSource } from "../formats/safetensors-write.ts";
import { storedConfig } from "../formats/tied-head.ts";
import { writeWeights } from "../formats/weight-shards.ts";
import { countParameters } from "../planner/parameter-counts.ts";
import { everything } from "../planner/trained-parts.ts";
import { ops, scope, tensor } from "../torch/index.ts";
import { adapterParameters, modelParameters } from "../train/parameters.ts";
import { loadModel } from "./load.ts";
import { tensorSource, writeAdapter, writeMergedModel } from "./save.ts";
import { shareWeights } from "./share-weights.ts";

type Stored = "own" | "equal" | "only";

interface Case {
  name: TinyName;
  stored: Stored;
  ids: number[];
  tied: boolean;
  /** Of the positions 5 and 18. */
  logits: number[];
}

const { cases } = golden<{ cases: Case[] }>("tied-heads");
const headName = "lm_head.weight";
const embeddingName = "model.embed_tokens.weight";

/** Tensors of the model with a head stored beside the embedding, or in its place. */
function storedTensors(name: TinyName, stored: Stored): TensorSource[] {
  const tensors = checkpointTensors(tinyModel(name, { tie_word_embeddings: true }));
  const embedding = tensors.find((one) => one.name === embeddingName) as TensorSource;
  const [rows = 0, columns = 0] = embedding.shape;
  const own = tensor(pattern(headName, rows * columns, Math.sqrt(3 / columns)), [rows, columns]);
  if (stored === "own") return [...tensors, tensorSource(headName, own)];
  if (stored === "equal") return [...tensors, { ...embedding, name: headName }];
  return tensors.map((one) => (one === embedding ? { ...embedding, name: headName } : one));
}

function write(dir: string, name: TinyName, stored: Stored): void {
  writeCheckpoint(dir, { ...tinyConfig(name), tie_word_embeddings: true }, storedTensors(name, stored));
}

function isTied(dir: string): boolean {
  const model = loadModel(dir);
  return model.lm_head.weight.handle === model.model.embed_tokens.weight.handle;
}

const rowsOf = (logits: readonly number[], vocabulary: number): number[] =>
  [5, 18].flatMap((row) => logits.slice(row * vocabulary, (row + 1) * vocabulary));

for (const { name, stored, ids, tied, logits } of cases) {
  test(`${name}, head stored: ${stored}: transformers' logits, ${tied ? "tied" : "not tied"}`, () => {
    withoutLeaks(() => {
      using _ = scope();
      using dir = temporaryDirectory();
      write(dir.path, name, stored);
      const model = loadModel(dir.path);
      assert.equal(model.config.tieWordEmbeddings, tied);
      assert.equal(isTied(dir.path), tied);
      assertClose(rowsOf(logitsOf(model, ids), model.config.vocabSize), float32(logits), { atol: 1e-5 });
    });
  });
}

test("the note, and what it says to do: with tie_word_embeddings false the same logits without a note", async (t) => {
  const warnings = listenToWarnings(t);
  using _ = scope();
  using dir = temporaryDirectory();
  write(dir.path, "llama_tied", "own");
  const ids = [1, 9, 30, 4];
  const logits = logitsOf(loadModel(dir.path), ids);
  const [note, ...more] = await warnings(dir.path);
  assert.match(
    note ?? "",
    /an lm_head\.weight that is not the embedding\. It is used.*Set tie_word_embeddings to false/,
  );
  assert.deepEqual(more, []);
  const config = { ...tinyConfig("llama_tied"), tie_word_embeddings: false };
  writeFileSync(join(dir.path, "config.json"), JSON.stringify(config));
  assert.deepEqual(logitsOf(loadModel(dir.path), ids), logits);
  assert.equal((await warnings(dir.path)).length, 1);
});

test("a multimodal file as transformers 5 writes it: tied at the top over a text that is not by itself, no head stored", () => {
  withoutLeaks(() => {
    using _ = scope();
    using dir = temporaryDirectory();
    const changes = { model_type: "mistral", sliding_window: null, attention_bias: false, mlp_bias: false };
    const text = { ...tinyConfig("llama_untied"), ...changes };
    const model = tinyModel("llama_untied", { ...changes, tie_word_embeddings: true });
    const tensors = checkpointTensors(model).map((t) => ({ ...t, name: `language_model.${t.name}` }));
    const top = { model_type: "mistral3", architectures: ["Mistral3ForConditionalGeneration"] };
    writeCheckpoint(dir.path, { ...top, tie_word_embeddings: true, text_config: text }, tensors);
    assert.equal(isTied(dir.path), true);
    const ids = [1, 9, 30, 4];
    assert.deepEqual(logitsOf(loadModel(dir.path), ids), logitsOf(model, ids));
    writeFileSync(join(dir.path, "config.json"), JSON.stringify({ ...top, text_config: text }));
    assert.throws(() => loadModel(dir.path), /lm_head.*set it to true at the top of the file if head/);
  });
});

test("in shards, and with a configuration that leaves the key out where tied is the default", () => {
  withoutLeaks(() => {
    using _ = scope();
    using dir = temporaryDirectory();
    const { tie_word_embeddings: _tied, ...config } = tinyConfig("gemma3");
    writeFileSync(join(dir.path, "config.json"), JSON.stringify(config));
    writeWeights(dir.path, storedTensors("gemma3", "own"), { maxShardBytes: 4000 });
    const right = cases.find((one) => one.name === "gemma3" && one.stored === "own") as Case;
    const got = rowsOf(logitsOf(loadModel(dir.path), right.ids), 32);
    assertClose(got, float32(right.logits), { atol: 1e-5 });
  });
});

test("written again, the model says that its head is its own, and scores the same", () => {
  withoutLeaks(() => {
    using _ = scope();
    using dir = temporaryDirectory();
    using again = temporaryDirectory();
    write(dir.path, "qwen3", "own");
    const model = loadModel(dir.path);
    writeMergedModel(again.path, model, "float32");
    const config = JSON.parse(readFileSync(join(again.path, "config.json"), "utf8"));
    assert.equal(config.tie_word_embeddings, false);
    const ids = [1, 9, 30, 4];
    assert.deepEqual(logitsOf(loadModel(again.path), ids), logitsOf(model, ids));
    assert.deepEqual(logitsOf(shareWeights(model), ids), logitsOf(model, ids), "models that share weights");
    assert.ok(
      modelParameters(model).some((one) => one.name === headName),
      "full training trains it",
    );
  });
});

test("an adapter with a head of its own over such a model: read, and merged", () => {
  withoutLeaks(() => {
    using _ = scope();
    using dir = temporaryDirectory();
    using merged = temporaryDirectory();
    write(dir.path, "llama_tied", "own");
    const model = loadModel(dir.path);
    const { config } = adaptPatterned(model, tinyAdapterConfig({ modulesToSave: ["lm_head"] }));
    writeAdapter(merged.path, config, adapterParameters(model).tensors);
    writeMergedModel(merged.path, model, "float32");
    const ids = [1, 9, 30, 4];
    assertClose(logitsOf(loadModel(merged.path), ids), logitsOf(model, ids), { atol: 1e-5 });
  });
});

test("the planner counts a head that is stored apart", () => {
  for (const { name, stored, tied } of cases) {
    using dir = temporaryDirectory();
    write(dir.path, name, stored);
    const { head, embedding, total } = countParameters(storedConfig(dir.path), everything);
    assert.equal(head, tied ? 0 : embedding);
    using _ = scope();
    const loaded = modelParameters(loadModel(dir.path)).reduce((sum, one) => sum + one.tensor.numel, 0);
    assert.equal(total, loaded);
  }
});

test("a head of another shape is refused, not passed over", () => {
  using dir = temporaryDirectory();
  using _ = scope();
  const tensors = checkpointTensors(tinyModel("llama_tied"));
  const short = tensorSource(headName, ops.zeros([31, 16], { dtype: "float32" }));
  writeCheckpoint(dir.path, tinyConfig("llama_tied"), [...tensors, short]);
  assert.throws(
    () => loadModel(dir.path),
    /"lm_head\.weight" has shape \[31,16\], config\.json asks for \[32,16\]/,
  );
});

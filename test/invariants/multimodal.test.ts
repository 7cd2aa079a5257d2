/**
 * Multimodal checkpoints through the product: their text is trained, the rest goes into the export byte for byte or is left out, and
 * rows with images are refused. transformers reads the exports in test/parity/python-export.test.ts.
 */
import assert from "node:assert/strict";
import { copyFileSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { readAdapter } from "../../src/formats/adapter.ts";
import { readModelConfig } from "../../src/formats/hf-config.ts";
import { readSafetensorsHeader, readTensorBytes } from "../../src/formats/safetensors.ts";
import { type TensorSource, writeSafetensors } from "../../src/formats/safetensors-write.ts";
import { merge } from "../../src/recipes/merge.ts";
import { fixturePath } from "../support/fixture-files.ts";
import { type MultimodalName, otherTensors, writeMultimodal } from "../support/multimodal.ts";
import { notesOf, runFixture, runTraining, type Values } from "../support/runs.ts";
import { writeRows } from "../support/tiny-model.ts";

const fixture = runFixture({ rows: 4, held: 2 });
after(() => fixture[Symbol.dispose]());

/** A checkpoint with a tokenizer and a processor's settings. */
function checkpoint(name: MultimodalName, as: string): string {
  const dir = writeMultimodal(fixture.path(as), name);
  for (const file of ["tokenizer.json", "tokenizer_config.json"])
    copyFileSync(fixturePath("llama_tied", "model", file), join(dir, file));
  writeFileSync(join(dir, "preprocessor_config.json"), '{"size": 16}');
  return dir;
}

function recipe(model: string, changes: Values): Values {
  return {
    ...{ ...fixture.values, model_name_or_path: model, max_length: 128, overflow: "truncate" },
    ...{ objective: "simpo", max_steps: 1, per_device_train_batch_size: 2, learning_rate: 1e-2 },
    ...changes,
  };
}

/** The names of a model's tensors, and the bytes of those beside the text. */
function tensorsOf(dir: string, name: MultimodalName) {
  const file = readSafetensorsHeader(join(dir, "model.safetensors"));
  const others = otherTensors(name).flatMap(({ name: tensor }) => file.tensors.get(tensor) ?? []);
  return {
    names: [...file.tensors.keys()].sort(),
    others: others.map((entry) => [entry.name, entry.dtype, Buffer.from(readTensorBytes(file, entry))]),
  };
}

test("an adapter and a new head over the text of Gemma 3: the other parts are carried over untouched", async () => {
  const model = checkpoint("gemma3", "gemma3");
  const run = fixture.path("gemma3-run");
  const lora = { use_peft: true, lora_r: 2, export_merged: true };
  const saving = {
    lora_target_modules: ["q_proj", "gate_proj"],
    lora_modules_to_save: ["lm_head", "o_proj"],
  };
  const record = await runTraining(recipe(model, { ...lora, ...saving, output_dir: run }));
  assert.ok(
    notesOf(record).includes(
      `${model}: the text part of a multimodal model is trained. The 23 tensors of its other parts go into the export as they are.`,
    ),
  );
  const [before, merged] = [model, join(run, "model")].map((dir) => tensorsOf(dir, "gemma3"));
  assert.equal(before?.others.length, 23);
  assert.deepEqual(merged?.others, before?.others);
  assert.deepEqual(merged?.names, [...(before?.names ?? []), "language_model.lm_head.weight"].sort());
  // the file is the old one, spelling of numbers included, but for what the weights are now
  const [was, is] = [model, join(run, "model")].map((dir) => readFileSync(join(dir, "config.json"), "utf8"));
  const settings = { tie_word_embeddings: false, torch_dtype: "float32" };
  const old = JSON.parse(was ?? "");
  const { dtype: _, ...text } = old.text_config;
  const expected = { ...old, ...settings, text_config: { ...text, ...settings } };
  assert.deepEqual(JSON.parse(is ?? ""), expected);
  assert.match(is ?? "", /"attention_dropout": 0\.0/);
  assert.equal(readFileSync(join(run, "model", "preprocessor_config.json"), "utf8"), '{"size": 16}');

  // the adapter is for the class of the whole, and names nothing of its other parts
  const adapter = join(run, "adapter");
  const stored = [...readSafetensorsHeader(join(adapter, "adapter_model.safetensors")).tensors.keys()];
  assert.ok(stored.includes("base_model.model.model.language_model.layers.0.self_attn.q_proj.lora_A.weight"));
  const { target_modules: targets, modules_to_save: saved } = JSON.parse(
    readFileSync(join(adapter, "adapter_config.json"), "utf8"),
  );
  const layers = readModelConfig(model).numLayers;
  assert.equal(targets.length, 2 * layers);
  assert.ok(targets.every((path: string) => path.startsWith("model.language_model.layers.")));
  assert.equal(saved.length, 1 + layers);
  assert.ok(saved.includes("lm_head") && saved.includes("model.language_model.layers.0.self_attn.o_proj"));
  assert.ok(readAdapter(adapter).lora.has("model.layers.0.self_attn.q_proj"));

  const [whole, alone] = [fixture.path("merged"), fixture.path("merged-text")];
  await merge({ model, adapter, output: whole, device: "cpu", threads: 1 });
  assert.deepEqual(tensorsOf(whole, "gemma3"), merged);
  await merge({ model, adapter, output: alone, device: "cpu", threads: 1, textOnly: true });
  assert.deepEqual(tensorsOf(alone, "gemma3").others, []);
  assert.equal(readModelConfig(alone).isMultimodalText, false);
});

test("all weights of Qwen2.5-VL's text, exported alone by a key", async () => {
  const model = checkpoint("qwen2_5_vl", "qwen");
  const run = fixture.path("qwen-run");
  const record = await runTraining(recipe(model, { export_text_only: true, output_dir: run }));
  assert.ok(notesOf(record).some((note) => /exported alone \(export_text_only\)/.test(note)));
  const { names, others } = tensorsOf(join(run, "model"), "qwen2_5_vl");
  assert.deepEqual(others, []);
  assert.ok(names.every((name) => /^(model\.|lm_head)/.test(name)));
  const config = JSON.parse(readFileSync(join(run, "model", "config.json"), "utf8"));
  assert.deepEqual(
    [
      config.model_type,
      config.architectures,
      config.rope_scaling,
      config.vision_config,
      config.image_token_id,
    ],
    ["qwen2", ["Qwen2ForCausalLM"], null, undefined, undefined],
  );
});

const asked = { role: "user", content: "What is this?" };
const answers = {
  chosen: [{ role: "assistant", content: "yes" }],
  rejected: [{ role: "assistant", content: "no" }],
};
const url = { url: "https://example.org/a.png" };
const withImages: Record<string, [row: Record<string, unknown>, message: RegExp]> = {
  "a part of type image": [
    { prompt: [{ role: "user", content: [{ type: "image" }, { type: "text", text: "?" }] }], ...answers },
    /:1, column "prompt", message 1, part 1: expected only parts of type "text", got "image"/,
  ],
  "a part of type image_url": [
    {
      prompt: [
        {
          role: "user",
          content: [
            { type: "text", text: "?" },
            { type: "image_url", image_url: url },
          ],
        },
      ],
      ...answers,
    },
    /:1, column "prompt", message 1, part 2: expected only parts of type "text", got "image_url"/,
  ],
  "a column images": [
    { prompt: [asked], ...answers, images: ["a.png"] },
    /:1: expected no column "images"\. Models are trained on text here: remove the row or the column/,
  ],
  "a column image of bytes": [
    { prompt: [asked], ...answers, image: { bytes: "iVBORw0=", path: null } },
    /:1: expected no column "image"/,
  ],
  "a message's images": [
    { prompt: [{ ...asked, images: ["a.png"] }], ...answers },
    /:1, column "prompt", message 1: expected no "images", got a list/,
  ],
};
test("a row with an image is refused by name, in each form that people have", async () => {
  const model = checkpoint("mistral3", "mistral");
  for (const [form, [row, message]] of Object.entries(withImages)) {
    const rows = writeRows(fixture.path("images.jsonl"), [row]);
    const changes = { train_data: rows, output_dir: fixture.path(`images ${form}`) };
    await assert.rejects(runTraining(recipe(model, changes)), message, form);
  }
});

test("a text model has nothing to leave out", async () => {
  const model = fixture.values["model_name_or_path"] as string;
  const changes = { export_text_only: true, output_dir: fixture.path("text-only") };
  await assert.rejects(runTraining(recipe(model, changes)), /export_text_only: .* is a text model/);
  const adapter = fixturePath("llama_tied", "lora");
  const output = fixture.path("no-merge");
  await assert.rejects(
    merge({ model, adapter, output, device: "cpu", threads: 1, textOnly: true }),
    /--text-only: .* is a text model/,
  );
});

test("parts in few bits cannot be carried over, and that is said before anything is trained", async () => {
  const model = checkpoint("gemma4", "gemma4");
  const path = join(model, "model.safetensors");
  const file = readSafetensorsHeader(path);
  const tensors = [...file.tensors.values()].map((entry): TensorSource => {
    const bytes = readTensorBytes(file, entry);
    return { ...entry, bytes: () => bytes };
  });
  rmSync(path);
  const packed = "model.vision_tower.x.weight";
  writeSafetensors(path, [
    ...tensors,
    { name: packed, dtype: "U8", shape: [4], bytes: () => new Uint8Array(4) },
  ]);
  await assert.rejects(
    runTraining(recipe(model, { output_dir: fixture.path("few") })),
    /expected floats in the parts beside the text model.*"model\.vision_tower\.x\.weight" of U8\. Leave them out: export_text_only: true/,
  );
});

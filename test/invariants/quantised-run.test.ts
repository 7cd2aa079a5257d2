/** Runs on weights in fewer bits: resumed, merged, exported, generated with; and what is refused by name. */
import assert from "node:assert/strict";
import { cpSync, mkdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { ConfigError, FormatError } from "../../src/base/errors.ts";
import { mergeText } from "../../src/cli/merge-command.ts";
import { readModelConfig } from "../../src/formats/hf-config.ts";
import { quantisationOfForm } from "../../src/formats/quantisation.ts";
import { readSafetensorsHeader } from "../../src/formats/safetensors.ts";
import { type TensorSource, writeSafetensors } from "../../src/formats/safetensors-write.ts";
import { loadModel } from "../../src/models/load.ts";
import { Linear } from "../../src/nn/linear.ts";
import { namedModules } from "../../src/nn/module.ts";
import { FourBitLinear } from "../../src/nn/quantised-linear.ts";
import { quantisedLinears } from "../../src/planner/parameter-counts.ts";
import { heldModel } from "../../src/planner/plan-input.ts";
import { merge } from "../../src/recipes/merge.ts";
import { openGeneration } from "../../src/recipes/open-generation.ts";
import { scope } from "../../src/torch/index.ts";
import { setJson } from "../errors/bad-input.ts";
import { fixturePath } from "../support/fixture-files.ts";
import { generateRequest } from "../support/generate-request.ts";
import {
  assertSameRun,
  cutBack,
  losses,
  runFixture,
  runTraining,
  type Values,
  wholeRuns,
} from "../support/runs.ts";
import { logitsOf } from "../support/tiny-models.ts";
import { listenToWarnings } from "../support/warnings.ts";

const steps = 4;
const fixture = runFixture({
  ...{ rows: 8, held: 2 },
  config: { ...{ hidden_size: 64, intermediate_size: 128 }, ...{ num_attention_heads: 4, head_dim: 16 } },
});
after(() => fixture[Symbol.dispose]());
const base = String(fixture.values["model_name_or_path"]);
const saved = join(import.meta.dirname, "../fixtures/bitsandbytes");

const common: Values = {
  ...{ ...fixture.values, objective: "simpo", use_peft: true, lora_r: 4, max_steps: steps },
  ...{
    per_device_train_batch_size: 2,
    learning_rate: 1e-2,
    lr_scheduler_type: "constant",
    save_steps: 1,
    logging_steps: 1,
  },
};
const recipes: Record<string, Values> = {
  "4 bits, dropout, a watch": {
    ...{ ...common, load_in_4bit: true, bnb_4bit_use_double_quant: true, lora_dropout: 0.1 },
    ...{ watch_prompts: "eval", watch_max_new_tokens: 4, watch_samples: 2, export_merged: true },
  },
  "8 bits, DoRA, copies, the reference of DPO": {
    ...{ ...common, objective: "dpo", load_in_8bit: true, use_dora: true, gradient_checkpointing: true },
    ...{ lora_target_modules: ["q_proj", "down_proj"], lora_modules_to_save: ["o_proj", "lm_head"] },
  },
};
const uninterrupted = wholeRuns(fixture);

for (const [name, recipe] of Object.entries(recipes)) {
  test(`${name}: resumed = uninterrupted, byte for byte; and other numbers than on floats`, async () => {
    const { dir, record } = await uninterrupted(recipe);
    const cut = cutBack(dir, fixture.path(`cut-${recipe["objective"]}`), 2);
    const again = await runTraining({ ...recipe, output_dir: cut, resume_from_checkpoint: "latest" });
    assert.equal(losses(again).length, steps - 2);
    assertSameRun(cut, dir, steps);
    const floats = {
      ...recipe,
      load_in_4bit: false,
      load_in_8bit: false,
      bnb_4bit_use_double_quant: undefined,
    };
    const dense = await runTraining({
      ...floats,
      max_steps: 2,
      output_dir: fixture.path(`dense-${recipe["objective"]}`),
    });
    assert.notEqual(losses(dense)[1], losses(record)[1]);
  });
}

test("merging makes floats of the weights in 4 bits, which score as base and adapter do", async () => {
  const { dir } = await uninterrupted(recipes["4 bits, dropout, a watch"] as Values);
  const quantise = { bits: 4, quantType: "nf4", doubleQuant: true, skipModules: [] } as const;
  const files = { model: base, adapter: join(dir, "adapter"), device: "cpu", threads: 1 };
  const output = fixture.path("merged");
  const result = await merge({ ...files, output, quantise, exportDtype: "float32" });
  assert.ok(result.maxDifference <= 1e-4 && result.adapterEffect > 1e-3);
  assert.match(mergeText(result), /linears of its blocks took .* and take .* as float32/);
  assert.equal(readModelConfig(output).quantisation, null);
  assert.ok(readFileSync(join(output, "config.json"), "utf8").includes("quantization_config") === false);
  using _ = scope();
  // the run's own merged export is of the same weights
  const ids = [3, 7, 1, 9];
  assert.deepEqual(logitsOf(loadModel(output), ids), logitsOf(loadModel(join(dir, "model")), ids));
  const onFloats = await merge({ ...files, output: fixture.path("floats"), exportDtype: "float32" });
  assert.notEqual(onFloats.adapterEffect, result.adapterEffect);
});

test("a model that bitsandbytes saved generates, base and adapter on one set of weights", async () => {
  const adapters = ["base", `lora=${fixturePath("qwen3", "lora")}`];
  const where = { device: "cpu", dtype: "float32", threads: 1 } as const;
  const model = fixture.path("nf4");
  cpSync(fixturePath("qwen3", "model"), model, { recursive: true });
  cpSync(join(saved, "nf4"), model, { recursive: true });
  await using generation = await openGeneration({ ...where, model, adapters });
  assert.deepEqual(
    generation.variants.map(({ name }) => name),
    ["base", "lora"],
  );
  for (const { adapter } of generation.variants) {
    const ids: number[] = [];
    const request = generateRequest({ promptIds: [3, 7, 1], adapter, maxNewTokens: 5, temperature: 0 });
    generation.engine.submit(String(adapter), request, (event) => {
      if (event.type === "error") throw new Error(event.message);
      if (event.type === "token") ids.push(event.id);
    });
    while (generation.engine.step()) {}
    using _ = scope();
    const alone = loadModel(model, { adapter: adapter === null ? null : fixturePath("qwen3", "lora") });
    const want: number[] = [];
    for (let i = 0; i < 5; i++) {
      const last = logitsOf(alone, [3, 7, 1, ...want]).slice(-512);
      want.push(last.indexOf(Math.max(...last)));
    }
    assert.deepEqual(ids, want);
  }
});

const refusedKeys: [string, Values, RegExp][] = [
  [
    "both",
    { load_in_4bit: true, load_in_8bit: true },
    /load_in_8bit: load_in_4bit is true as well.*one of the two/,
  ],
  ["full tuning", { load_in_4bit: true, use_peft: false }, /load_in_4bit: .*frozen.*use_peft: true/],
  ["shared", { load_in_8bit: true, shard: "all" }, /load_in_8bit: with shard: all .*Set shard: none/],
  [
    "type",
    { load_in_4bit: true, bnb_4bit_quant_type: "int4" },
    /bnb_4bit_quant_type: expected one of "nf4", "fp4"/,
  ],
  ["no effect", { bnb_4bit_use_double_quant: true }, /bnb_4bit_use_double_quant.*load_in_4bit is false/],
  ["TRL's name", { use_bnb_nested_quant: true }, /bnb_4bit_use_double_quant/],
];
for (const [what, values, says] of refusedKeys) {
  test(`refused: ${what}`, async () => {
    const { lora_r: _, ...plain } = common;
    const run = { ...plain, ...values, output_dir: fixture.path(`refused-${what}`) };
    await assert.rejects(
      () => runTraining(run),
      (error: unknown) => error instanceof ConfigError && says.test(error.message),
    );
  });
}

/** A copy of a saved checkpoint with its tensors changed: new bytes by name; null leaves one out. */
function spoiled(form: "nf4" | "int8", change: (name: string, bytes: Buffer) => Buffer | null): string {
  const dir = fixture.path(`${form}-${Math.random()}`);
  mkdirSync(dir);
  cpSync(join(saved, form, "config.json"), join(dir, "config.json"));
  const file = readSafetensorsHeader(join(saved, form, "model.safetensors"));
  const all = readFileSync(file.path);
  const tensors = [...file.tensors.values()].flatMap(({ name, dtype, shape, begin, end }): TensorSource[] => {
    const own = Buffer.from(all.subarray(file.dataStart + begin, file.dataStart + end));
    const bytes = change(name, own);
    if (bytes === null) return [];
    const size = bytes.length === own.length ? shape : [bytes.length];
    return [{ name, dtype, shape: size, bytes: () => [new Uint8Array(bytes)] }];
  });
  writeSafetensors(join(dir, "model.safetensors"), tensors);
  return dir;
}

const first = "model.layers.0.self_attn.q_proj.weight";
const state = `${first}.quant_state.bitsandbytes__nf4`;
const only = (of: string, change: (bytes: Buffer) => Buffer | null) => (name: string, bytes: Buffer) =>
  name === of ? change(bytes) : bytes;
const inState = (from: string, to: string) =>
  only(state, (bytes) => Buffer.from(bytes.toString().replace(from, to)));
const damages: [string, () => string, RegExp][] = [
  [
    "no state",
    () =>
      spoiled(
        "nf4",
        only(state, () => null),
      ),
    /expected one of ".*nf4" and ".*fp4" beside it, got 0/,
  ],
  [
    "state is no JSON",
    () =>
      spoiled(
        "nf4",
        only(state, () => Buffer.from("{oh")),
      ),
    /bitsandbytes__nf4": expected JSON/,
  ],
  [
    "a state of spaces",
    () =>
      spoiled(
        "nf4",
        only(state, () => Buffer.alloc(4 * 2 ** 20 + 1, 32)),
      ),
    /bitsandbytes__nf4": expected JSON of at most 4\.0 MiB, got 4\.0 MiB/,
  ],
  ["another type", () => spoiled("nf4", inState('"nf4"', '"fp4"')), /quant_type: expected "nf4", got "fp4"/],
  [
    "another shape",
    () => spoiled("nf4", inState('"shape": [128', '"shape": [127')),
    /shape: expected \[128,64\]/,
  ],
  ["a block size", () => spoiled("nf4", inState("64,", "63,")), /blocksize: expected one of 32, 64/],
  [
    "no offset",
    () => spoiled("nf4", inState("nested_offset", "nested_offsat")),
    /nested_offset: expected a finite number/,
  ],
  [
    "no absmax",
    () =>
      spoiled(
        "nf4",
        only(`${first}.absmax`, () => null),
      ),
    /q_proj\.weight\.absmax" beside it is missing/,
  ],
  [
    "fewer blocks",
    () =>
      spoiled(
        "nf4",
        only(`${first}.absmax`, (b) => b.subarray(1)),
      ),
    /expected 128 numbers of U8, got \[127\]/,
  ],
  [
    "other numbers in the table",
    () =>
      spoiled(
        "nf4",
        only(`${first}.quant_map`, () => Buffer.alloc(64)),
      ),
    /quant_map: expected the table of nf4/,
  ],
  [
    "NaN",
    () =>
      spoiled(
        "nf4",
        only(`${first}.nested_absmax`, (b) => b.fill(0xff)),
      ),
    /nested_absmax" holds numbers that are not finite/,
  ],
  [
    "no scales",
    () =>
      spoiled(
        "int8",
        only("model.layers.0.mlp.up_proj.SCB", () => null),
      ),
    /up_proj\.SCB" beside it is missing/,
  ],
  [
    "another layout",
    () =>
      spoiled(
        "int8",
        only("model.layers.0.mlp.up_proj.weight_format", () => Buffer.from([2])),
      ),
    /weight_format: expected 0, rows, got 2/,
  ],
  [
    "GPTQ",
    () => withConfig({ quant_method: "gptq", bits: 4 }),
    /quantization_config\.quant_method: expected "bitsandbytes", got "gptq".*float checkpoint.*dequantize/,
  ],
  ["AWQ", () => withConfig({ quant_method: "awq" }), /got "awq"/],
  [
    "a type that does not exist",
    () => withConfig({ quant_method: "bitsandbytes", load_in_4bit: true, bnb_4bit_quant_type: "int4" }),
    /bnb_4bit_quant_type: expected nf4 or fp4, got "int4"/,
  ],
];

function withConfig(quantization_config: unknown): string {
  const dir = spoiled("nf4", (_, bytes) => bytes);
  setJson(join(dir, "config.json"), { quantization_config });
  return dir;
}

for (const [what, make, says] of damages) {
  test(`a saved model with damage is refused: ${what}`, () => {
    using _ = scope();
    assert.throws(
      () => loadModel(make()),
      (error: unknown) => error instanceof FormatError && says.test(error.message),
    );
  });
}

test("another form than the stored one, ranks' parts, and full tuning are refused", async () => {
  using _ = scope();
  const dir = join(saved, "nf4");
  assert.throws(
    () => loadModel(dir, { quantise: { bits: 8, skipModules: [] } }),
    /stored in 4 bits .*8 bits are asked for.*Leave load_in_4bit and load_in_8bit out/,
  );
  // of a key that nobody gave there is no word
  assert.throws(
    () => loadModel(dir, { quantise: quantisationOfForm("int8") }),
    (error: unknown) =>
      error instanceof ConfigError &&
      /stored in 4 bits .*--weights int8 would round them.*Leave --weights out/.test(error.message) &&
      !error.message.includes("load_in"),
  );
  assert.throws(() => loadModel(dir, { device: "meta" }), /each rank holds all of the model.*shard: none/);
});

/** A saved checkpoint of which one linear was left in floats, as its configuration says. */
function partlyQuantised(): { dir: string; path: string } {
  const path = first.slice(0, -".weight".length);
  const dir = withConfig({
    ...JSON.parse(readFileSync(join(saved, "nf4", "config.json"), "utf8")).quantization_config,
    llm_int8_skip_modules: ["lm_head", path],
  });
  const file = readSafetensorsHeader(join(dir, "model.safetensors"));
  const all = readFileSync(file.path);
  const others = [...file.tensors.values()].filter(({ name }) => !name.startsWith(path));
  const tensors = others.map(({ name, dtype, shape, begin, end }): TensorSource => {
    const bytes = new Uint8Array(all.subarray(file.dataStart + begin, file.dataStart + end));
    return { name, dtype, shape, bytes: () => [bytes] };
  });
  const weight = Float32Array.from({ length: 128 * 64 }, (_, i) => Math.sin(i) / 10);
  const bytes = () => [new Uint8Array(weight.buffer)];
  rmSync(file.path);
  writeSafetensors(file.path, [...tensors, { name: first, dtype: "F32", shape: [128, 64], bytes }]);
  return { dir, path };
}

test("a checkpoint in 4 bits with linears left in floats: load_in_4bit rounds none of them, says so, and the plan agrees", async (t) => {
  const warnings = listenToWarnings(t);
  using _ = scope();
  const { dir, path } = partlyQuantised();
  const asked = { bits: 4, quantType: "nf4", doubleQuant: true, skipModules: [] } as const;
  const model = loadModel(dir, { quantise: asked });
  const weightsIn = [...namedModules(model)].flatMap(({ module }) =>
    module instanceof FourBitLinear ? [module.shape[0] * module.shape[1]] : [],
  );
  const linear = [...namedModules(model)].find((one) => one.path === path)?.module;
  assert.ok(linear instanceof Linear);
  assert.deepEqual(logitsOf(model, [3, 7, 1]), logitsOf(loadModel(dir), [3, 7, 1]));
  const [note, ...more] = await warnings(dir);
  assert.match(
    note ?? "",
    /load_in_4bit is not applied to 1 linears \(.*q_proj\).*quantization_config is taken/,
  );
  assert.deepEqual(more, []);
  const planned = quantisedLinears(heldModel(dir, readModelConfig(dir), asked));
  assert.equal(
    planned.weights,
    weightsIn.reduce((a, b) => a + b, 0),
  );
  // transformers passes a given list over; here a list that the files do not have is refused
  const other = { ...asked, skipModules: ["down_proj"] };
  const says = /llm_int8_skip_modules: expected \["lm_head",".*q_proj"\].*got \["down_proj"\]. Leave/;
  assert.throws(() => loadModel(dir, { quantise: other }), says);
  assert.throws(() => heldModel(dir, readModelConfig(dir), other), says);
  loadModel(dir, { quantise: { ...asked, skipModules: [path] } });
});

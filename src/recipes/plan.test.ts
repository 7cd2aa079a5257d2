/** Tests of plan.ts and plan-rows.ts: where a plan's figures come from. */
import assert from "node:assert/strict";
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fixturePath } from "../../test/support/fixture-files.ts";
import { runFixture } from "../../test/support/runs.ts";
import { pairRows, writeRows } from "../../test/support/tiny-model.ts";
import { ConfigError } from "../base/errors.ts";
import { loadConfig } from "../config/load-config.ts";
import { readModelConfig } from "../formats/hf-config.ts";
import { countParameters } from "../planner/parameter-counts.ts";
import { formatPlan } from "../planner/plan-text.ts";
import { everything } from "../planner/trained-parts.ts";
import { prepareData } from "../train/prepare-data.ts";
import { EpochSteps } from "../train/step-source.ts";
import { plan } from "./plan.ts";

function configOf(values: Record<string, unknown>): ReturnType<typeof loadConfig>["config"] {
  return loadConfig({ values: { output_dir: "unused", ...values } }).config;
}

test("rows at hand: their number and mean lengths, and the largest micro-batch that the run will take", async () => {
  using fixture = runFixture({ rows: 12, held: 0 });
  const config = configOf({ ...fixture.values, per_device_train_batch_size: 3, num_train_epochs: 2 });
  const result = await plan(config);
  const { dataset } = await prepareData({ ...config, task: "preference" });
  assert.equal(result.rows.pairs, 12);
  assert.equal(result.rows.isMeasured, true);
  const mean = dataset.examples.reduce((sum, { promptIds }) => sum + promptIds.length, 0) / 12;
  assert.equal(result.rows.mean.prompt, mean);
  const run = new EpochSteps(dataset.examples, config);
  const batches = Array.from({ length: run.totalSteps }, (_, i) => run.next(i).batches).flat();
  const most = Math.max(...batches.map(({ packed }) => packed.ids.length));
  assert.equal(result.rows.largestMicroBatch.tokens, most);
  const model = readModelConfig(String(fixture.values["model_name_or_path"]));
  assert.equal(result.parameters.total, countParameters(model, everything).total);
});

test("lengths given win over the data; a config.json alone gets assumed ones", async () => {
  using fixture = runFixture({ rows: 4, held: 0 });
  const config = configOf(fixture.values);
  const given = await plan(config, {
    lengths: { promptTokens: 5, chosenTokens: 7, rejectedTokens: 9, pairs: 100 },
  });
  assert.deepEqual(given.rows.mean, { prompt: 5, chosen: 7, rejected: 9 });
  assert.equal(given.rows.pairs, 100);
  const file = `${String(fixture.values["model_name_or_path"])}/config.json`;
  const assumed = await plan(configOf({ ...fixture.values, model_name_or_path: "big/model" }), {
    modelConfig: file,
    gpu: "h100",
  });
  assert.match(assumed.rows.source, /assumed/);
  assert.equal(assumed.rows.mean.prompt + assumed.rows.mean.chosen + assumed.rows.mean.rejected, 1000);
});

test("rows of assumed lengths fill a micro-batch up to the keys that limit it", async () => {
  using fixture = runFixture({ rows: 4, held: 0 });
  // 20 + 29 + 29 tokens a row: the last of an answer predicts nothing
  const lengths = { promptTokens: 20, chosenTokens: 30, rejectedTokens: 30 };
  for (const [keys, rows] of [
    [{ per_device_train_batch_size: 4 }, 4],
    [{ per_device_train_batch_size: 4, max_tokens_per_micro_batch: 8192 }, 4],
    [{ per_device_train_batch_size: 4, max_tokens_per_micro_batch: 160 }, 2],
    [{ per_device_train_batch_size: 4, train_batch_size: 3 }, 3],
    [{ per_device_train_batch_size: 4, tokens_per_step: 8192 }, 4],
    [{ per_device_train_batch_size: 4, tokens_per_step: 160 }, 2],
    [{ tokens_per_step: 8192, max_tokens_per_micro_batch: 2048 }, 26],
  ] as const) {
    const { largestMicroBatch } = (await plan(configOf({ ...fixture.values, ...keys }), { lengths })).rows;
    assert.equal(largestMicroBatch.pairs, rows, JSON.stringify(keys));
  }
});

test("a cap in tokens that cuts the longest steps alone: memory has the gradients of an earlier micro-batch", async () => {
  using fixture = runFixture({ rows: 4, held: 0 });
  const rows = [...pairRows(14), ...[1, 2].map((n) => ({ ...pairRows(1)[0], prompt: "is ".repeat(40 * n) }))];
  const trainData = writeRows(fixture.path("rows.jsonl"), rows);
  const order = { data_order: "given", per_device_train_batch_size: 4, num_train_epochs: 1 };
  const values = { ...fixture.values, ...order, train_data: trainData };
  const { dataset } = await prepareData({ ...configOf(values), task: "preference" });
  for (const [count, size] of [
    [1, 4],
    [2, 8],
  ] as const) {
    const step = { ...values, ...(count > 1 ? { train_batch_size: size } : {}) };
    const run = new EpochSteps(dataset.examples, configOf(step));
    const tokens = Array.from({ length: run.totalSteps }, (_, i) => run.planOf(i).plan.tokens);
    const longest = Math.max(...tokens);
    const [cut, whole] = await Promise.all(
      [Math.ceil(longest / count) - 1, longest].map((cap) =>
        plan(configOf({ ...step, max_tokens_per_micro_batch: cap, device: "auto" }), { gpu: "h100", count }),
      ),
    );
    // by mean rows a step is one micro-batch
    assert.equal((cut?.ranks ?? { microBatches: 1 }).microBatches, 1);
    assert.equal(cut?.memory.components.gradients, 4 * Number(cut?.parameters.total));
    assert.ok(Number(whole?.memory.components.gradients) < 4 * Number(whole?.parameters.total));
  }
});

test("data that is not there is said to be missing, not fetched", async () => {
  using fixture = runFixture({ rows: 4, held: 0 });
  const result = await plan(configOf({ ...fixture.values, train_data: "owner/rows" }));
  assert.match(result.rows.source, /assumed: owner\/rows is not on this machine/);
});

test("a row of an on-policy run is a completion, of the length given or the longest, with its part of the prompt", async () => {
  using fixture = runFixture({ rows: 4, held: 0 });
  const online = {
    objective: "grpo",
    reward_funcs: ["length"],
    num_generations: 4,
    max_completion_length: 96,
  };
  const config = configOf({
    ...fixture.values,
    ...online,
    train_data: "owner/rows",
    per_device_train_batch_size: 4,
  });
  assert.deepEqual((await plan(config, { lengths: { promptTokens: 8 } })).rows.mean, {
    ...{ prompt: 2, chosen: 96, rejected: 0 },
  });
  const given = await plan(config, { lengths: { chosenTokens: 24, pairs: 80 } });
  assert.deepEqual([given.rows.mean.chosen, given.rows.mean.rejected, given.rows.pairs], [24, 0, 80]);
});

test("PPO's value model is planned from value_model_name_or_path", async () => {
  using fixture = runFixture({ rows: 4, held: 0 });
  const base = String(fixture.values["model_name_or_path"]);
  const large = mkdtempSync(join(tmpdir(), "preftune-value-model-"));
  try {
    const config = JSON.parse(readFileSync(join(base, "config.json"), "utf8"));
    writeFileSync(join(large, "config.json"), JSON.stringify({ ...config, intermediate_size: 100_000 }));
    const valueModelBytes = async (values: Record<string, unknown>): Promise<number> => {
      const online = { objective: "ppo", reward_funcs: ["length"], num_generations: 4, dtype: "float32" };
      const all = { ...fixture.values, ...online, per_device_train_batch_size: 4, ...values };
      const { memory } = await plan(configOf(all), { lengths: { promptTokens: 8 } });
      return memory.components.valueModel;
    };
    const own = await valueModelBytes({});
    assert.equal(await valueModelBytes({ value_model_name_or_path: base }), own);
    // in each layer three matrices, which are float32 with two averages
    const { num_hidden_layers: layers, hidden_size: width, intermediate_size: inner } = config;
    const more = 3 * layers * width * (100_000 - inner);
    assert.equal(await valueModelBytes({ value_model_name_or_path: large }), own + 12 * more);
    // of the names of linears that stay floats it takes those that it has
    writeFileSync(join(large, "config.json"), JSON.stringify({ ...config, num_hidden_layers: 1 }));
    const asked = { use_peft: true, load_in_8bit: true, value_model_name_or_path: large };
    const skipped = { ...asked, llm_int8_skip_modules: [`model.layers.${layers - 1}`] };
    assert.equal(await valueModelBytes(skipped), await valueModelBytes(asked));
  } finally {
    rmSync(large, { recursive: true });
  }
});

test("a value model continues over the policy's model, which its adapter names by hub id; another one that is not here is asked for", async () => {
  using fixture = runFixture({ rows: 4, held: 0 });
  const file = join(fixturePath("llama_tied", "model"), "config.json");
  const adapter = mkdtempSync(join(tmpdir(), "preftune-value-adapter-"));
  try {
    cpSync(fixturePath("llama_tied", "lora"), adapter, { recursive: true });
    const settings = join(adapter, "adapter_config.json");
    const json = JSON.parse(readFileSync(settings, "utf8"));
    writeFileSync(settings, JSON.stringify({ ...json, base_model_name_or_path: "owner/name" }));
    const planned = (model_name_or_path: string) => {
      const online = { objective: "ppo", reward_funcs: ["length"], num_generations: 4, use_peft: true };
      const values = { ...fixture.values, ...online, per_device_train_batch_size: 4, model_name_or_path };
      const config = configOf({ ...values, value_model_name_or_path: adapter });
      return plan(config, { modelConfig: file, lengths: { promptTokens: 8 } });
    };
    assert.ok((await planned("owner/name")).memory.components.valueModel > 0);
    await assert.rejects(
      planned("owner/other"),
      /expected the base model of this adapter, owner\/name, to be/,
    );
  } finally {
    rmSync(adapter, { recursive: true });
  }
});

test("memory and speed as given; float32 on the CPU of a run that says so", async () => {
  using fixture = runFixture({ rows: 4, held: 0 });
  const result = await plan(configOf(fixture.values), { memoryGiB: 3, tflops: 0.2, utilisation: 0.5 });
  assert.equal(result.device.usableBytes, 3 * 2 ** 30);
  assert.equal(result.device.peakFlops, 0.2e12);
  assert.equal(result.training.dtype, "float32");
  const [dpo] = result.methods;
  assert.equal(dpo?.method, "dpo-live");
  const slime = result.methods.find(({ method }) => method === "slime");
  assert.match(formatPlan(result), /200 GFLOP\/s \(as given\), of which 50 % are taken to be reached/);
  assert.equal(slime?.pairsPerSecond, 0.1e12 / (slime?.flopsPerPair ?? 0));
});

test("an adapter of the configuration, and supervised rows", async () => {
  using fixture = runFixture({ rows: 4, held: 0 });
  const lora = await plan(
    configOf({ ...fixture.values, use_peft: true, lora_r: 2, lora_target_modules: ["q_proj"] }),
  );
  const model = readModelConfig(String(fixture.values["model_name_or_path"]));
  const perLayer = 2 * (model.hiddenSize + model.numHeads * model.headDim);
  assert.equal(lora.parameters.trained, model.numLayers * perLayer);
});

test("a GPU's speed is that of the run's type; without one it computes in bfloat16", async () => {
  using fixture = runFixture({ rows: 4, held: 0 });
  const on = async (dtype: string) => plan(configOf({ ...fixture.values, dtype }), { gpu: "h100" });
  const single = await on("float32");
  assert.deepEqual([single.training.dtype, single.device.peakFlops], ["float32", 67e12]);
  assert.match(formatPlan(single), /67 TFLOP\/s \(float32 without TF32, by the maker's data sheet\)/);
  const usual = await on("auto");
  assert.deepEqual([usual.training.dtype, usual.device.peakFlops], ["bfloat16", 989e12]);
  assert.match(formatPlan(usual), /989 TFLOP\/s \(dense bfloat16, by the maker's data sheet\)/);
  assert.match(formatPlan(usual), /too small, in a model of this size, for 40 % of this GPU's peak/);
});

test("a directory in place of its config.json: the hint, pasted, is planned", async () => {
  using fixture = runFixture({ rows: 2, held: 0 });
  const config = configOf(fixture.values);
  const directory = String(fixture.values["model_name_or_path"]);
  const error = await plan(config, { modelConfig: directory, gpu: "h100" }).catch(
    (thrown: unknown) => thrown,
  );
  assert.ok(error instanceof ConfigError);
  const hint = /got the directory .*Did you mean "(.+)"\?$/.exec(error.message)?.[1] ?? "";
  assert.equal((await plan(config, { modelConfig: hint, gpu: "h100" })).model.name, hint);
});

/**
 * Each family through the product: pairs trained on by the quick start's four objectives (in `npm test` by one each) with the default
 * linears, exported, merged and re-scored from the files, and answers from the server's engine with the adapter by name.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { after, test } from "node:test";
import { isDeepStrictEqual } from "node:util";
import { ConfigError } from "../../src/base/errors.ts";
import { readAdapter } from "../../src/formats/adapter.ts";
import { readModelConfig } from "../../src/formats/hf-config.ts";
import { loadModel } from "../../src/models/load.ts";
import { openGeneration } from "../../src/recipes/open-generation.ts";
import { scope } from "../../src/torch/index.ts";
import { isNightly } from "../support/campaign.ts";
import { everyFamily, type FixtureFamily, families } from "../support/fixture-files.ts";
import { generateRequest } from "../support/generate-request.ts";
import { fixtureModelDir } from "../support/gguf-files.ts";
import {
  assertSameRun,
  cutBack,
  losses,
  notesOf,
  runFixture,
  runTraining,
  tensorsOf,
  type Values,
} from "../support/runs.ts";
import { writeRows } from "../support/tiny-model.ts";
import { logitsOf } from "../support/tiny-models.ts";

const fixture = runFixture({ rows: 4, held: 2 });
after(() => fixture[Symbol.dispose]());
const objectives = ["slime", "dpo", "simpo", "sft"] as const;
// the first fixtures are those of families that all other tests of runs are about
const others = everyFamily.filter((family) => !families.some((known) => known === family));
/** Held in 4 bits in `npm test`: one of separate linears and two of fused ones. */
const inFourBits: readonly FixtureFamily[] = ["gemma4_dense", "phi4_mini_short", "granite4_dense"];
const usual = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"];
const fused: Partial<Record<FixtureFamily, string[]>> = {
  phi3: ["qkv_proj", "o_proj", "gate_up_proj", "down_proj"],
  phi4_mini_short: ["qkv_proj", "o_proj", "gate_up_proj", "down_proj"],
  granite4_dense: ["q_proj", "k_proj", "v_proj", "o_proj", "input_linear", "output_linear"],
};

function recipeOf(family: FixtureFamily, objective: (typeof objectives)[number]): Values {
  const isShort = inFourBits.includes(family);
  return {
    ...{
      ...fixture.values,
      model_name_or_path: fixtureModelDir(family, fixture.path(`model-${family}`)),
      objective,
      max_length: 128,
      overflow: "truncate",
    },
    ...{ use_peft: true, lora_r: 4, max_steps: 2, per_device_train_batch_size: 2, learning_rate: 1e-2 },
    ...{ lr_scheduler_type: "constant", logging_steps: 1, gradient_checkpointing: true, export_merged: true },
    ...(isShort ? { load_in_4bit: true } : {}),
    output_dir: fixture.path(`${family}-${objective}`),
  };
}

/** Greedy answers of the engine that the server runs: by the model, and by its adapter. */
async function answers(
  model: string,
  adapter: string | null,
  quantised: boolean,
): Promise<Map<string, number[]>> {
  const quantise = { bits: 4, quantType: "nf4", doubleQuant: false, skipModules: [] } as const;
  const where = { device: "cpu", dtype: "float32", threads: 1, ...(quantised ? { quantise } : {}) } as const;
  const adapters = adapter === null ? [] : ["base", `mine=${adapter}`];
  await using generation = await openGeneration({ ...where, model, adapters });
  const out = new Map<string, number[]>();
  for (const variant of generation.variants) {
    const ids: number[] = [];
    const request = generateRequest({
      promptIds: [3, 7, 1],
      adapter: variant.adapter,
      maxNewTokens: 20,
      temperature: 0,
    });
    generation.engine.submit(variant.name, request, (event) => {
      if (event.type === "error") throw new Error(event.message);
      if (event.type === "token") ids.push(event.id);
    });
    while (generation.engine.step()) {}
    out.set(variant.name, ids);
  }
  return out;
}

/** The most likely tokens by one whole pass a token. */
function greedy(dir: string, count: number): number[] {
  using _ = scope();
  const model = loadModel(dir);
  const ids: number[] = [];
  for (let i = 0; i < count; i++) {
    const last = logitsOf(model, [3, 7, 1, ...ids]).slice(-model.config.vocabSize);
    ids.push(last.indexOf(Math.max(...last)));
  }
  return ids;
}

for (const [i, family] of others.entries()) {
  for (const [o, objective] of objectives.entries()) {
    const isDue = isNightly || o === i % objectives.length;
    test(`${family} by ${objective}: trained, merged, served`, {
      skip: isDue ? false : "in full only",
    }, async () => {
      const recipe = recipeOf(family, objective);
      const run = String(recipe["output_dir"]);
      const record = await runTraining(recipe);
      const taken = losses(record);
      assert.ok(taken.length === 2 && taken.every(Number.isFinite));
      const targets = fused[family];
      const { config } = readAdapter(join(run, "adapter"));
      const note = notesOf(record).find((text) => text.startsWith("LoRA on"));
      const linears = targets ?? usual;
      // where PEFT would have no default, this one is said
      if (/^(qwen2|mistral|gemma2)/.test(family)) assert.equal(note, undefined);
      else
        assert.match(note ?? "", new RegExp(`^LoRA on ${linears.join(", ")}: .*PEFT has no default for a `));
      assert.deepEqual(config.targetModules, linears);
      const isQuantised = recipe["load_in_4bit"] === true;
      const served = await answers(String(recipe["model_name_or_path"]), join(run, "adapter"), isQuantised);
      // the export was re-scored against the trained model before it was written
      assert.deepEqual(served.get("mine"), greedy(join(run, "model"), 20));
      assert.equal(served.get("base")?.length, 20);
      using _ = scope();
      const [merged, base] = [join(run, "model"), String(recipe["model_name_or_path"])].map((dir) =>
        logitsOf(loadModel(dir), [3, 7, 1]),
      );
      assert.notDeepEqual(merged, base);
    });
  }
}

/** The recipe of DPO without its adapter. */
function fullTuningOf(family: FixtureFamily) {
  const {
    use_peft: _,
    lora_r: __,
    load_in_4bit: ___,
    export_merged: ____,
    ...values
  } = recipeOf(family, "dpo");
  return values;
}

for (const [i, family] of others.entries()) {
  const skip = isNightly || i % 3 === 0 ? false : "in full only";
  test(`${family} in full tuning: trained, resumed, exported, served`, { skip }, async () => {
    const values = fullTuningOf(family);
    const run = fixture.path(`${family}-full`);
    const recipe = { ...values, save_steps: 1, learning_rate: 1e-3 };
    await runTraining({ ...recipe, output_dir: run });
    const copy = cutBack(run, fixture.path(`${family}-full-resumed`), 1);
    await runTraining({ ...recipe, output_dir: copy, resume_from_checkpoint: "latest" });
    assertSameRun(copy, run, 2);
    const model = join(run, "model");
    // every weight is trained but a factor on layers, which is a buffer in transformers
    const [before, after] = [String(values["model_name_or_path"]), model].map((dir) =>
      tensorsOf(join(dir, "model.safetensors")),
    );
    assert.deepEqual([...(after?.keys() ?? [])].sort(), [...(before?.keys() ?? [])].sort());
    const same = [...(before ?? [])].filter(([name, values]) => isDeepStrictEqual(values, after?.get(name)));
    assert.deepEqual(
      same.map(([name]) => name).filter((name) => !name.endsWith("layer_scalar")),
      [],
    );
    assert.equal(same.length, family === "gemma4_dense" ? readModelConfig(model).numLayers : 0);
    const served = await answers(model, null, false);
    assert.deepEqual(served.get("tiny") ?? [...served.values()][0], greedy(model, 20));
  });
}

for (const family of everyFamily) {
  const due: readonly FixtureFamily[] = ["gemma3_text", "granite", "gemma2", "phi3"];
  const skip = isNightly || due.includes(family) ? false : "in full only";
  test(`${family}: full tuning in bfloat16, and a reward model, are exported, or refused before training`, {
    skip,
  }, async () => {
    const values = fullTuningOf(family);
    const half = fixture.path(`${family}-bfloat16`);
    // the gate of the export compares log-probs in bfloat16, norms and factors in float32 among them
    await runTraining({ ...values, dtype: "bfloat16", learning_rate: 1e-3, output_dir: half });
    const reward = { ...values, objective: "reward", output_dir: fixture.path(`${family}-reward`) };
    if (!/^(granite|gemma4)/.test(family)) {
      await runTraining(reward);
      assert.equal(readModelConfig(join(reward.output_dir, "model")).isRewardModel, true);
      return;
    }
    const message = /expected a family whose reward models transformers reads \(Llama, .*\), got /;
    await assert.rejects(runTraining(reward), message);
    const online = { reward_funcs: ["length"], num_generations: 2, max_completion_length: 8 };
    const ppo = { ...values, ...online, objective: "ppo", output_dir: fixture.path(`${family}-ppo`) };
    await assert.rejects(runTraining(ppo), message);
  });
}

test("LongRoPE: a row beyond the original length is refused with the reason, however long max_length is", async () => {
  const recipe = recipeOf("phi4_mini_short", "dpo");
  const { originalMaxPositions } = readModelConfig(String(recipe["model_name_or_path"])).rope.full
    .scaling as { originalMaxPositions: number };
  const rows = [{ prompt: "a".repeat(2 * originalMaxPositions), chosen: "b", rejected: "c" }];
  const long = writeRows(fixture.path("long.jsonl"), rows);
  const values = { ...recipe, max_length: 512, overflow: "error", train_data: long, eval_data: null };
  await assert.rejects(runTraining({ ...values, output_dir: fixture.path("long") }), (error: Error) => {
    assert.match(error.message, /long\.jsonl:1 has \d+ tokens, the model's context ends at \d+/);
    assert.ok(error.message.includes(`context ends at ${originalMaxPositions}`), error.message);
    assert.match(error.message, /with LongRoPE .* one long row would change the log-probs of all others/);
    return true;
  });
});

test("an adapter for split projections on a model that stores them in one", async () => {
  const recipe = { ...recipeOf("phi3", "dpo"), lora_target_modules: ["q_proj", "o_proj"] };
  await assert.rejects(runTraining({ ...recipe, output_dir: fixture.path("split") }), (error: unknown) => {
    assert.ok(error instanceof ConfigError, String(error));
    assert.match(
      error.message,
      /lora_target_modules names "q_proj", which no linear of this phi3 model is called\. They are qkv_proj, o_proj, gate_up_proj, down_proj/,
    );
    return true;
  });
});

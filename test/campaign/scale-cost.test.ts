/**
 * What `preftune scale` costs beside evaluations, and what drift, tail and other text cost an evaluation, in processor time of one process.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { loadConfig } from "../../src/config/load-config.ts";
import { numericsOf } from "../../src/forward/environment.ts";
import { loadModel } from "../../src/models/load.ts";
import { evaluatorOf } from "../../src/recipes/evaluator.ts";
import { runObjective } from "../../src/recipes/online.ts";
import { otherTextMeasure, otherTextOf } from "../../src/recipes/other-text.ts";
import { measureScales } from "../../src/recipes/scale.ts";
import { scope } from "../../src/torch/index.ts";
import { newState } from "../../src/train/checkpoint.ts";
import { evaluate } from "../../src/train/evaluate.ts";
import { prepareData } from "../../src/train/prepare-data.ts";
import { evaluationBatches, packingOf } from "../../src/train/step-source.ts";
import { isNightly } from "../support/campaign.ts";
import { runFixture, runTraining, type Values } from "../support/runs.ts";

const shape = {
  ...{ hidden_size: 384, intermediate_size: 1152, num_hidden_layers: 6 },
  ...{ num_attention_heads: 6, num_key_value_heads: 2, head_dim: 64 },
};
const size = { family: "llama_untied", rows: 8, held: 96, config: shape } as const;
const scales = [0, 0.25, 0.5, 0.75, 1, 1.25];
const rounds = 3;

function seconds(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
}

/** Seconds of an evaluation as a run has it, and of that those of the pass and the loss, and of the pass over other text. */
async function evaluation(
  values: Values,
  place: { model: string; adapter: string | null },
): Promise<{ all: number; pass: number; other: number }> {
  using _ = scope();
  const { config } = loadConfig({ values });
  const data = await prepareData({ ...config, task: "preference" });
  const examples = data.dataset.evalExamples ?? [];
  const model = loadModel(place.model, { adapter: place.adapter });
  const objective = runObjective(config, undefined);
  const environment = { device: "cpu", dtype: "float32", threads: 1, matmul: "torch" } as const;
  const numerics = numericsOf(config, environment);
  const batches = evaluationBatches(examples, { ...config, ...packingOf(objective) });
  const spent = { pass: 0, other: 0 };
  const timed = <T>(part: keyof typeof spent, work: () => T): T => {
    const began = seconds();
    const made = work();
    spent[part] += seconds() - began;
    return made;
  };
  const pass = { model, objective, numerics, reference: null };
  const measure = () => timed("pass", () => evaluate(pass, batches, examples));
  const text = await otherTextOf(config, data, null, () => {});
  const found = otherTextMeasure(text, { model, numerics }, config) ?? assert.fail();
  const other = { ...found, mean: () => timed("other", found.mean) };
  const held = { examples, tokenizer: data.tokenizer };
  const evaluator = evaluatorOf(measure, held, config, { watch: null, other }) ?? assert.fail();
  const once = async () => {
    for await (const _event of evaluator.evaluate(newState(""), 0, { onBatch: () => {} }));
  };
  // the first makes what later ones compare with, and warms up
  await once();
  Object.assign(spent, { pass: 0, other: 0 });
  const began = seconds();
  for (let i = 0; i < rounds; i++) await once();
  const all = seconds() - began;
  return { all: all / rounds, pass: spent.pass / rounds, other: spent.other / rounds };
}

const skip = isNightly ? false : "a nightly test: figures of a model that is large enough for them";
for (const [kind, values] of [
  ["LoRA", { use_peft: true, lora_r: 8 }],
  ["full tuning", { use_peft: false }],
] as const) {
  test(`${kind}: a scale costs no more than an evaluation, and an evaluation's changes of tokens little`, {
    skip,
  }, async () => {
    using fixture = runFixture(size);
    const run = fixture.path(kind.replace(" ", "-"));
    const both = { ...fixture.values, ...values, output_dir: run, save_strategy: "no", max_steps: 1 };
    await runTraining(both);
    const base = String(fixture.values["model_name_or_path"]);
    const place = values.use_peft
      ? { model: base, adapter: join(run, "adapter") }
      : { model: join(run, "model"), adapter: null };
    // before and after: what else the machine does changes what a second of it is worth
    const before = await evaluation(both, place);
    const began = seconds();
    let prepared = 0;
    const onCost = () => {
      prepared = seconds() - began;
    };
    await measureScales({ run, scales, prompts: 0, device: "cpu", threads: 1, onCost });
    const taken = seconds() - began;
    const later = await evaluation(both, place);
    const [all, pass, other] = (["all", "pass", "other"] as const).map(
      (part) => (before[part] + later[part]) / 2,
    );
    assert.ok(all !== undefined && pass !== undefined && other !== undefined);
    const [ratio, changes] = [taken / (scales.length * all), (all - pass - other) / pass];
    console.log(
      `${kind}: ${scales.length} scales take ${taken.toFixed(2)} s of processor time (${prepared.toFixed(2)} s of them rows and files), ${ratio.toFixed(3)} of as many evaluations ` +
        `(${all.toFixed(3)} s each); changes of tokens ${(100 * changes).toFixed(2)} % of an evaluation, other text ${((100 * other) / pass).toFixed(2)} %`,
    );
    assert.ok(ratio <= 1.05, `${ratio}`);
    assert.ok(changes + other / pass < 0.03, `${changes} and ${other / pass}`);
  });
}

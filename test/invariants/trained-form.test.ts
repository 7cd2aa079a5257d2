/** An adapter that was trained on weights in few bits: commands hold its base as its run had it, or say that they do not. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { after, test } from "node:test";
import { Command } from "commander";
import { ConfigError } from "../../src/base/errors.ts";
import { type QuantiseOptions, quantisationOf, withQuantiseOptions } from "../../src/cli/quantise-options.ts";
import { evaluateDiversity } from "../../src/evaluate/diversity/evaluate-diversity.ts";
import { type Quantisation, quantisationOptions } from "../../src/formats/quantisation.ts";
import { loadModel } from "../../src/models/load.ts";
import { merge } from "../../src/recipes/merge.ts";
import { openGeneration } from "../../src/recipes/open-generation.ts";
import { score } from "../../src/recipes/score.ts";
import { tellOtherForm } from "../../src/runs/trained-form.ts";
import { scope } from "../../src/torch/index.ts";
import { runFixture, runTraining, type Values } from "../support/runs.ts";
import { startServer } from "../support/servers.ts";
import { logitsOf } from "../support/tiny-models.ts";
import { listenToWarnings } from "../support/warnings.ts";

const fixture = runFixture({ rows: 8, held: 0 });
after(() => fixture[Symbol.dispose]());
const model = String(fixture.values["model_name_or_path"]);
const machine = { device: "cpu", threads: 1 } as const;
const dtype = "float32";

const asTrained: Quantisation = {
  bits: 4,
  quantType: "fp4",
  doubleQuant: true,
  skipModules: ["down_proj", "q_proj"],
};
const options =
  "--load-in-4bit --bnb-4bit-quant-type fp4 --bnb-4bit-use-double-quant --llm-int8-skip-modules down_proj,q_proj";
const dir = fixture.path("run");
const recipe: Values = {
  ...{ ...fixture.values, objective: "simpo", use_peft: true, lora_r: 4, max_steps: 3, save_steps: 1 },
  ...{ per_device_train_batch_size: 2, learning_rate: 1e-2, save_total_limit: 3, output_dir: dir },
  ...{ load_in_4bit: true, bnb_4bit_quant_type: "fp4", bnb_4bit_use_double_quant: true },
  llm_int8_skip_modules: ["q_proj", "down_proj"],
};
await runTraining(recipe);
const adapter = join(dir, "adapter");

function parsed(text: string): Quantisation | null {
  const command = withQuantiseOptions(new Command()).exitOverride();
  return quantisationOf(command.parse(text.split(" "), { from: "user" }).opts<QuantiseOptions>());
}

test("the options of commands say all that a run's keys do", () => {
  assert.deepEqual(parsed(options), asTrained);
  assert.equal(quantisationOptions(asTrained), options);
  const eight = "--load-in-8bit --llm-int8-skip-modules o_proj";
  assert.deepEqual(parsed(eight), { bits: 8, skipModules: ["o_proj"] });
  assert.throws(
    () => parsed("--llm-int8-skip-modules o_proj"),
    (error: unknown) =>
      error instanceof ConfigError && /needs --load-in-4bit or --load-in-8bit/.test(error.message),
  );
});

const commands: Record<string, (adapter: string, quantise: Quantisation | null) => Promise<unknown>> = {
  merge: (place, quantise) =>
    merge({
      ...machine,
      model,
      adapter: place,
      quantise,
      output: fixture.path(`merged-${quantise === null}`),
    }),
  score: (place, quantise) =>
    score({ ...machine, dtype, model, adapter: place, quantise, data: String(fixture.values["train_data"]) }),
  generate: async (place, quantise) => {
    await using _ = await openGeneration({ ...machine, dtype, model, adapters: [place], quantise });
  },
};

for (const [name, run] of Object.entries(commands)) {
  test(`${name}: on floats with a warning, as it was trained without`, async (t) => {
    const warnings = listenToWarnings(t);
    // the same text comes once in a process
    const place =
      name === "merge" ? adapter : join(dir, "checkpoints", `checkpoint-${name === "score" ? 1 : 2}`);
    await run(place, asTrained);
    assert.deepEqual(await warnings(place), []);
    await run(place, null);
    const [note = "", ...more] = await warnings(place);
    assert.ok(note.includes(`on weights held by ${options}, and is put on the floats`), note);
    assert.ok(note.endsWith(`Give ${options}.`), note);
    assert.deepEqual(more, []);
  });
}

test("a command without the options says how to merge", async (t) => {
  const warnings = listenToWarnings(t);
  const place = join(dir, "checkpoints", "checkpoint-3");
  await evaluateDiversity(
    {
      ...{
        ...machine,
        dtype,
        model,
        adapter: place,
        prompts: String(fixture.values["train_data"]),
        limit: 1,
      },
      ...{ samples: 2, temperature: 1, maxNewTokens: 4, seed: 1 },
    },
    "words",
  );
  const [note = ""] = await warnings(place);
  assert.ok(
    note.endsWith(`preftune merge --model ${model} --adapter ${place} ${options} --output NEW`),
    note,
  );
});

test("int8 of generation is another form than 4 bits", async (t) => {
  const warnings = listenToWarnings(t);
  tellOtherForm({ model, adapter, quantise: { bits: 8, withHead: true, skipModules: [] } });
  const [note = ""] = await warnings(adapter);
  assert.match(note, /put on those of --weights int8/);
});

test("serve holds the base as the adapter had it", async () => {
  await using server = await startServer({ model, adapters: { tuned: adapter }, quantise: asTrained });
  const promptIds = [5, 9, 30, 4];
  const answer = await server.client().completions.create({
    ...{ model: "tuned", prompt: promptIds, max_tokens: 1, temperature: 0, logprobs: 1 },
  });
  const got = answer.choices[0]?.logprobs?.token_logprobs?.[0] ?? Number.NaN;
  using _ = scope();
  const largest = (quantise: Quantisation | null): number => {
    const logits = logitsOf(loadModel(model, { adapter, quantise }), promptIds).slice(-264);
    const most = Math.max(...logits);
    return -Math.log(logits.reduce((sum, logit) => sum + Math.exp(logit - most), 0));
  };
  assert.ok(Math.abs(got - largest(asTrained)) < 1e-5, `${got} and ${largest(asTrained)}`);
  assert.ok(Math.abs(got - largest(null)) > 1e-4);
});

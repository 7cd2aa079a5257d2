/** A fully tuned model at a scale: W₀ + s (W − W₀), computed in float32 and rounded once; scored, merged, generated and exported. */
import assert from "node:assert/strict";
import { cpSync, existsSync } from "node:fs";
import { after, test } from "node:test";
import { ConfigError, FileError, FormatError } from "../../src/base/errors.ts";
import { mergeText } from "../../src/cli/merge-command.ts";
import { evaluateDiversity } from "../../src/evaluate/diversity/evaluate-diversity.ts";
import { openEngine } from "../../src/generate/open-engine.ts";
import { readGguf } from "../../src/gguf/read.ts";
import type { CausalLM } from "../../src/models/causal-lm.ts";
import { loadModel } from "../../src/models/load.ts";
import { modelAtScale } from "../../src/models/model-at-scale.ts";
import { namedTensors } from "../../src/nn/module.ts";
import { exportGguf } from "../../src/recipes/export-gguf.ts";
import { merge } from "../../src/recipes/merge.ts";
import { openPrompting } from "../../src/recipes/open-generation.ts";
import { score } from "../../src/recipes/score.ts";
import { scoreRewards } from "../../src/recipes/score-rewards.ts";
import { loadTokenizer } from "../../src/text/tokenizer.ts";
import { type DType, noGrad, ops, scope } from "../../src/torch/index.ts";
import { generateRequest } from "../support/generate-request.ts";
import { runFixture, runTraining } from "../support/runs.ts";
import { startServer } from "../support/servers.ts";
import { makeTinyModel } from "../support/tiny-model.ts";
import { logitsOf, tinyModel } from "../support/tiny-models.ts";
import { listenToWarnings } from "../support/warnings.ts";

const fixture = runFixture({ rows: 6, held: 4 });
after(() => fixture[Symbol.dispose]());
const base = String(fixture.values["model_name_or_path"]);
const machine = { device: "cpu", dtype: "float32", threads: 1 } as const;
const ids = [3, 9, 4, 7, 12, 5];
const tuned = makeTinyModel(fixture.path("tuned"), { seed: 2 });
const untied = makeTinyModel(fixture.path("untied"), { seed: 2, config: { tie_word_embeddings: false } });

function distance(a: readonly number[], b: readonly number[]): number {
  return Math.max(...a.map((value, i) => Math.abs(value - (b[i] ?? Number.NaN))));
}

function logits(adapter: string | null, dtype: DType = "float32"): number[] {
  using _ = scope();
  return noGrad(() => logitsOf(loadModel(base, { adapter, dtype }), ids, dtype));
}

/** All weights in float32, joined. */
function weights(model: CausalLM): number[] {
  return [...namedTensors(model)].flatMap(([, tensor]) => ops.to(ops.detach(tensor), "float32").toNumbers());
}

test("0 is the start and 1 the result bit for bit, in float32 and bfloat16", () => {
  for (const dtype of ["float32", "bfloat16"] as const) {
    using _ = scope();
    const [start, end] = [
      logits(null, dtype),
      noGrad(() => logitsOf(loadModel(tuned, { dtype }), ids, dtype)),
    ];
    assert.ok(distance(start, end) > 1e-3);
    assert.deepEqual(logits(`${tuned}@scale=0`, dtype), start);
    assert.deepEqual(logits(`${tuned}@scale=1`, dtype), end);
  }
});

test("in bfloat16 the sum of float32 weights is rounded once", () => {
  using _ = scope();
  const models = { start: loadModel(base), trained: loadModel(tuned) };
  const [start, end] = [weights(models.start), weights(models.trained)];
  const want = start.map((value, i) => value + 0.4 * ((end[i] ?? 0) - value));
  const exact = weights(modelAtScale(models, 0.4, "float32"));
  assert.ok(distance(exact, want) < 1e-7);
  const rounded = weights(modelAtScale(models, 0.4, "bfloat16"));
  // half a step of bfloat16, of whose digits there are 8; a start rounded before adds as much again
  assert.ok(
    rounded.every((value, i) => Math.abs(value - (exact[i] ?? 0)) <= Math.abs(exact[i] ?? 0) * 2 ** -8),
  );
});

test("a head that only the result has apart starts at the embedding; what one of the two lacks is refused", () => {
  using _ = scope();
  const models = { start: loadModel(base), trained: loadModel(untied) };
  const [start, end] = [models.start, models.trained].map(({ lm_head }) => lm_head.weight.toNumbers());
  const part = modelAtScale(models, 0.4, "float32");
  const want = (start ?? []).map((value, i) => value + 0.4 * ((end?.[i] ?? 0) - value));
  assert.ok(distance(start ?? [], end ?? []) > 1e-3);
  assert.ok(distance(part.lm_head.weight.toNumbers(), want) < 1e-6);
  assert.throws(
    () => modelAtScale({ start: tinyModel("qwen3"), trained: models.trained }, 0.4, "float32"),
    (error) =>
      error instanceof FormatError && /this start is another model than the result/.test(error.message),
  );
});

test("merged, scored and generated at 0.4 are one model; a model without a scale is no adapter", async () => {
  const adapter = `${tuned}@scale=0.4`;
  const output = fixture.path("part");
  const result = await merge({ device: "cpu", threads: 1, model: base, adapter, output });
  assert.ok(result.maxDifference < 1e-4);
  assert.match(mergeText(result), /part \(float32, at scale 0\.4 of the training\): /);
  using _ = scope();
  const merged = noGrad(() => logitsOf(loadModel(output), ids));
  assert.ok(distance(merged, logits(adapter)) < 1e-5);
  const data = fixture.path("held.jsonl");
  const sums = async (of: { model: string; adapter?: string }) =>
    (await score({ ...machine, ...of, data })).rows.map((row) => row["logps/chosen"]);
  assert.ok(distance(await sums({ model: base, adapter }), await sums({ model: output })) < 1e-4);
  const first = (model: string, adapters: ReadonlyMap<string, string>): string => {
    using open = openEngine({ model, tokenizer: loadTokenizer(base), adapters, ...machine });
    const seen: string[] = [];
    const name = [...adapters.keys()][0] ?? null;
    open.engine.submit("one", generateRequest({ promptIds: ids, adapter: name }), (event) => {
      if (event.type === "token") seen.push(String(event.id));
    });
    while (open.engine.step());
    return seen.join();
  };
  assert.equal(first(base, new Map([["part", adapter]])), first(output, new Map()));
  await assert.rejects(
    score({ ...machine, model: base, adapter: tuned, data }),
    (error) => error instanceof FileError && /got a model directory/.test(error.message),
  );
});

test("a run of full tuning is exported to GGUF at a scale; of a model alone nobody knows what was trained", async () => {
  const run = fixture.path("run");
  await runTraining({
    ...fixture.values,
    use_peft: false,
    max_steps: 1,
    learning_rate: 1e-2,
    save_strategy: "no",
    output_dir: run,
  });
  const given = { device: "cpu", threads: 1, type: "f32", adapterScale: 0.4 } as const;
  const result = await exportGguf({ ...given, source: run, output: fixture.path("part.gguf") });
  assert.ok(result.maxDifference <= result.tolerance);
  assert.match(
    result.notes.join(),
    /takes 0\.4 of what was trained, which its key preftune\.adapter_scale says/,
  );
  const scaleIn = (path: string) => readGguf(path).keys.get("preftune.adapter_scale")?.value;
  assert.ok(Math.abs(Number(scaleIn(result.path)) - 0.4) < 1e-6);
  const whole = await exportGguf({
    ...given,
    source: run,
    adapterScale: 1,
    output: fixture.path("whole.gguf"),
  });
  assert.deepEqual([scaleIn(whole.path), whole.notes], [undefined, []]);
  await assert.rejects(
    exportGguf({ ...given, source: tuned, output: fixture.path("other.gguf") }),
    /of a model alone nobody knows/,
  );
});

test("what was trained is put on another model of equal shapes: warned of, a part of it refused; on a copy of its start it is not", async (t) => {
  const run = fixture.path("own-start");
  await runTraining({
    ...fixture.values,
    ...{ use_peft: true, lora_r: 2, max_steps: 1, save_strategy: "no", output_dir: run },
  });
  const [copy, other] = [fixture.path("copy"), makeTinyModel(fixture.path("stranger"), { seed: 9 })];
  cpSync(base, copy, { recursive: true });
  const warnings = listenToWarnings(t);
  const data = fixture.path("held.jsonl");
  const adapter = `${run}/adapter`;
  await score({ ...machine, model: copy, adapter, data });
  assert.deepEqual(await warnings(run), []);
  await score({ ...machine, model: other, adapter, data });
  assert.match(
    (await warnings(run)).join(),
    /adapter: it was trained from .*base, and .*stranger is another model/,
  );
  // by itself an adapter names its base, which is known where that lies here
  const alone = fixture.path("alone-adapter");
  cpSync(adapter, alone, { recursive: true });
  await score({ ...machine, model: copy, adapter: alone, data });
  assert.deepEqual(await warnings(alone), []);
  const output = fixture.path("strange");
  await merge({ model: other, adapter: alone, output, device: "cpu", threads: 1 });
  assert.match((await warnings(alone)).join(), /trained from .*base, and .*stranger is another model/);
  // a part of it is refused where the run's record says so, and warned of where there is none
  const scaled = `${adapter}@scale=0.4`;
  const gguf = {
    source: other,
    adapter: scaled,
    device: "cpu",
    threads: 1,
    output: fixture.path("strange.gguf"),
  };
  const sampling = { samples: 2, temperature: 1, maxNewTokens: 2, seed: 1, limit: 1 };
  for (const ask of [
    () => score({ ...machine, model: other, adapter: scaled, data }),
    () => merge({ model: other, adapter: scaled, output: fixture.path("none"), device: "cpu", threads: 1 }),
    () => openPrompting({ ...machine, model: other, adapters: [`part=${scaled}`] }),
    () => exportGguf(gguf),
    () => scoreRewards({ ...machine, model: other, adapter: scaled, data }),
    () =>
      evaluateDiversity({ ...machine, model: other, adapter: scaled, prompts: data, ...sampling }, "words"),
    async () => {
      await using _ = await startServer({ model: other, adapters: { part: scaled }, awaitReady: false });
    },
  ]) {
    await assert.rejects(ask, (error) => {
      assert.ok(error instanceof ConfigError);
      assert.match(
        error.message,
        /^\S+@scale=0\.4: expected the model .*base as it was then, got .*stranger, .* Give that one\. /,
      );
      return true;
    });
  }
  assert.deepEqual([fixture.path("none"), gguf.output].filter(existsSync), []);
  await score({ ...machine, model: copy, adapter: scaled, data });
  const second = fixture.path("second-adapter");
  cpSync(adapter, second, { recursive: true });
  await score({ ...machine, model: other, adapter: `${second}@scale=0.4`, data });
  assert.match((await warnings(second)).join(), /stranger is another model/);
});

test("two results of one start are mixed by weights: the one as the start of the other", async () => {
  const other = makeTinyModel(fixture.path("other"), { seed: 3 });
  const output = fixture.path("mixed");
  await merge({ model: tuned, adapter: `${other}@scale=0.25`, output, device: "cpu", threads: 1 });
  using _ = scope();
  const [one, two, mixed] = [tuned, other, output].map((dir) => weights(loadModel(dir)));
  const want = (one ?? []).map((value, i) => 0.75 * value + 0.25 * (two?.[i] ?? Number.NaN));
  assert.ok(distance(mixed ?? [], want) < 1e-7);
});

/** An adapter at a scale: 0 is the base bit for bit, 1 the adapter; in between what a scaled alpha, a merged model and one batch of variants say. */
import assert from "node:assert/strict";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { after, test } from "node:test";
import { ConfigError } from "../../src/base/errors.ts";
import { sha256File } from "../../src/base/files.ts";
import { readAdapter } from "../../src/formats/adapter.ts";
import type { AdapterConfig } from "../../src/formats/adapter-config.ts";
import { scaledPlace } from "../../src/formats/adapter-scale.ts";
import { readSafetensorsHeader } from "../../src/formats/safetensors.ts";
import { openEngine } from "../../src/generate/open-engine.ts";
import { readGguf } from "../../src/gguf/read.ts";
import { loadModel } from "../../src/models/load.ts";
import { writeAdapter } from "../../src/models/save.ts";
import { exportGguf } from "../../src/recipes/export-gguf.ts";
import { merge } from "../../src/recipes/merge.ts";
import { score } from "../../src/recipes/score.ts";
import { loadTokenizer } from "../../src/text/tokenizer.ts";
import { noGrad, scope } from "../../src/torch/index.ts";
import { adapterParameters } from "../../src/train/parameters.ts";
import { start } from "../support/command.ts";
import { generateRequest } from "../support/generate-request.ts";
import { runFixture, runTraining } from "../support/runs.ts";
import { adaptPatterned, logitsOf, tinyAdapterConfig } from "../support/tiny-models.ts";

const fixture = runFixture({ rows: 4, held: 2 });
after(() => fixture[Symbol.dispose]());
const base = String(fixture.values["model_name_or_path"]);
const machine = { device: "cpu", dtype: "float32", threads: 1 } as const;
const ids = [3, 9, 4, 7, 12, 5];

const kinds: Record<string, Partial<AdapterConfig>> = {
  lora: { targetModules: ["q_proj", "down_proj"] },
  rslora: { targetModules: ["q_proj", "down_proj"], useRslora: true },
  dora: { targetModules: ["q_proj", "down_proj"], useDora: true },
  saved: { targetModules: ["q_proj"], modulesToSave: ["lm_head"] },
};

let adapters = 0;

/** An adapter of the kind over the fixture's model, all of whose tensors are away from their start. */
function adapterOf(kind: string): string {
  using _ = scope();
  adapters += 1;
  const dir = fixture.path(`${kind}-${adapters}`);
  mkdirSync(dir, { recursive: true });
  const model = loadModel(base);
  const { config } = adaptPatterned(model, tinyAdapterConfig(kinds[kind]));
  writeAdapter(dir, config, adapterParameters(model).tensors);
  return dir;
}

function logits(adapter: string | null, dtype: "float32" | "bfloat16" = "float32"): number[] {
  using _ = scope();
  return noGrad(() => logitsOf(loadModel(base, { adapter, dtype }), ids, dtype));
}

function distance(a: readonly number[], b: readonly number[]): number {
  return Math.max(...a.map((value, i) => Math.abs(value - (b[i] ?? Number.NaN))));
}

for (const kind of Object.keys(kinds)) {
  test(`${kind}: 0 is the base and 1 the adapter bit for bit, in float32 and bfloat16`, () => {
    const adapter = adapterOf(kind);
    for (const dtype of ["float32", "bfloat16"] as const) {
      const [start, end] = [logits(null, dtype), logits(adapter, dtype)];
      assert.ok(distance(start, end) > 1e-3);
      assert.deepEqual(logits(`${adapter}@scale=0`, dtype), start);
      assert.deepEqual(logits(`${adapter}@scale=1`, dtype), end);
    }
  });

  test(`${kind}: 0.4 merged scores as the adapter at 0.4 does`, async () => {
    const adapter = `${adapterOf(kind)}@scale=0.4`;
    const output = fixture.path(`${kind}-merged`);
    await merge({ device: "cpu", threads: 1, model: base, adapter, output });
    using _ = scope();
    const merged = noGrad(() => logitsOf(loadModel(output), ids));
    assert.ok(distance(merged, logits(adapter)) < 1e-5);
    assert.ok(distance(merged, logits(null)) > 1e-4);
    const zero = fixture.path(`${kind}-zero`);
    await merge({
      device: "cpu",
      threads: 1,
      model: base,
      adapter: `${adapterOf(kind)}@scale=0`,
      output: zero,
    });
    assert.deepEqual(
      noGrad(() => logitsOf(loadModel(zero), ids)),
      logits(null),
    );
  });
}

test("0.4 of an adapter is the adapter whose alpha is 0.4 times as large, by module too", () => {
  const adapter = adapterOf("lora");
  const path = join(adapter, "adapter_config.json");
  const config = JSON.parse(readFileSync(path, "utf8"));
  const patterned = { ...config, alpha_pattern: { q_proj: 5 } };
  writeFileSync(path, JSON.stringify(patterned));
  const scaled = logits(`${adapter}@scale=0.4`);
  const written = { ...patterned, lora_alpha: config.lora_alpha * 0.4, alpha_pattern: { q_proj: 5 * 0.4 } };
  writeFileSync(path, JSON.stringify(written));
  assert.deepEqual(logits(adapter), scaled);
});

test("modules trained in full and DoRA's magnitudes are start + s (trained − start)", () => {
  const read = (adapter: string | null): number[] => {
    using _ = scope();
    const model = loadModel(base, { adapter });
    const { head } = model as unknown as { head: { dense(dtype: "float32"): { toNumbers(): number[] } } };
    return noGrad(() => head.dense("float32").toNumbers());
  };
  const adapter = adapterOf("saved");
  const [start, end, part] = [read(null), read(adapter), read(`${adapter}@scale=0.25`)];
  const want = start.map((value, i) => value + 0.25 * ((end[i] ?? 0) - value));
  assert.ok(distance(start, end) > 1e-3 && distance(part, want) < 1e-6);
});

test("one batch answers with two scales of one adapter, each as if alone", () => {
  const adapter = adapterOf("lora");
  const variants = new Map([
    ["half", `${adapter}@scale=0.5`],
    ["whole", adapter],
  ]);
  const answers = (given: ReadonlyMap<string, string>): Map<string, string> => {
    using open = openEngine({ model: base, tokenizer: loadTokenizer(base), adapters: given, ...machine });
    const texts = new Map<string, string>();
    for (const name of given.keys()) {
      open.engine.submit(name, generateRequest({ promptIds: ids, adapter: name, logprobs: 1 }), (event) => {
        if (event.type === "token") texts.set(name, `${texts.get(name)} ${JSON.stringify(event)}`);
      });
    }
    while (open.engine.step());
    return texts;
  };
  const together = answers(variants);
  for (const [name, place] of variants) {
    assert.equal(together.get(name), answers(new Map([[name, place]])).get(name));
  }
  assert.notEqual(together.get("half"), together.get("whole"));
});

test("the card of a merged model says what it is made of, and at which scale", async () => {
  writeFileSync(join(base, "README.md"), "---\nlicense: apache-2.0\n---\n");
  const adapter = adapterOf("lora");
  const cardAt = async (scale: number): Promise<string> => {
    const output = fixture.path(`card-${scale}`);
    await merge({ device: "cpu", threads: 1, model: base, adapter: scaledPlace(adapter, scale), output });
    return readFileSync(join(output, "README.md"), "utf8");
  };
  const half = await cardAt(0.5);
  assert.match(half, /^---\nlibrary_name: transformers\nlicense: apache-2\.0\n---\n/);
  const name = basename(adapter);
  const said = new RegExp(`/base with \\S+/${name} merged in by preftune \\S+, at adapter_scale 0\\.5: 0 is`);
  assert.match(half, said);
  assert.match(
    half,
    /The weights are float32\.\n\n\d+ log-probs were compared .*: largest difference \S+, mean/,
  );
  assert.ok(!half.includes(fixture.path(".")));
  assert.match(await cardAt(1), /at adapter_scale 1: /);
});

test("a GGUF adapter has the scaled alpha exactly, and says its scale; of a scale of 0 none is written", async () => {
  const model = { source: base, adapter: adapterOf("lora"), device: "cpu", threads: 1, lora: true };
  const alpha = readAdapter(model.adapter).config.alpha;
  const keysOf = (path: string): unknown[] => {
    const { keys } = readGguf(path);
    return ["adapter.lora.alpha", "preftune.adapter_scale"].map((key) => keys.get(key)?.value);
  };
  const output = fixture.path("half.gguf");
  const { tolerance, maxDifference } = await exportGguf({ ...model, adapterScale: 0.5, output });
  assert.ok(maxDifference <= tolerance);
  assert.deepEqual(keysOf(output), [alpha / 2, 0.5]);
  const part = fixture.path("part.gguf");
  await exportGguf({ ...model, adapterScale: 0.3, output: part });
  assert.deepEqual(keysOf(part), [Math.fround(alpha * 0.3), Math.fround(0.3)]);
  const [given, whole] = [fixture.path("given.gguf"), fixture.path("whole.gguf")];
  await exportGguf({ ...model, output: whole });
  const options = ["--adapter", model.adapter, "--lora", "--adapter-scale", "1", "--device", "cpu"];
  const { status, stderr } = await start(["export", "gguf", base, ...options, "--output", given]).ended;
  assert.equal(status, 0, stderr);
  assert.deepEqual(keysOf(given), [alpha, undefined]);
  assert.equal(sha256File(given), sha256File(whole));
  const zero = fixture.path("zero.gguf");
  for (const start of [{ adapterScale: 0 }, { adapter: `${model.adapter}@scale=0` }])
    await assert.rejects(exportGguf({ ...model, ...start, output: zero }), /an adapter's file cannot say 0/);
});

test("bad scales are refused with place, reason and remedy", async () => {
  const adapter = adapterOf("lora");
  for (const scale of ["2.1", "-0.1", "", "half", "NaN"]) {
    assert.throws(
      () => readAdapter(`${adapter}@scale=${scale}`),
      (error) => error instanceof ConfigError && /expected a number from 0, the start/.test(error.message),
    );
  }
  for (const scale of [0.4, 1]) {
    const twice = {
      name: "ConfigError",
      message: new RegExp(`a scale is given twice, there and as ${scale}\\.`),
    };
    assert.throws(() => scaledPlace(`${adapter}@scale=0.5`, scale), twice);
    const asked = { source: base, adapter: `${adapter}@scale=0.5`, adapterScale: scale };
    await assert.rejects(exportGguf({ ...asked, output: fixture.path("twice.gguf"), device: "cpu" }), twice);
  }
  const run = { ...fixture.values, use_peft: true, adapter_name_or_path: `${adapter}@scale=0.5` };
  await assert.rejects(
    runTraining({ ...run, max_steps: 1, output_dir: fixture.path("run") }),
    /training continues an adapter as it is/,
  );
  const held = fixture.path("held.jsonl");
  await assert.rejects(
    score({ ...machine, model: base, adapter: `${fixture.path("nowhere")}@scale=0.5`, data: held }),
    /nowhere/,
  );
  assert.equal(readSafetensorsHeader(join(adapter, "adapter_model.safetensors")).tensors.size > 0, true);
});

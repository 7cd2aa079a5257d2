/** The list of families, and a toy family that is read, built, run and written by its description alone. */
import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { assertClose, withoutLeaks } from "../../test/support/close.ts";
import { patternedWeights } from "../../test/support/patterned.ts";
import { logitsOf } from "../../test/support/tiny-models.ts";
import { type Family, oneWindow, windowedLayers } from "../formats/families/family.ts";
import { classesOf, families } from "../formats/families/index.ts";
import { llama } from "../formats/families/llama.ts";
import { parseModelConfig } from "../formats/hf-config.ts";
import { exportConfig } from "../formats/hf-config-export.ts";
import { buildModel } from "./build.ts";

/** Llama with a window, and k alone biased. */
const toy: Family = {
  ...llama,
  name: "toy",
  title: "Toy",
  names: {
    modelType: "toy",
    architecture: "ToyForCausalLM",
    rewardArchitecture: null,
    hasPeftTargets: false,
  },
  ignored: [],
  only: { colour: ["red"] },
  read(fields, sizes) {
    const { design, rope } = llama.read(fields, sizes);
    return {
      ...windowedLayers(sizes, oneWindow(fields, 3)),
      design: { ...design, biases: ["k_proj"] },
      rope,
    };
  },
  write: (config) => ({ ...llama.write(config), sliding_window: config.slidingWindow }),
};

const json = {
  model_type: "toy",
  colour: "red",
  vocab_size: 16,
  hidden_size: 8,
  intermediate_size: 12,
  num_hidden_layers: 2,
  num_attention_heads: 2,
};

const ids = [1, 9, 3, 4, 4, 15, 0];

test("a toy family: read, built, run, written and read again", () => {
  withoutLeaks(() => {
    const known = [...families, toy];
    const config = parseModelConfig(json, "config.json", known);
    assert.deepEqual(
      [config.family, config.slidingWindow, config.layerKinds],
      ["toy", 3, ["sliding", "sliding"]],
    );
    const names: string[] = [];
    const weights = patternedWeights(1);
    const model = buildModel(config, (name, shape) => {
      names.push(name);
      return weights(name, shape);
    });
    assert.deepEqual(
      names.filter((name) => name.endsWith(".bias")),
      [0, 1].map((layer) => `model.layers.${layer}.self_attn.k_proj.bias`),
    );
    const logits = logitsOf(model, ids);
    const written = exportConfig(config, { tieWordEmbeddings: false, dtype: "float32" }, known);
    assert.equal(written["model_type"], "toy");
    const again = buildModel(parseModelConfig(written, "config.json", known), patternedWeights(1));
    assert.deepEqual(logitsOf(again, ids), logits);
    // its window and its bias both count
    for (const change of [
      { sliding_window: null },
      { model_type: "llama", colour: null, sliding_window: null },
    ]) {
      const other = buildModel(
        parseModelConfig({ ...json, ...change }, "config.json", known),
        patternedWeights(1),
      );
      assert.throws(() => assertClose(logitsOf(other, ids), logits, { atol: 1e-4 }));
    }
  });
});

test("what the toy family does not have is refused by name", () => {
  const parse = (changes: Record<string, unknown>) =>
    parseModelConfig({ ...json, ...changes }, "config.json", [toy]);
  assert.throws(() => parse({ colour: "blue" }), /colour: expected "red", got "blue"/);
  assert.throws(
    () => parse({ sliding_windw: 3 }),
    /sliding_windw: expected a key of a Toy model.*"sliding_window"/,
  );
  assert.throws(
    () => parseModelConfig(json, "config.json"),
    /model_type: expected a supported model .* got "toy"/,
  );
});

test("every family has a file of its name, and no two share a class", () => {
  const files = readdirSync(join(import.meta.dirname, "../formats/families"));
  for (const { name } of families) assert.ok(files.includes(`${name}.ts`), name);
  const classes = classesOf(families).flatMap((one) => [
    one.modelType,
    one.architecture,
    one.rewardArchitecture,
  ]);
  const named = classes.filter((name) => name !== null);
  assert.equal(new Set(named).size, named.length);
});
